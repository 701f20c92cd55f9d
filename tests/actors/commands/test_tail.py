"""`agora tail`: one line per event."""

from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from actors.commands.console import Shell
from actors.commands.tail import Filters, line_of, tail
from bus.errors import BadUsage
from bus.messages.base import Position
from tests.support.inside import serving, shell_at
from web.wire import WireEvent

PATIENCE_S = 60.0


def event(**data: object) -> WireEvent:
    return WireEvent(
        position=Position(7),
        id="1-7",
        type="task.completed",
        source="coordinator",
        subject="t-1",
        time="2025-06-01T12:00:00.123456Z",
        data=msgspec.Raw(msgspec.json.encode(data)),
        cause=Position(0),
        correlation="",
    )


def test_a_line_has_position_type_and_the_plain_fields() -> None:
    line = line_of(event(task="t-1", price_msat=300, spec={"title": "x"}, reason=""))
    assert line.startswith("       7 ")
    assert line.endswith("task.completed       task=t-1 price_msat=300")


def test_a_long_or_strange_field_stays_within_the_line() -> None:
    line = line_of(event(reason="one\ntwo\x1b[31m" + "x" * 500))
    assert "reason=one two [31mx" in line
    assert line.endswith("…")
    assert len(line) < 160


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (Filters(topics=("task.*", "a..b")), r"--type task\.\*, a\.\.b: is not an event type or a pattern"),
        (Filters(after=99_999), "--from 99999: is not between 0 and the head"),
    ],
)
async def test_what_cannot_be_followed_is_said_by_its_option(tmp_path: Path, filters: Filters, said: str) -> None:
    async with serving(tmp_path):
        with pytest.raises(ExceptionGroup) as caught:
            await tail(shell_at(tmp_path), filters)
    assert caught.group_contains(BadUsage, match=said)


async def shown(shell: Shell, filters: Filters, capsys: pytest.CaptureFixture[str], lines: int) -> list[str]:
    """What it has printed once it has printed so many lines: a tail has no end of its own."""
    said = ""
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tail, shell, filters)
            while said.count("\n") < lines:
                await anyio.lowlevel.checkpoint()
                said += capsys.readouterr().out
            tasks.cancel_scope.cancel()
    return said.splitlines()


@pytest.mark.slow
async def test_the_events_of_a_run_are_all_that_name_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path):
        joined = Filters(topics=("agent.joined",), run="main", after=0)
        assert all("agent.joined" in line for line in await shown(shell_at(tmp_path), joined, capsys, 1))
        with anyio.move_on_after(0.5):  # nothing comes, however long it is waited for
            await tail(shell_at(tmp_path), msgspec.structs.replace(joined, run="another"))
    assert capsys.readouterr().out == ""


@pytest.mark.slow
async def test_it_shows_what_is_asked_for_from_a_position_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path):
        shell = shell_at(tmp_path, is_json=True)
        lines = await shown(shell, Filters(topics=("agent.*",), agent="scout", after=0), capsys, 1)
    assert [msgspec.json.decode(line, type=WireEvent).type for line in lines] == ["agent.joined"]
