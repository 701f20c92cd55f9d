"""`agora replay`: what the events say, and what the checkpoints say."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from actors.commands.console import ExitCode
from actors.commands.replay import Replayed, replay
from bus.errors import BadUsage
from tests.support.inside import briefed, shell_at


async def test_the_checkpoints_say_what_the_events_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1, 2)
    capsys.readouterr()
    assert await replay(shell_at(data, is_json=True), None) is ExitCode.DONE
    found = msgspec.json.decode(capsys.readouterr().out, type=Replayed)
    assert found.compared >= 6
    assert set(found.actors) >= {"ledger", "coordinator", "router", "artifacts", "agents/scout"}
    assert await replay(shell_at(data), 0) is ExitCode.DONE
    assert "position 0: 0 events folded" in capsys.readouterr().out
    with pytest.raises(BadUsage, match="there is no position"):
        await replay(shell_at(data), found.position + 1)


async def test_an_event_that_a_checkpoint_does_not_know_of_is_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1)
    connection = sqlite3.connect(data / "segments" / "0000000000000001.sqlite")
    row = "type = (SELECT id FROM types WHERE name = 'transfer.posted') AND position > 10"
    text = "replace(CAST(data AS TEXT), 'agents/scout', 'agents/other')"
    changed = connection.execute(f"UPDATE events SET data = CAST({text} AS BLOB) WHERE {row}")
    assert changed.rowcount == 1
    connection.commit()
    connection.close()
    assert await replay(shell_at(data), None) is ExitCode.FAILED
    assert "ledger in c-" in capsys.readouterr().out
