"""The list of every message of Agora, by subject, and of those that are recorded."""

from bus.messages import (
    agents,
    approvals,
    artifacts,
    checkpoints,
    completions,
    ledger,
    lightning,
    memory,
    monitor,
    quotas,
    repositories,
    routing,
    runtime,
    schedules,
    system,
    tasks,
    transcripts,
    triggers,
    upgrades,
    webhooks,
)
from bus.messages.base import Event, Message

SUBJECTS = (
    tasks,
    schedules,
    triggers,
    agents,
    ledger,
    lightning,
    artifacts,
    checkpoints,
    memory,
    approvals,
    repositories,
    completions,
    routing,
    transcripts,
    system,
    monitor,
    quotas,
    runtime,
    upgrades,
    webhooks,
)


def _of_kind(kind: type[Message]) -> tuple[type[Message], ...]:
    found = [
        value
        for subject in SUBJECTS
        for value in vars(subject).values()
        if isinstance(value, type) and issubclass(value, kind) and vars(value).get("wire_name")
    ]
    return tuple(dict.fromkeys(found))


MESSAGES: tuple[type[Message], ...] = _of_kind(Message)
EVENTS: tuple[type[Event], ...] = tuple(kind for kind in MESSAGES if issubclass(kind, Event))
"""The event catalogue: names, versions and fields are a contract."""
