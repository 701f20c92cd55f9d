"""`agora post` and `agora wait` inside one process."""

from pathlib import Path

import msgspec
import pytest

from actors.commands import tasks
from actors.commands.console import ExitCode
from bus.errors import BadUsage, NotServing
from bus.messages.tasks import TaskSpec
from tests.support.inside import decoded, serving, shell_at
from web.live_feed import RequestFailed


async def test_a_posted_task_is_told_by_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path):
        for is_json in (True, False):
            shell = shell_at(tmp_path, is_json=is_json)
            assert await tasks.post(shell, TaskSpec(title="Hello"), file=None, is_waited_for=False) is ExitCode.DONE
    first, _, second = capsys.readouterr().out.partition("}\n")
    assert decoded(first + "}")["task"] == "t-1"
    assert second == "t-2 is posted; `agora wait t-2` waits for its end\n"


async def test_waiting_shows_the_result_and_its_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "one.md"
    document.write_text("The only sentence of this document says that it is the only one.")
    async with serving(tmp_path / "data"):
        shell = shell_at(tmp_path / "data")
        spec = TaskSpec(title="Brief", instructions="One sentence.", capability="summarise")
        assert await tasks.post(shell, spec, file=document, is_waited_for=True) is ExitCode.DONE
        first = capsys.readouterr().out
        assert await tasks.wait(shell, ("t-1", "t-1")) is ExitCode.DONE
    assert first.startswith("t-1 completed by ")
    assert "The only sentence of this document" in first
    assert capsys.readouterr().out == first, "an ended task is told the same again, and once"


async def test_a_task_that_nobody_can_do_ends_with_1_and_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path):
        shell = shell_at(tmp_path, is_json=True)
        spec = TaskSpec(title="Paint", capability="paint", attempts_max=1, bid_window_s=0.01)
        assert await tasks.post(shell, spec, file=None, is_waited_for=True) is ExitCode.FAILED
    (told,) = msgspec.json.decode(capsys.readouterr().out, type=list[dict[str, dict[str, object] | str]])
    task = told["task"]
    assert isinstance(task, dict)
    assert task["state"] == "failed"


async def test_what_cannot_be_used_is_refused_before_anything_is_posted(tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text("")
    shell = shell_at(tmp_path / "data")
    with pytest.raises(BadUsage, match=r"empty\.md: empty: it holds no text"):
        await tasks.post(shell, TaskSpec(title="Hello"), file=tmp_path / "empty.md", is_waited_for=False)
    with pytest.raises(NotServing):
        await tasks.post(shell, TaskSpec(title="Hello"), file=None, is_waited_for=False)
    async with serving(tmp_path / "data"):
        with pytest.raises(ExceptionGroup) as refused:
            await tasks.wait(shell, ("t-99",))
        assert refused.group_contains(RequestFailed, match="t-99")
