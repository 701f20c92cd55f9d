"""The repositories behind changes: what is read of them, what is kept in them, what their checks say.

All of it is answered by the approvals, who alone touch them.
"""

import msgspec

from bus.messages.approvals import ProposalId
from bus.messages.base import Query, Reply


class RepositoryFile(Reply, frozen=True):
    """A file of a repository; `is_there` is false where there is none."""

    wire_name = "repository.file"

    text: str
    is_there: bool


class OutputPart(Reply, frozen=True):
    """What checks have said since; `next` asks for what follows, and `is_over` means that nothing does."""

    wire_name = "proposal.output"

    proposal: ProposalId
    text: str
    next: int
    is_over: bool


class Branch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ref that keeps what was proposed from git's forgetting."""

    repository: str
    proposal: ProposalId
    commit: str
    state: str
    """Where the proposal stands; empty when this society knows none of that id."""


class BranchPage(Reply, frozen=True):
    """The refs of proposals, in all repositories."""

    wire_name = "proposal.branches"

    branches: tuple[Branch, ...]


class FollowOutput(Query[OutputPart], frozen=True):
    """Sent by who watches checks run; answered when they have said more than `after` bytes, or after a moment."""

    wire_name = "approval.follow"

    proposal: ProposalId
    after: int = 0


class ListBranches(Query[BranchPage], frozen=True):
    """Sent by whoever wants to see what is kept of proposals in the repositories."""

    wire_name = "approval.branches"


class ReadRepositoryFile(Query[RepositoryFile], frozen=True):
    """Sent by who wants to change a file of a configured repository and has to know what it says."""

    wire_name = "repository.read"

    repository: str
    branch: str
    path: str
