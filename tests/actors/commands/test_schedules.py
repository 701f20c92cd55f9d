"""`agora schedule`, through the running server."""

from pathlib import Path

import pytest

from actors.commands import schedules
from actors.commands.console import ExitCode
from bus.messages.tasks import TaskSpec
from tests.support.inside import decoded, serving, shell_at
from web.live_feed import RequestFailed

SPEC = TaskSpec(title="Look at the moons")


async def test_schedules_are_made_listed_and_cancelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = shell_at(tmp_path)
    async with serving(tmp_path):
        assert await schedules.list_(shell) is ExitCode.DONE
        assert capsys.readouterr().out == "there is no schedule\n"
        daily = await schedules.create(
            shell, SPEC, at="", delay_s=0.0, cron="0 9 * * *", zone="Europe/Berlin", missed="skip"
        )
        assert daily is ExitCode.DONE
        made = capsys.readouterr().out
        assert made.startswith("s-1: 'Look at the moons', 0 9 * * * in Europe/Berlin; next: 20")
        later = await schedules.create(shell, SPEC, at="", delay_s=3_600, cron="", zone="UTC", missed="run_once")
        assert later is ExitCode.DONE
        assert "after 3600 s" in capsys.readouterr().out
        assert await schedules.list_(shell) is ExitCode.DONE
        assert "s-2" in (listed := capsys.readouterr().out)
        assert listed.index("s-2") < listed.index("s-1")
        assert await schedules.cancel(shell, "s-1") is ExitCode.DONE
        assert "next: never: cancelled" in capsys.readouterr().out
        with pytest.RaisesGroup(RequestFailed):
            await schedules.cancel(shell, "s-9")


async def test_machines_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = shell_at(tmp_path, is_json=True)
    async with serving(tmp_path):
        made = await schedules.create(
            shell, SPEC, at="2100-01-01T00:00:00Z", delay_s=0.0, cron="", zone="UTC", missed="run_all"
        )
        assert made is ExitCode.DONE
        assert decoded(capsys.readouterr().out)["schedule"] == "s-1"
        assert await schedules.list_(shell) is ExitCode.DONE
        assert "schedules" in decoded(capsys.readouterr().out)
