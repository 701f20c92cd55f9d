"""`agora brief` inside one process; tests/acceptance has it as a process."""

from pathlib import Path

import pytest

from actors.commands.brief import brief
from actors.commands.console import ExitCode
from actors.providers.options import ProviderOptions
from actors.router import RouterOptions
from tests.support.inside import decoded, serving, shell_at

TEXT = "Agora is a society of agents. It keeps a journal. Agents bid for tasks. The winner works and is paid. " * 3


def written(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"Document {number}. {TEXT}")
    return folder


async def test_documents_are_briefed_by_a_society_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path / "data", is_json=True)
    code = await brief(shell, [written(tmp_path / "documents", 5)], reward_msat=1_000, sentences=2)
    report = decoded(capsys.readouterr().out)
    assert (code, report["briefed"], report["failed"]) == (ExitCode.DONE, 5, 0)


async def test_the_table_shows_what_was_briefed_and_what_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "documents", 1)
    (folder / "[bold]empty.md").write_text(" ")
    async with serving(tmp_path / "data"):
        code = await brief(shell_at(tmp_path / "data"), [folder], reward_msat=1_000, sentences=1)
    said = capsys.readouterr().out
    assert code is ExitCode.FAILED
    assert "[bold]empty.md" in said, "a name is shown as it is"
    assert "empty: it holds no text" in said
    assert "1 briefed, 1 not" in said


@pytest.mark.slow  # three auctions wait out their windows
async def test_a_reward_that_nobody_works_for_fails_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path / "data", is_json=True)
    code = await brief(shell, [written(tmp_path / "documents", 1)], reward_msat=1, sentences=1)
    assert code is ExitCode.FAILED
    assert "failed: nobody bid" in capsys.readouterr().out


async def test_more_money_than_there_is_is_refused_for_each_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path / "data", is_json=True)
    code = await brief(shell, [written(tmp_path / "documents", 2)], reward_msat=10**12, sentences=1)
    said = capsys.readouterr().out
    assert code is ExitCode.FAILED
    assert said.count("the reward could not be held") == 2


async def test_without_any_provider_each_task_fails_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = RouterOptions(
        providers=(ProviderOptions(name="dead", dialect="openai", base_url="http://127.0.0.1:9/v1", model="m"),)
    )
    shell = shell_at(tmp_path / "data", is_json=True, router=dead)
    code = await brief(shell, [written(tmp_path / "documents", 1)], reward_msat=1_000, sentences=1)
    assert code is ExitCode.FAILED
    assert "no provider answered" in capsys.readouterr().out
