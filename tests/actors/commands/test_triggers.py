"""`agora trigger`, through the running server."""

from pathlib import Path

import pytest

from actors.commands import triggers
from actors.commands.console import ExitCode
from bus.address import Address
from bus.messages.base import Position
from bus.messages.tasks import TaskSpec
from bus.messages.triggers import TriggerSpec
from tests.support.inside import decoded, serving, shell_at
from web.live_feed import RequestFailed

SPEC = TriggerSpec(types=("task.failed",), agent="scout", post=TaskSpec(title="Look after it"))


async def test_triggers_are_made_listed_and_cancelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = shell_at(tmp_path)
    async with serving(tmp_path):
        assert await triggers.list_(shell) is ExitCode.DONE
        assert capsys.readouterr().out == "there is no trigger\n"
        assert await triggers.create(shell, SPEC) is ExitCode.DONE
        assert capsys.readouterr().out == "g-1: post 'Look after it' for task.failed, agent scout; fired 0 times\n"
        assert await triggers.create(shell, TriggerSpec(at=Position(9_999), wake=Address("monitor"))) is ExitCode.DONE
        assert "wake monitor for position 9999" in capsys.readouterr().out
        assert await triggers.list_(shell) is ExitCode.DONE
        assert (listed := capsys.readouterr().out).index("g-2") < listed.index("g-1")
        assert await triggers.cancel(shell, "g-1") is ExitCode.DONE
        assert "it is over" in capsys.readouterr().out
        with pytest.RaisesGroup(RequestFailed):
            await triggers.cancel(shell, "g-9")


async def test_machines_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = shell_at(tmp_path, is_json=True)
    async with serving(tmp_path):
        assert await triggers.create(shell, SPEC) is ExitCode.DONE
        assert decoded(capsys.readouterr().out)["trigger"] == "g-1"
        assert await triggers.list_(shell) is ExitCode.DONE
        assert "triggers" in decoded(capsys.readouterr().out)
