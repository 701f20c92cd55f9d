"""The actor runtime: bounded mailboxes, supervision, persistent actors on one timeline.

It knows nothing of tasks, money or models, and can be used alone with `bus`.
"""

from actors.runtime.actor import Actor, ChildSpec
from actors.runtime.cell import ActorStatistics
from actors.runtime.copying import Copies, Copy
from actors.runtime.deferred import Deferred
from actors.runtime.job import Job
from actors.runtime.log import Checkpointed, EventWriter, GroupCommitLog, History, Log, Snapshot, Stand
from actors.runtime.persistent import PersistentActor, Subscription
from actors.runtime.supervision import Restart, Strategy, SupervisionOptions
from actors.runtime.system import ActorSystem

__all__ = [
    "Actor",
    "ActorStatistics",
    "ActorSystem",
    "Checkpointed",
    "ChildSpec",
    "Copies",
    "Copy",
    "Deferred",
    "EventWriter",
    "GroupCommitLog",
    "History",
    "Job",
    "Log",
    "PersistentActor",
    "Restart",
    "Snapshot",
    "Stand",
    "Strategy",
    "Subscription",
    "SupervisionOptions",
]
