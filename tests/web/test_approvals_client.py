"""The SDK's part for approvals, against the real endpoints."""

from bus.messages.approvals import Approve, ListProposals, ProposalContent, ProposalPage, ReadProposalContent, Withdraw
from tests.web.support import TOKEN, served
from tests.web.test_approvals import VIEW, last, world
from web.client import AgoraClient


async def test_what_waits_is_listed_read_decided_and_withdrawn() -> None:
    behind = world()
    behind.gateway.replies[ListProposals] = ProposalPage((VIEW,), VIEW.proposal, 1)
    behind.gateway.replies[ReadProposalContent] = ProposalContent(VIEW.proposal, "+new")
    async with served(behind) as url, AgoraClient(url, token=TOKEN) as agora:
        assert (await agora.approvals.all(state="ready")).pending == 1
        assert await agora.approvals.one("p-1") == VIEW
        assert await agora.approvals.diff("p-1") == "+new"
        assert await agora.approvals.propose(title="t", kind="spend", key="k") == VIEW
        assert await agora.approvals.decide("p-1", "approve", VIEW.hash, "looks right", key="k") == VIEW
        assert last(behind) == Approve(VIEW.proposal, VIEW.hash, "operator", "looks right", idempotency_key="k")
        await agora.approvals.withdraw("p-1", "a mistake")
        assert last(behind) == Withdraw(VIEW.proposal, "operator", "a mistake")
