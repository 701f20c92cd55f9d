"""A budget that is spent, as who runs a server meets it: nothing begins, everything says so, and more lets it go on."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import msgspec
import pytest

from bus.messages.tasks import TaskSpec, TaskState
from tests.support.fault_server import TOKENS_IN, TOKENS_OUT, FaultServer, Sickness
from tests.support.served import Served, ran, served
from web.client import AgoraClient
from web.wire import WireEvent

pytestmark = pytest.mark.slow

CALL_USD_MICROS = (TOKENS_IN + TOKENS_OUT) * 1_000
"""What a call costs in the end. Before, some 670,000 are set aside for it: it may say 600 tokens."""
ONE_CALL_AND_A_BIT = 1_400_000
A_CALL_OR_TWO = 690_000
PLENTY = 20_000_000
DEAR = TaskSpec(title="A long one", instructions="word " * 800, reward_msat=100_000)
"""Its prompt alone may cost more than ONE_CALL_AND_A_BIT."""
PATIENCE_S = 60.0


class About(msgspec.Struct):
    """Of an event, what it is about."""

    task: str = ""
    status: str = ""
    budget: str = ""
    reason: str = ""


class Status(msgspec.Struct):
    """Of the state, whether it goes on."""

    status: str
    run: str


def settings(path: Path, provider: FaultServer, **budgets: int) -> str:
    """A file with one priced provider and these budgets."""
    lines = "\n".join(f"{name} = {amount}" for name, amount in budgets.items())
    path.write_text(
        f"[router]\n{lines}\n"
        f'[[router.providers]]\nname = "dear"\ndialect = "openai"\nbase_url = "{provider.url}/v1"\n'
        'model = "m"\nprice_in = 1000\nprice_out = 1000\n'
    )
    return str(path)


async def heard(stream: AsyncIterator[WireEvent], type_: str, wanted: Callable[[About], bool]) -> WireEvent:
    """The next event of a type that is about what is wanted."""
    async for event in stream:
        if event.type == type_ and wanted(msgspec.json.decode(event.data, type=About)):
            return event
    raise AssertionError("a feed has no end")


async def status_of(client: AgoraClient) -> Status:
    state = await client.state()
    return msgspec.json.decode(msgspec.json.encode({name: state[name] for name in ("status", "run")}), type=Status)


async def types_between(client: AgoraClient, first: int, last: int) -> set[str]:
    page = await client.events(after=str(first), before=str(last), limit="1000")
    return {event.type for event in page.events}


async def test_nothing_begins_on_a_spent_budget_and_more_lets_the_same_run_go_on_even_after_a_kill(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with FaultServer(Sickness.HELD) as provider:
        config = settings(tmp_path / "agora.toml", provider, budget_run_usd_micros=ONE_CALL_AND_A_BIT)
        async with served(data, "--config", config) as server, server.client() as client:
            waiting = await spend_all(server, client, provider)
            status = await ran("status", "--data", str(data), "--config", config)
            assert "0.015 of 1.400 USD this run" in status.out
            assert "The budget is spent" in status.out
            waited = await ran("wait", *waiting, "--data", str(data), "--config", config)
            assert (waited.code, waited.has_traceback) == (1, False)
            assert f"The budget is spent: {', '.join(sorted(waiting))} waited for more" in waited.err
            spent = await position_of(client, "budget.spent")
            before = (await client.cascade.show()).spent_run_usd_micros
            assert before == CALL_USD_MICROS
            server.kill()
            await server.process.wait()
        calls = provider.calls
        async with served(data, "--config", config) as server, server.client() as client:
            assert await status_of(client) == Status("budget_exhausted", "main")
            assert [alert.alert for alert in (await client.system.show()).alerts] == ["budget/run"]
            again = await client.cascade.show()
            assert again.spent_run_usd_micros >= before
            server.terminate()
            assert (await server.ended()).code == 0
        assert provider.calls == calls, "a restart is no reason to ask"
        settings(tmp_path / "agora.toml", provider, budget_run_usd_micros=PLENTY)
        async with served(data, "--config", config) as server, server.client() as client:
            waited = await ran("wait", *waiting, "--data", str(data), "--config", config)
            assert waited.code == 0, waited
            after = await client.cascade.show()
            assert after.spent_run_usd_micros == again.spent_run_usd_micros + 2 * CALL_USD_MICROS
            assert await status_of(client) == Status("running", "main")
            assert (await client.system.show()).alerts == ()
            reopened = await position_of(client, "budget.reopened")
            assert "step.started" not in await types_between(client, spent, reopened)
            assert (await client.events(limit="1")).epoch == 1


async def spend_all(server: Served, client: AgoraClient, provider: FaultServer) -> list[str]:
    """One call is under way, a second one is more than is left, a third task comes later; those that wait."""
    feed = client.feed(("#",), after=(await client.events(limit="1")).head)
    with anyio.fail_after(PATIENCE_S):
        async with aclosing(aiter(feed)) as stream:
            first = (await client.create_task(TaskSpec(title="First", reward_msat=2_000))).task
            await provider.called(1)
            dear = (await client.create_task(DEAR)).task
            await heard(stream, "budget.spent", lambda about: about.budget == "run")
            saved = await heard(stream, "checkpoint.saved", lambda about: about.reason == "budget_exhausted")
            assert saved.position
            assert await status_of(client) == Status("budget_exhausted", "main")
            assert [alert.alert for alert in (await client.system.show()).alerts] == ["budget/run"]
            third = (await client.create_task(TaskSpec(title="Third", reward_msat=2_000))).task
            await heard(stream, "task.assigned", lambda about: about.task == third)
            assert provider.open_calls == 1
            provider.release()  # what was under way ends as ever
            await heard(stream, "task.completed", lambda about: about.task == first)
    assert provider.calls == 1
    (kept, *_) = (await client.checkpoints.all()).checkpoints
    assert kept.reason == "budget_exhausted"
    return [dear, third]


async def position_of(client: AgoraClient, type_: str) -> int:
    """Where the newest event of a type stands."""
    return (await client.events(type=type_, limit="1")).events[0].position


@pytest.mark.parametrize(
    ("setting", "budget", "status"),
    [
        ("budget_day_usd_micros", r"day/\d+", "budget_exhausted"),
        ("budget_agent_usd_micros", r"agent/\w+", "running"),
    ],
)
async def test_a_days_and_an_agents_budget_hold_up_whom_they_concern_until_the_settings_give_more(
    tmp_path: Path, setting: str, budget: str, status: str
) -> None:
    data = tmp_path / "data"
    async with FaultServer() as provider:
        config = settings(tmp_path / "agora.toml", provider, **{setting: A_CALL_OR_TWO})
        async with served(data, "--config", config) as server, server.client() as client:
            feed = client.feed(("budget.*", "agent.status", "alert.cleared"), after=(await client.events()).head)
            with anyio.fail_after(PATIENCE_S):
                async with aclosing(aiter(feed)) as stream:
                    task = (await client.create_task(DEAR)).task
                    await heard(stream, "budget.spent", lambda about: re.fullmatch(budget, about.budget) is not None)
                    await heard(stream, "agent.status", lambda about: (about.status, about.task) == ("waiting", task))
                    assert (await status_of(client)).status == status
                    assert provider.calls == 0
                    settings(tmp_path / "agora.toml", provider, **{setting: PLENTY})
                    reload = await ran("reload", "--data", str(data), "--config", config)
                    assert reload.code == 0, reload
                    more = await heard(stream, "budget.reopened", lambda about: True)
                    assert re.fullmatch(budget, msgspec.json.decode(more.data, type=About).budget)
                    await heard(stream, "alert.cleared", lambda about: True)
            waited = await ran("wait", task, "--data", str(data), "--config", config)
            assert waited.code == 0, waited
            assert (await client.task(task)).state is TaskState.COMPLETED
            assert (await status_of(client)).status == "running"
            assert provider.calls == 1
