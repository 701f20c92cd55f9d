"""A journal whose beginning was pruned: whatever is done with one works from a checkpoint on, or says why not."""

from pathlib import Path

import aiohttp
import anyio
import msgspec
import pytest

from actors.commands import forks
from actors.commands.brief import brief
from actors.commands.console import ExitCode, Shell
from actors.commands.exchange import backup, export, import_
from actors.commands.forks import Forked
from actors.commands.journal import prune, verify
from actors.commands.replay import Replayed, replay
from actors.commands.view import viewing
from actors.composition import running
from actors.journal_options import JournalOptions
from actors.personas import DEFAULT_PERSONAS
from bus.errors import BadUsage, StorageError
from bus.messages.agents import AgentStatusName, ReadAgent, agent_address
from bus.messages.base import AgentId, Position
from bus.messages.system import JOURNAL, PruneReport, ReadEvents
from storage.errors import CorruptCheckpoint, PastPruned
from tests.support.inside import DOCUMENT, serving, shell_at

pytestmark = pytest.mark.slow

SEGMENT_EVENTS = 30


def _shell(data: Path) -> Shell:
    shell = shell_at(data, is_json=True)
    journal = JournalOptions(segment_events=SEGMENT_EVENTS, checkpoint_keep=2)
    return Shell(msgspec.structs.replace(shell.config, journal=journal), is_json=True)


