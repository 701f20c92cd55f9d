"""What is known of upgrades: which is on its way, and how the last one ended.

Rules: an upgrade that was asked for begins once; its outcome is recorded once, whatever a crash repeats.

Pure: no clock, no process, no file.
"""

import msgspec

from bus.messages.approvals import ProposalId
from bus.messages.base import Event
from bus.messages.upgrades import (
    UpgradeAsked,
    UpgradeEvent,
    UpgradeRestarting,
    UpgradeRolledBack,
    UpgradeTaken,
    UpgradeUnattended,
)

REASON_MAX = 2_000


class UpgradeState(msgspec.Struct):
    """The upgrade on its way, and the last outcome."""

    restarting: str = ""
    """The commit that is being restarted into."""
    settled: str = ""
    """The commit whose outcome was recorded last."""


def apply(state: UpgradeState, event: Event) -> None:
    """Fold one event."""
    match event:
        case UpgradeRestarting():
            state.restarting, state.settled = event.commit, ""
        case UpgradeTaken() | UpgradeRolledBack():
            state.restarting, state.settled = "", event.commit
        case _:
            pass


def decide_asked(asked: UpgradeAsked, *, is_supervised: bool) -> tuple[UpgradeEvent, ...]:
    """Whether it takes effect now, or when someone starts the server again."""
    kind = UpgradeRestarting if is_supervised else UpgradeUnattended
    return (kind(asked.proposal, asked.commit),)


def decide_settled(state: UpgradeState, proposal: str, commit: str, reason: str) -> tuple[UpgradeEvent, ...]:
    """How it ended: with a reason it was rolled back."""
    if state.settled == commit:
        return ()
    if reason:
        return (UpgradeRolledBack(ProposalId(proposal), commit, reason[:REASON_MAX]),)
    return (UpgradeTaken(ProposalId(proposal), commit),)
