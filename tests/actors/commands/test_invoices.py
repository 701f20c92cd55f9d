"""`agora invoice`, through the running server."""

from pathlib import Path

import pytest

from actors.commands import invoices
from actors.commands.console import ExitCode
from tests.support.inside import decoded, serving, shell_at
from web.live_feed import RequestFailed


async def test_an_invoice_is_made_settled_and_listed_and_always_said_to_be_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path)
    async with serving(tmp_path):
        assert await invoices.list_(shell, "") is ExitCode.DONE
        assert "there is no invoice" in (said := capsys.readouterr().out)
        assert "its invoices is" not in said
        assert "simulated" in said
        assert await invoices.create(shell, 5_000, "treasury", "work", 0) is ExitCode.DONE
        made = capsys.readouterr().out
        assert made.startswith("i-1 pending: 5000 msat for treasury, over simulated\n")
        assert "lnbcrt50n1" in made
        assert "simulated: nobody can pay it" in made
        assert await invoices.settle(shell, "i-1", "") is ExitCode.DONE
        assert "proof: " in (settled := capsys.readouterr().out)
        assert settled.startswith("i-1 settled: 5000 msat came for treasury")
        assert await invoices.show(shell, "i-1") is ExitCode.DONE
        assert capsys.readouterr().out == settled
        assert await invoices.list_(shell, "settled") is ExitCode.DONE
        assert "i-1" in capsys.readouterr().out
        with pytest.RaisesGroup(RequestFailed):
            await invoices.settle(shell, "i-1", "00")


async def test_machines_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = shell_at(tmp_path, is_json=True)
    async with serving(tmp_path):
        assert await invoices.create(shell, 5_000, "treasury", "", 60) is ExitCode.DONE
        assert decoded(capsys.readouterr().out)["is_simulated"] is True
        assert await invoices.list_(shell, "pending") is ExitCode.DONE
        assert decoded(capsys.readouterr().out)["backend"] == "simulated"