async def _pruned(data: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> PruneReport:
    """Three lives of a society, each with a checkpoint at its end, of which the first is forgotten."""
    await anyio.Path(folder).mkdir()
    for number in range(4):
        document = folder / f"{number}.txt"
        await anyio.Path(document).write_text(f"Document {number}. {DOCUMENT}")
        assert await brief(_shell(data), [document], reward_msat=1_000, sentences=1) is ExitCode.DONE
    capsys.readouterr()
    assert await prune(_shell(data), 1_000_000) is ExitCode.DONE
    report = msgspec.json.decode(capsys.readouterr().out, type=PruneReport)
    assert report.upto >= SEGMENT_EVENTS
    assert report.events
    return report


async def _replayed(data: Path, capsys: pytest.CaptureFixture[str]) -> Replayed:
    capsys.readouterr()
    assert await replay(_shell(data), None) is ExitCode.DONE
    return msgspec.json.decode(capsys.readouterr().out, type=Replayed)


async def test_an_export_of_it_has_the_same_state_when_it_is_imported_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file, into = tmp_path / "data", tmp_path / "all.jsonl", tmp_path / "into"
    await _pruned(data, tmp_path / "documents", capsys)
    before = await _replayed(data, capsys)
    assert await export(_shell(data), str(file), has_sealed=True) is ExitCode.DONE
    assert await import_(_shell(into), str(file)) is ExitCode.DONE
    after = await _replayed(into, capsys)
    assert (after.state_hash, after.actors, after.position) == (before.state_hash, before.actors, before.position)
    assert await verify(_shell(into)) is ExitCode.DONE
    async with serving(into) as society:
        assert society.system.log.epoch == 2
    lines = file.read_bytes().splitlines(keepends=True)
    state = next(number for number, line in enumerate(lines) if line.startswith(b'{"agora":"state"'))
    lines[state] = lines[state].replace(b'"state":{', b'"state":{"more":1,')
    file.write_bytes(b"".join(lines))
    with pytest.raises(CorruptCheckpoint, match="the hash in the export"):
        await import_(_shell(tmp_path / "other"), str(file))


async def test_kept_events_that_were_changed_end_an_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, file = tmp_path / "data", tmp_path / "all.jsonl"
    await _pruned(data, tmp_path / "documents", capsys)
    assert await export(_shell(data), str(file), has_sealed=True) is ExitCode.DONE
    lines = file.read_bytes().splitlines(keepends=True)
    kept = next(number for number, line in enumerate(lines) if line.startswith(b'{"position":'))
    for number, (broken, words) in enumerate(
        ((lines[kept].replace(b'"time_us":', b'"time_us":1'), "is not what its hash says"), (b"", "hash says|missing"))
    ):
        file.write_bytes(b"".join([*lines[:kept], broken, *lines[kept + 1 :]]))
        with pytest.raises(StorageError, match=words):
            await import_(_shell(tmp_path / f"other-{number}"), str(file))


async def test_what_lacks_the_states_is_neither_imported_nor_shown_and_says_from_where_on_it_could_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tmp_path / "data", tmp_path / "public.jsonl"
    report = await _pruned(data, tmp_path / "documents", capsys)
    assert await export(_shell(data), str(file), has_sealed=False) is ExitCode.DONE
    with pytest.raises(BadUsage, match="--sealed"):
        await import_(_shell(tmp_path / "into"), str(file))
    with pytest.raises(PastPruned, match=f"the events up to {report.upto} were pruned"):
        async with viewing(_shell(data), file):
            pass
    mirror = tmp_path / "mirror.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    mirror.write_bytes(b"".join([lines[0], *[line for line in lines if line.startswith(b'{"position":')]]))
    with pytest.raises(BadUsage, match=r"it begins at position \d+: what was before was pruned"):
        async with viewing(_shell(data), mirror):
            pass


async def test_the_pages_show_it_from_its_directory_and_from_an_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tmp_path / "data", tmp_path / "all.jsonl"
    await _pruned(data, tmp_path / "documents", capsys)
    assert await export(_shell(data), str(file), has_sealed=True) is ExitCode.DONE
    shown = []
    for what in (data, file):
        async with viewing(_shell(data), what) as url, aiohttp.ClientSession(url) as http:
            async with http.get("/api/tasks") as response:
                tasks = await response.json()
            async with http.get("/api/state") as response:
                state = await response.json()
            async with http.get("/api/ledger/check") as response:
                assert (await response.json())["problems"] == []
            shown.append((tasks["tasks"], state["tasks"]["counts"], state["artifacts"]["count"]))
    assert shown[0] == shown[1]
    assert shown[0][1]["completed"] == 4


async def test_a_fork_and_a_restore_work_from_the_oldest_checkpoint_on_and_refuse_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, into = tmp_path / "data", tmp_path / "into"
    report = await _pruned(data, tmp_path / "documents", capsys)
    before = await _replayed(data, capsys)
    for at in (report.upto - 1, report.upto + 1):
        with pytest.raises(PastPruned, match=rf"position {at} cannot be gone back to: the events up to {report.upto}"):
            await forks.fork(_shell(data), str(at), into)
        assert not into.exists()
    assert await forks.fork(_shell(data), str(before.position), into) is ExitCode.DONE
    forked = msgspec.json.decode(capsys.readouterr().out, type=Forked)
    assert len(forked.checkpoints) == 2
    assert (await _replayed(into, capsys)).state_hash == before.state_hash
    assert await verify(_shell(into)) is ExitCode.DONE
    assert (
        await brief(_shell(into), [tmp_path / "documents" / "1.txt"], reward_msat=1_000, sentences=1) is ExitCode.DONE
    )
    assert await forks.restore(_shell(data), str(before.position)) is ExitCode.DONE
    assert (await _replayed(data, capsys)).state_hash == before.state_hash
    assert (
        await brief(_shell(data), [tmp_path / "documents" / "2.txt"], reward_msat=1_000, sentences=1) is ExitCode.DONE
    )


async def test_a_replay_to_before_the_oldest_checkpoint_is_refused_and_a_backup_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    report = await _pruned(data, tmp_path / "documents", capsys)
    with pytest.raises(PastPruned, match=f"position {report.upto} cannot be gone back to"):
        await replay(_shell(data), report.upto)
    assert await backup(_shell(data), tmp_path / "backup.tar") is ExitCode.DONE


async def test_agents_whose_beginnings_were_pruned_leave_when_they_are_no_longer_configured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    report = await _pruned(data, tmp_path / "documents", capsys)
    newcomer = msgspec.structs.replace(DEFAULT_PERSONAS[0], name="newcomer")
    config = msgspec.structs.replace(_shell(data).config, has_default_personas=False, personas=(newcomer,))
    for _ in range(2):
        async with running(config, {}, web=False) as society:
            joined = await society.system.ask(
                JOURNAL, ReadEvents(types=("agent.joined",), before=Position(report.upto + 1))
            )
            assert joined.events == ()
            for persona in DEFAULT_PERSONAS:
                view = await society.system.ask(agent_address(AgentId(persona.name)), ReadAgent())
                assert view.status is AgentStatusName.LEFT
            left = await society.system.ask(JOURNAL, ReadEvents(types=("agent.left",)))
            assert {event.agent for event in left.events} == {persona.name for persona in DEFAULT_PERSONAS}
            assert len(left.events) == len(DEFAULT_PERSONAS)
