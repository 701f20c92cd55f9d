"""What a proposal needs before it may happen: nobody's word, one, two, or it may never be.

Rules: the first policy whose kind and impact match counts; where none does, one person must approve.

Pure.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from bus.messages.approvals import Impact
from bus.refusals import ForbiddenByPolicy

Need = Literal["automatic", "one", "two", "forbidden"]
_APPROVERS: dict[Need, int] = {"automatic": 0, "one": 1, "two": 2}
ANY: Final = "*"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one kind of proposal needs."""

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = ANY
    """`change`, `spend`, `agent` (a program's own that wants to join, which is asked for only where a policy names it),
    another kind that somebody asks for, or `*` for any."""
    impact: Impact | Literal["*"] = ANY
    """`low`, `medium`, `high`, or `*` for any."""
    need: Need = "one"
    """`automatic`, `one` approver, `two` distinct approvers, or `forbidden`."""


def approvers_needed(policies: Sequence[Policy], kind: str, impact: Impact) -> int:
    """How many people must say yes. Raises ForbiddenByPolicy."""
    need: Need = next(
        (policy.need for policy in policies if policy.kind in (ANY, kind) and policy.impact in (ANY, impact)), "one"
    )
    if need == "forbidden":
        raise ForbiddenByPolicy(f"the policies forbid {kind} of {impact} impact")
    return _APPROVERS[need]
