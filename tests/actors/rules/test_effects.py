"""What cannot be taken back."""

import msgspec
import pytest

from actors.rules.effects import EFFECTS, irreversible
from bus.messages.agents import ActionExecuted
from bus.messages.approvals import ProposalApplied, ProposalId, ProposalRolledBack
from bus.messages.artifacts import ArtifactWritten
from bus.messages.base import AccountId, AgentId, ArtifactId, BlobId, CompletionId, Event, TaskId, TransferId
from bus.messages.completions import CompletionUnknown
from bus.messages.ledger import TransferPosted
from bus.messages.tasks import TaskStarted

UNKNOWN = CompletionUnknown(CompletionId("m-1"), AgentId("scout"), TaskId("t-1"), 1_500, 0)
EXECUTED = ActionExecuted(AgentId("scout"), TaskId("t-1"), "write_artifact", "executed")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (UNKNOWN, "completion m-1 cost 0.001500 USD"),
        (msgspec.structs.replace(UNKNOWN, cost_usd_micros=0), ""),
        (EXECUTED, "scout executed write_artifact for t-1"),
        (msgspec.structs.replace(EXECUTED, outcome="refused"), ""),
        (
            ArtifactWritten(ArtifactId("a-1"), "A brief", "text/plain", 3, BlobId("00"), "scout", TaskId("t-1"), 0),
            "artifact a-1 (A brief) was written",
        ),
        (
            TransferPosted(TransferId("x"), AccountId("a"), AccountId("b"), "msat", 5, TransferId(""), "a gift"),
            "5 msat went from a to b (x)",
        ),
        (
            ProposalApplied(ProposalId("p-1"), AgentId(""), 0, commit="c" * 40),
            f"the branch of p-1 was moved to {'c' * 12}",
        ),
        (ProposalRolledBack(ProposalId("p-1"), AgentId(""), 0), "the branch of p-1 was moved back"),
        (TaskStarted(TaskId("t-1"), AgentId("scout"), 1), ""),
    ],
)
def test_effects_that_have_left_the_society_are_told_and_others_are_not(event: Event, words: str) -> None:
    assert irreversible(event) == words
    assert not words or event.wire_name in EFFECTS
