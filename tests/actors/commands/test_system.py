"""`agora halt`, `agora resume` and `agora status --actors`, with a whole society behind them."""

from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from actors.commands import system
from actors.commands.console import ExitCode
from actors.composition import Running
from bus.messages.base import Position
from bus.messages.completions import ROUTER, ChatMessage, Complete
from bus.messages.tasks import TaskSpec
from bus.refusals import Halted
from tests.support.inside import decoded, serving, shell_at
from web.client import AgoraClient
from web.system_client import ActorAnswer, MailboxAnswer

DEADLINE_S = 30.0
NEW_WORK = ("task.assigned", "step.started", "completion.completed")
SPEC = TaskSpec("Say what Agora is", instructions="Agora keeps a journal. Agents bid for tasks.", reward_msat=1_000)


def client_of(society: Running) -> AgoraClient:
    return AgoraClient(society.url, token=society.token_path.read_text(encoding="ascii").strip())


async def seen_until(agora: AgoraClient, *types: str) -> list[str]:
    """The types of all events up to the first of those."""
    found: list[str] = []
    with anyio.fail_after(DEADLINE_S):
        async with aclosing(agora.feed(after=Position(0)).__aiter__()) as events:
            async for event in events:
                found.append(event.type)
                if event.type in types:
                    return found
    raise AssertionError("a feed has no end")


async def test_while_all_is_halted_nothing_new_begins_also_after_a_restart_and_then_it_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as society, client_of(society) as agora:
        assert await system.halt(shell_at(tmp_path), "look first") is ExitCode.DONE
        await agora.create_task(SPEC)
        begun = await seen_until(agora, "bid.submitted")
        assert bytes((await agora.state())["status"]) == b'"halted"'
    async with serving(tmp_path) as society, client_of(society) as agora:
        assert (await agora.system.show()).is_halted
        with pytest.raises(Halted):
            await society.system.ask(ROUTER, Complete((ChatMessage("user", "Hello."),), 10, 5.0), timeout_s=5.0)
        halted = await seen_until(agora, "system.started")
        assert not set(NEW_WORK) & {*begun, *halted}
        assert await system.resume(shell_at(tmp_path)) is ExitCode.DONE
        events = await seen_until(agora, "task.completed", "task.failed")
        assert events[-1] == "task.completed"
        assert events.index("system.resumed") < min(events.index(kind) for kind in NEW_WORK)
        assert bytes((await agora.state())["status"]) == b'"running"'


async def test_the_actor_tree_is_shown_with_what_each_has_waiting_and_how_long_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path) as society, client_of(society) as agora:
        await agora.worker("painter").register(["paint"])
        assert await system.actors(shell_at(tmp_path)) is ExitCode.DONE
        shown = capsys.readouterr().out.splitlines()
        assert await system.actors(shell_at(tmp_path, is_json=True)) is ExitCode.DONE
    assert " ".join(shown[0].split()) == "actor state waiting most oldest p50 p99 held up handled restarts trouble"
    assert any(line.startswith("journal") and "running" in line and "0/1024" in line for line in shown)
    assert shown.index(next(line for line in shown if line.startswith("  agents/painter"))) == 1 + shown.index(
        next(line for line in shown if line.startswith("visitors"))
    )
    actors = decoded(capsys.readouterr().out)["actors"]
    assert isinstance(actors, list)
    assert {actor["address"]: actor["parent"] for actor in actors}["agents/painter"] == "visitors"
    for actor in actors:
        assert {"state", "oldest_s", "handle_p50_s", "handle_p99_s", "backpressure_s", *FIELDS} <= actor.keys()
        assert {"depth", "size_max", "high_water"} <= actor["mailbox"].keys()


FIELDS = ("restarts", "last_error", "parked_at", "lag")
MAILBOX = MailboxAnswer(7, 1_024, 9, 100, 93, 2, 0, 0, 3)
STUCK = ActorAnswer(
    "slow", "Slow", "running", MAILBOX, 93, 1, "ValueError: a bug", True, 2, 0, 0, "boss", 42.0, 0.00015, 0.25, 1.5
)
IDLE = MailboxAnswer(0, 1_024, 1, 1, 1, 0, 0, 0, 0)
BOSS = ActorAnswer("boss", "Boss", "running", IDLE, 1, 0, "", False, 0, 0, 0, "", 0.0, 0.0, 0.0, 0.0)
PARKED = ActorAnswer("parked", "Parked", "running", IDLE, 1, 0, "", False, 0, 0, 17, "", 0.0, 0.0, 0.0, 0.0)


def test_an_actor_that_is_stuck_is_named_below_its_supervisor_with_what_is_wrong() -> None:
    rows = [system.row_of(depth, actor) for depth, actor in system.in_tree((BOSS, PARKED, STUCK))]
    assert [cells[0] for cells, _ in rows] == ["boss", "  slow", "parked"]
    assert [is_stuck for _, is_stuck in rows] == [False, True, True]
    assert rows[1][0][1:] == (
        "running, busy, 2 jobs",
        "7/1024",
        "9",
        "42.0 s",
        "150 µs",
        "250.0 ms",
        "1.5 s",
        "93",
        "1",
        "stuck; 3 senders wait; 2 refused or dropped; ValueError: a bug",
    )
    assert rows[2][0][-1] == "parked at 17"


@pytest.mark.parametrize(("width", "columns"), [(160, 11), (80, 5)])
def test_where_there_is_little_room_columns_that_say_nothing_are_left_out(width: int, columns: int) -> None:
    assert len(system.table_of((BOSS,), width).columns) == columns
