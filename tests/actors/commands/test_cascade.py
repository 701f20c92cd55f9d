"""`agora reload`, `agora completions …` and `agora ledger reconcile` inside one process."""

from pathlib import Path

import anyio
import msgspec
import pytest

from actors.commands import cascade
from actors.commands.console import ExitCode
from bus.errors import BadUsage
from bus.messages.transcripts import Transcript
from bus.refusals import NotFound
from tests.support.inside import briefed, decoded, serving, shell_at
from web.live_feed import RequestFailed


async def test_completions_are_listed_shown_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1)
    capsys.readouterr()
    async with serving(data):
        assert await cascade.list_completions(shell_at(data), "", "", 10) is ExitCode.DONE
        table = capsys.readouterr().out
        assert all(word in table for word in ("m-1", "answered", "extractive"))
        await cascade.list_completions(shell_at(data, is_json=True), "nobody", "", 10)
        assert decoded(capsys.readouterr().out)["transcripts"] == []
        await cascade.show_completion(shell_at(data), "m-1")
        assert "### answer of extractive" in capsys.readouterr().out
        await cascade.show_completion(shell_at(data, is_json=True), "m-1")
        shown = msgspec.json.decode(capsys.readouterr().out, type=Transcript)
        with pytest.RaisesGroup(pytest.RaisesExc(RequestFailed, match="m-9")):
            await cascade.show_completion(shell_at(data), "m-9")
    file = tmp_path / "all.jsonl"
    assert await cascade.export_completions(shell_at(data), str(file)) is ExitCode.DONE
    lines = (await anyio.Path(file).read_bytes()).splitlines()
    assert msgspec.json.decode(lines[0], type=Transcript) == shown
    with pytest.raises(BadUsage, match="is there already"):
        await cascade.export_completions(shell_at(data), str(file))


async def test_an_export_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="completion log"):
        await cascade.export_completions(shell_at(tmp_path), str(tmp_path / "all.jsonl"))


async def test_a_reload_tells_what_it_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path):
        assert await cascade.reload(shell_at(tmp_path)) is ExitCode.DONE
        assert capsys.readouterr().out == "nothing has changed\n"
        await cascade.reload(shell_at(tmp_path, is_json=True))
        assert decoded(capsys.readouterr().out) == {"changes": [], "waiting": []}


async def test_money_is_reconciled_with_a_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path):
        assert await cascade.reconcile(shell_at(tmp_path), "", "0", "0") is ExitCode.DONE
        assert capsys.readouterr().out.startswith("0.000000 USD count as spent")
        await cascade.reconcile(shell_at(tmp_path, is_json=True), "", "0", "0")
        assert decoded(capsys.readouterr().out) == {"unknown_usd_micros": 0}
        with pytest.RaisesGroup(pytest.RaisesExc(RequestFailed, match="unknown")):
            await cascade.reconcile(shell_at(tmp_path), "openai", "0.5", "0")


@pytest.mark.parametrize("text", ["-1", "x", "0.0000001", "inf"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadUsage, match="no amount in USD"):
        cascade.micros_of(text)
