"""Upgrades: applied changes of what the server itself runs on, which take effect by a restart."""

from typing import ClassVar, Final

from bus.address import Address
from bus.messages.approvals import ProposalId
from bus.messages.base import Event

UPGRADES: Final = Address("upgrades")
SUPERVISOR: Final = "supervisor"
"""Who rolls back what was not healthy: the process above the server."""


class UpgradeEvent(Event, frozen=True):
    """What all events of an upgrade have."""

    about: ClassVar[str] = "proposal"
    is_kept: ClassVar[bool] = True

    proposal: ProposalId
    commit: str


class UpgradeAsked(UpgradeEvent, frozen=True):
    """Recorded with `proposal.applied` when the repository holds what the server runs on: its code or its settings.

    So it is with a person's rollback; `base` is what the branch goes back to if the server is not healthy at `commit`.
    """

    wire_name = "upgrade.asked"

    hash: str
    path: str
    branch: str
    base: str


class UpgradeRestarting(UpgradeEvent, frozen=True):
    """Recorded before the server stops, with a checkpoint, so that the process above it starts the new tree."""

    wire_name = "upgrade.restarting"


class UpgradeUnattended(UpgradeEvent, frozen=True):
    """Recorded when there is no process above the server: the upgrade takes effect when someone starts it again."""

    wire_name = "upgrade.unattended"


class UpgradeTaken(UpgradeEvent, frozen=True):
    """Recorded by the new server when it was healthy in time."""

    wire_name = "upgrade.taken"


class UpgradeRolledBack(UpgradeEvent, frozen=True):
    """Recorded by the old server when it is back: the new one was not healthy, and `reason` says why."""

    wire_name = "upgrade.rolled_back"

    reason: str
