"""The agents' tools for what needs a person's word: a change of a repository, and more money.

Rules: an agent proposes within the paths that it declares and never applies anything by itself; what it reads or is
told decides neither where nor how much. Asked again, by a retry or after a restart, it proposes the same once.
"""

import contextlib
from collections.abc import Sequence

from actors.rules import filing
from actors.rules.filing import FilingOptions, Page
from actors.runtime import Job
from bus.errors import AgoraError
from bus.messages.agents import agent_address
from bus.messages.approvals import (
    APPROVALS,
    AwaitDecision,
    ProposalId,
    ProposalState,
    ProposalView,
    ProposeChange,
    RequestApproval,
    Withdraw,
)
from bus.messages.base import AgentId, Message
from bus.messages.completions import ROUTER, ReadRouter, SetBudget
from bus.messages.repositories import ReadRepositoryFile

PROPOSE_CHANGE = "propose_change"
SPEND = "spend"
"""The kind of a proposal that asks for money."""
RUN = "run"
"""The budget that can be raised: everybody's."""
READ_MORE_S = 60.0
"""What reading a repository may take beyond an ask: the first read makes the library."""
DECISION_MAX_S = 86_400.0
"""A decision is asked for anew every day, for as long as it is open."""


async def propose_change(
    job: Job, options: FilingOptions, pages: Sequence[Page], *, title: str, detail: str, key: str, timeout_s: float
) -> ProposalView | None:
    """Propose that these files shall be so; None where they are so already. Raises AgoraError."""
    filing.check_declared(options, [page.path for page in pages])
    there: dict[str, str | None] = {}
    for page in pages:
        query = ReadRepositoryFile(options.repository, options.branch, page.path)
        found = await job.ask(APPROVALS, query, timeout_s=timeout_s + READ_MORE_S)
        there[page.path] = found.text if found.is_there else None
    patch = filing.patch(pages, there)
    if not patch:
        return None
    command = ProposeChange(
        repository=options.repository,
        branch=options.branch,
        title=title,
        proposer=agent_address(AgentId(options.agent)),
        patch=patch,
        paths=tuple(page.path for page in pages),
        detail=detail,
        impact="low",
        idempotency_key=key,
    )
    return await job.ask(APPROVALS, command, timeout_s=timeout_s)


class SpendAsked(Message, frozen=True):
    """Sent to an agent when it has asked for money: it takes it back when the money comes otherwise."""

    wire_name = "spend.asked"

    proposal: ProposalId


async def request_spend(job: Job, agent: AgentId, *, more_usd_micros: int, reason: str, timeout_s: float) -> None:
    """Ask people to raise the run's budget, wait for their word, and raise it if they say so. Raises AgoraError.

    Who asks for the same beside it raises it to the same limit, so it is raised once.
    """
    limit = (await job.ask(ROUTER, ReadRouter(), timeout_s=timeout_s)).budget_run_usd_micros
    if not limit:
        return
    wanted = limit + more_usd_micros
    command = RequestApproval(
        kind=SPEND,
        title=f"Raise the budget of the run from {limit / 1e6:g} to {wanted / 1e6:g} USD",
        proposer=agent_address(agent),
        detail=reason,
        subject=f"budget/{RUN}/{wanted}",
        impact="high",
        idempotency_key=f"spend/{agent}/{wanted}",
    )
    asked = await job.ask(APPROVALS, command, timeout_s=timeout_s)
    job.tell(agent_address(agent), SpendAsked(asked.proposal))
    decided = await job.ask(APPROVALS, AwaitDecision(asked.proposal), timeout_s=DECISION_MAX_S)
    if decided.state is not ProposalState.APPROVED:
        return
    now = (await job.ask(ROUTER, ReadRouter(), timeout_s=timeout_s)).budget_run_usd_micros
    if 0 < now < wanted:
        await job.ask(ROUTER, SetBudget(wanted), timeout_s=timeout_s)


async def withdraw_spend(job: Job, agent: AgentId, proposal: ProposalId, *, timeout_s: float) -> None:
    """Take back what is no longer needed; what is decided already stays as it is."""
    command = Withdraw(proposal, agent_address(agent), "the budget was raised meanwhile")
    with contextlib.suppress(AgoraError):
        await job.ask(APPROVALS, command, timeout_s=timeout_s)
