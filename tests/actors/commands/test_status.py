"""`agora status`, `agora link` and `agora ledger check` inside one process."""

from pathlib import Path

import pytest

from actors.commands import status
from actors.commands.console import ExitCode
from tests.support.inside import decoded, serving, shell_at


async def test_the_status_shows_agents_providers_and_the_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path):
        assert await status.status(shell_at(tmp_path)) is ExitCode.DONE
        shown = capsys.readouterr().out
        assert await status.status(shell_at(tmp_path, is_json=True)) is ExitCode.DONE
    assert all(word in shown for word in ("scout", "analyst", "editor", "extractive", "journal: epoch 1, position"))
    assert set(decoded(capsys.readouterr().out)) == {"tasks", "agents", "router", "journal"}


async def test_the_books_are_proved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path):
        assert await status.check_ledger(shell_at(tmp_path)) is ExitCode.DONE
        assert capsys.readouterr().out.startswith("conserved: ")
        assert await status.check_ledger(shell_at(tmp_path, is_json=True)) is ExitCode.DONE
    assert decoded(capsys.readouterr().out)["is_conserved"] is True


async def test_each_link_is_fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path) as society:
        for is_json in (False, False, True):
            assert await status.issue_link(shell_at(tmp_path, is_json=is_json)) is ExitCode.DONE
    first, second, document = capsys.readouterr().out.split("\n", 2)
    third = decoded(document)["link"]
    assert len({first, second, third}) == 3
    assert all(str(link).startswith(f"{society.url}/#token=") for link in (first, second, third))
