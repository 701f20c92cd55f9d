"""`agora approvals list|branches`, `agora approve` and `agora reject`: read what waits for a word, and give it.

Rules: the diff is shown before anyone is asked, and the decision carries the hash of exactly what was shown. A reason
is asked for unless it was given; without a terminal it has to be.
"""

import secrets
from typing import Literal

import anyio.to_thread
import typer
from rich.syntax import Syntax
from rich.table import Table

from actors.commands.connection import joined
from actors.commands.console import ExitCode, Shell
from bus.errors import BadUsage
from bus.messages.approvals import ProposalView
from web.client import AgoraClient

ROWS_MAX = 50
DIFF_LINES_MAX = 2_000
"""More is for the page: a terminal would only scroll by."""
Decision = Literal["approve", "reject"]


async def list_(shell: Shell, state: str) -> ExitCode:
    """The newest proposals. Raises AgoraError."""
    async with joined(shell) as agora:
        page = await agora.approvals.all(state=state, limit=ROWS_MAX)
    if shell.is_json:
        shell.print_json(page)
        return ExitCode.DONE
    table = Table("Proposal", "State", "Kind", "Impact", "Proposer", "Says yes", "Title")
    for view in page.proposals:
        table.add_row(
            view.proposal,
            view.state,
            view.kind,
            view.impact,
            view.proposer,
            f"{len(view.votes)} of {view.approvers}",
            view.title,
        )
    shell.print_table(table)
    shell.say(f"{page.pending} wait for a decision")
    return ExitCode.DONE


async def branches(shell: Shell) -> ExitCode:
    """The refs of proposals, in all repositories. Raises AgoraError."""
    async with joined(shell) as agora:
        page = await agora.approvals.branches()
    if shell.is_json:
        shell.print_json(page)
        return ExitCode.DONE
    table = Table("Proposal", "State", "Repository", "Commit")
    for branch in page.branches:
        table.add_row(branch.proposal, branch.state or "not known here", branch.repository, branch.commit[:12])
    shell.print_table(table)
    shell.say("each goes some time after its proposal has ended")
    return ExitCode.DONE


async def decide(shell: Shell, proposal: str, decision: Decision, *, reason: str, hash_: str) -> ExitCode:
    """Show a proposal, ask, and decide on exactly that.

    Raises:
        BadUsage: there is nobody to ask, and no reason was given.
        AgoraError: the society could not be reached, or refused.
    """
    if not reason and not shell.out.is_terminal:
        raise BadUsage("without a terminal the reason has to be given: --reason")
    async with joined(shell) as agora:
        view = await agora.approvals.one(proposal)
        if not shell.is_json:
            await _show(shell, agora, view)
        if not reason:
            asked = f"{decision.capitalize()} {proposal} ({view.hash[:12]})? The reason, or nothing to leave it"
            reason = await anyio.to_thread.run_sync(lambda: str(typer.prompt(asked, default="", show_default=False)))
        if not reason.strip():
            shell.say("nothing was decided")
            return ExitCode.FAILED
        key = f"{decision}/{secrets.token_hex(8)}"
        decided = await agora.approvals.decide(proposal, decision, hash_ or view.hash, reason, key=key)
    return shell.answer(decided, f"{decided.proposal} is {decided.state}")


async def _show(shell: Shell, agora: AgoraClient, view: ProposalView) -> None:
    shell.say(f"{view.proposal} {view.state}: {view.title}")
    shell.say(f"by {view.proposer}, {view.kind} of {view.impact} impact, {len(view.votes)} of {view.approvers} yes")
    if view.detail:
        shell.say(view.detail)
    if view.target is not None:
        shell.say(f"{view.target.repository}: {view.target.branch} <- {view.target.head or 'a patch'}")
    if view.change is not None:
        lines = (await agora.approvals.diff(view.proposal)).splitlines()
        shell.out.print(Syntax("\n".join(lines[:DIFF_LINES_MAX]), "diff", background_color="default"))
        if len(lines) > DIFF_LINES_MAX:
            shell.say(f"{len(lines) - DIFF_LINES_MAX} more lines are on the page")
    if view.checks is not None:
        shell.say(f"checks ended with {view.checks.exit_code} after {view.checks.took_ms / 1000:.1f} s")
    shell.say(f"hash {view.hash}")
