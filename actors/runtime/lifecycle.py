"""The life of an actor as a table.

Pure: no clock, no loop.
"""

from enum import StrEnum
from typing import Final

from bus.refusals import IllegalTransition


class Lifecycle(StrEnum):
    STARTING = "starting"
    """It recovers and runs `on_start`; its mailbox already takes messages."""
    RUNNING = "running"
    PAUSED = "paused"
    """No turn starts; the mailbox goes on taking messages."""
    RESTARTING = "restarting"
    """It failed and waits out its backoff; the mailbox survives."""
    STOPPING = "stopping"
    STOPPED = "stopped"


TRANSITIONS: Final[dict[Lifecycle, frozenset[Lifecycle]]] = {
    Lifecycle.STARTING: frozenset({Lifecycle.RUNNING, Lifecycle.RESTARTING, Lifecycle.STOPPING}),
    Lifecycle.RUNNING: frozenset({Lifecycle.PAUSED, Lifecycle.RESTARTING, Lifecycle.STOPPING}),
    Lifecycle.PAUSED: frozenset({Lifecycle.RUNNING, Lifecycle.RESTARTING, Lifecycle.STOPPING}),
    Lifecycle.RESTARTING: frozenset({Lifecycle.STARTING, Lifecycle.STOPPING}),
    Lifecycle.STOPPING: frozenset({Lifecycle.STOPPED}),
    Lifecycle.STOPPED: frozenset(),
}


def moved(actor: str, state: Lifecycle, to: Lifecycle) -> Lifecycle:
    """The new state. Raises IllegalTransition when the table does not have the move."""
    if to not in TRANSITIONS[state]:
        raise IllegalTransition(f"actor {actor}", state.value, to.value)
    return to
