"""`agora status` and `agora ledger check`: how the society fares, read from its server."""

import msgspec
from rich.markup import escape
from rich.table import Table

from actors.commands.connection import joined, link_of
from actors.commands.console import ExitCode, Shell
from bus.messages.completions import RouterView

TASKS_MAX = 20
MICROS = 1_000_000


class _Agent(msgspec.Struct):
    agent: str
    status: str
    tasks: tuple[str, ...]
    capabilities: tuple[str, ...]
    completed: int
    failed: int
    earned_msat: int


class _Agents(msgspec.Struct):
    items: dict[str, _Agent]


async def status(shell: Shell) -> ExitCode:
    """Tasks, agents, providers and the journal. Raises NotServing when no server runs."""
    async with joined(shell) as agora:
        tasks = (await agora.tasks(limit=TASKS_MAX)).tasks
        agents = msgspec.json.decode((await agora.state())["agents"], type=_Agents).items
        router = await agora.cascade.show()
        journal = await agora.events(limit="1")
    if shell.is_json:
        epoch = {"epoch": journal.epoch, "position": journal.head}
        shell.print_json({"tasks": tasks, "agents": agents, "router": router, "journal": epoch})
        return ExitCode.DONE
    _print(
        shell,
        Table("task", "state", "agent", "price", "title", title=f"newest tasks (at most {TASKS_MAX})"),
        [(t.task, t.state.value, t.agent, f"{t.price_msat} msat" if t.price_msat else "", t.spec.title) for t in tasks],
    )
    _print(
        shell,
        Table("agent", "status", "works on", "can", "completed", "earned", title="agents"),
        [
            (
                a.agent,
                a.status,
                ", ".join(a.tasks),
                ", ".join(a.capabilities),
                str(a.completed),
                f"{a.earned_msat} msat",
            )
            for a in agents.values()
        ],
    )
    _print(
        shell,
        Table("provider", "model", "breaker", "completed", "failed", "last error", title="providers"),
        [
            (p.name, p.model, p.breaker.value, str(p.completed), str(p.failed), p.last_error or p.disabled_reason)
            for p in router.providers
        ],
    )
    if router.spent_run_usd_micros or router.budget_run_usd_micros or router.budget_day_usd_micros:
        shell.say(_money(router))
    if router.is_budget_exhausted:
        shell.say("The budget is spent: no step begins until there is more than the next call may cost.")
    shell.say(f"journal: epoch {journal.epoch}, position {journal.head}")
    return ExitCode.DONE


async def check_ledger(shell: Shell) -> ExitCode:
    """The proof that no money came from nowhere: 0 if it holds, 1 if not."""
    async with joined(shell) as agora:
        proof = await agora.check_ledger()
    if shell.is_json:
        shell.print_json(proof)
    else:
        sums = ", ".join(f"{currency} {total}" for currency, total in sorted(proof.sums.items()))
        held = "conserved" if proof.is_conserved else "NOT conserved"
        shell.say(f"{held}: {proof.accounts} accounts, {proof.transfers} transfers; sums: {sums}")
        for problem in proof.problems:
            shell.say(f"  {problem}")
    return ExitCode.DONE if proof.is_conserved else ExitCode.FAILED


async def issue_link(shell: Shell) -> ExitCode:
    """A fresh link that opens the page with all rights, once."""
    async with joined(shell) as agora:
        link = link_of(agora.url, await agora.issue_link())
    return shell.answer({"link": link}, link)


def _money(router: RouterView) -> str:
    """What the models have cost, of the budgets that there are."""
    parts = [_of("this run", router.spent_run_usd_micros, router.budget_run_usd_micros)]
    parts.append(_of("today", router.spent_today_usd_micros, router.budget_day_usd_micros))
    return f"spent on models: {', '.join(parts)}"


def _of(span: str, spent: int, budget: int) -> str:
    limit = f" of {budget / MICROS:.3f}" if budget else ""
    return f"{spent / MICROS:.3f}{limit} USD {span}"


def _print(shell: Shell, table: Table, rows: list[tuple[str, ...]]) -> None:
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    shell.print_table(table)
