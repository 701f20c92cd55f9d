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

DEADLINE_S = 30.0
NEW_WORK = ("task.assigned", "step.started", "completion.requested")
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


async def test_the_actor_tree_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path):
        assert await system.actors(shell_at(tmp_path)) is ExitCode.DONE
        shown = capsys.readouterr().out
        assert await system.actors(shell_at(tmp_path, is_json=True)) is ExitCode.DONE
    for name in ("journal (Journal): running", "monitor (Monitor): running", "agents/scout (Agent): running"):
        assert name in shown
    actors = decoded(capsys.readouterr().out)["actors"]
    assert isinstance(actors, list)
    assert len(actors) >= 8
