"""`agora redact`: what a person has said is gone for good, in a directory in which a society has worked."""

from pathlib import Path

import msgspec
import pytest

from actors.commands.console import ExitCode
from actors.commands.exchange import export, import_
from actors.commands.journal import verify
from actors.commands.redact import Target, redact
from actors.commands.replay import Replayed, replay
from bus.errors import BadUsage
from bus.messages.base import Position
from bus.messages.tasks import TaskSpec
from bus.refusals import NotFound
from storage.errors import DirectoryInUse
from storage.transcripts import kept
from tests.support.inside import briefed, decoded, serving, shell_at
from web.client import AgoraClient

pytestmark = pytest.mark.slow

SECRET = "Quintessence"


async def _worked(data: Path, folder: Path) -> None:
    """Two tasks in a history with money, work and artifacts."""
    await briefed(data, folder, 1)
    async with serving(data) as society, _client(society.url, data) as agora:
        for title in (f"find {SECRET}", "find Xylophone"):
            task = (await agora.create_task(TaskSpec(title=title, instructions=f"about {title}"))).task
            while (await agora.task(task)).state != "completed":
                pass


def _client(url: str, data: Path) -> AgoraClient:
    return AgoraClient(url, token=(data / "admin.token").read_text().strip())


async def _replayed(data: Path, capsys: pytest.CaptureFixture[str]) -> Replayed:
    capsys.readouterr()
    assert await replay(shell_at(data, is_json=True), None) is ExitCode.DONE
    return msgspec.json.decode(capsys.readouterr().out, type=Replayed)


async def test_a_redacted_task_is_unreadable_in_pages_searches_exports_and_states_and_all_else_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file, other = tmp_path / "data", tmp_path / "all.jsonl", tmp_path / "other"
    await _worked(data, tmp_path / "documents")
    capsys.readouterr()
    assert await redact(shell_at(data, is_json=True), Target(task="t-2"), reason="asked", by="ana") is ExitCode.DONE
    told = decoded(capsys.readouterr().out)
    assert (told["already"], told["copies"], told["completions"]) == (0, [], 1)
    lines = [line async for line in kept(data)]
    assert (len(lines), [line for line in lines if SECRET.encode() in line]) == (2, [])
    assert await verify(shell_at(data)) is ExitCode.DONE
    folded = await _replayed(data, capsys)
    async with serving(data) as society, _client(society.url, data) as agora:
        assert (await agora.task("t-2")).spec.title == "[redacted]"
        assert (await agora.task("t-3")).spec.title == "find Xylophone"
        assert SECRET not in str(await agora.state())
        events = await agora.events(task="t-2", limit="100")
        assert SECRET not in str(events)
        assert (await agora.check_ledger()).problems == ()
        states = society.system.snapshots()
        assert not [one for one, snapshot in states.items() if SECRET.encode() in snapshot.state]
    after = await _replayed(data, capsys)
    assert after.differences == ()
    assert after.actors["ledger"] == folded.actors["ledger"]
    assert await export(shell_at(data), str(file), has_sealed=True) is ExitCode.DONE
    assert SECRET not in file.read_text()
    assert "find Xylophone" in file.read_text()
    assert await import_(shell_at(other), str(file)) is ExitCode.DONE
    assert (await _replayed(other, capsys)).state_hash == after.state_hash
    assert (await _replayed(other, capsys)).position == Position(after.position)


async def test_it_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="say whose words"):
        await redact(shell_at(tmp_path / "data"), Target(), reason="", by="")
    with pytest.raises(NotFound):
        await redact(shell_at(tmp_path / "data"), Target(task="t-1"), reason="", by="")
    async with serving(tmp_path / "data"):
        with pytest.raises(DirectoryInUse):
            await redact(shell_at(tmp_path / "data"), Target(task="t-1"), reason="", by="")


async def test_all_words_of_the_journals_own_run_are_meant_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tmp_path / "data", tmp_path / "all.jsonl"
    await _worked(data, tmp_path / "documents")
    with pytest.raises(BadUsage, match="no event that matches"):
        await redact(shell_at(data), Target(run="another"), reason="asked", by="ana")
    assert await redact(shell_at(data), Target(run="main"), reason="asked", by="ana") is ExitCode.DONE
    assert await verify(shell_at(data)) is ExitCode.DONE
    assert await export(shell_at(data), str(file), has_sealed=True) is ExitCode.DONE
    content = file.read_text()
    assert (SECRET in content, "Xylophone" in content, "[redacted]" in content) == (False, False, True)
    capsys.readouterr()


async def test_a_single_event_is_meant_by_its_position_and_copies_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1)
    (tmp_path / "data.before-9-1").mkdir()
    with pytest.raises(BadUsage, match="no event that matches"):
        await redact(shell_at(data), Target(position=1), reason="asked", by="ana")
    for position in range(2, 40):
        try:
            await redact(shell_at(data), Target(position=position), reason="asked", by="ana")
        except BadUsage:
            continue
        break
    said = capsys.readouterr().out
    assert "1 events are redacted for good" in said
    assert "data.before-9-1" in said
