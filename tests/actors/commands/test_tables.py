"""`agora ledger balances` and the other tables, through the running server."""

from pathlib import Path

import pytest

from actors.commands import tables
from actors.commands.console import ExitCode
from bus.errors import BadUsage
from tests.support.inside import briefed, serving, shell_at


async def test_tables_are_written_to_stdout_and_to_new_files(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1)
    shell = shell_at(data)
    async with serving(data):
        capfdbinary.readouterr()
        assert await tables.write(shell, "balances", "csv", "-") is ExitCode.DONE
        out = capfdbinary.readouterr().out
        assert out.startswith(
            b"account,currency,incoming,outgoing,fees,net,held_out,held_in,credit_limit,available\r\n"
        )
        assert b"\r\ntreasury,msat,1000000000," in out
        file = tmp_path / "decisions.jsonl"
        assert await tables.write(shell, "decisions", "jsonl", str(file)) is ExitCode.DONE
        assert b'"type":"auction.closed"' in file.read_bytes()
        with pytest.RaisesGroup(BadUsage):
            await tables.write(shell, "decisions", "jsonl", str(file))
        assert await tables.write(shell, "days", "csv", str(tmp_path / "days.csv"), "treasury") is ExitCode.DONE
        assert (tmp_path / "days.csv").read_text(encoding="utf-8").count("treasury") == 1


async def test_with_json_a_table_is_json_lines(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    async with serving(tmp_path):
        capfdbinary.readouterr()
        assert await tables.write(shell_at(tmp_path, is_json=True), "transfers", "csv", "-") is ExitCode.DONE
        assert capfdbinary.readouterr().out.startswith(b'{"position":')
