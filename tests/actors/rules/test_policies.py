"""What a proposal needs."""

import pytest

from actors.rules.policies import Policy, approvers_needed
from bus.messages.approvals import Impact
from bus.refusals import ForbiddenByPolicy

POLICIES = (
    Policy("spend", "low", "automatic"),
    Policy("spend", "high", "two"),
    Policy("tool", "*", "forbidden"),
    Policy("*", "high", "two"),
)


@pytest.mark.parametrize(
    ("kind", "impact", "needed"),
    [("spend", "low", 0), ("spend", "medium", 1), ("spend", "high", 2), ("change", "high", 2), ("change", "low", 1)],
)
def test_the_first_policy_that_matches_counts_and_without_one_a_person_approves(
    kind: str, impact: Impact, needed: int
) -> None:
    assert approvers_needed(POLICIES, kind, impact) == needed


def test_what_is_forbidden_is_refused_by_name() -> None:
    with pytest.raises(ForbiddenByPolicy, match="the policies forbid tool of low impact"):
        approvers_needed(POLICIES, "tool", "low")
