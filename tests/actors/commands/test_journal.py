"""`agora verify` and `agora prune` inside one process."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from actors.commands import journal
from actors.commands.console import ExitCode
from actors.journal_options import JournalOptions
from bus.address import Address
from bus.messages.base import Position
from bus.messages.system import JournalPruned, ReadEvents
from bus.refusals import NotFound
from storage.checkpoints import CheckpointStore
from storage.manifests import ActorState
from tests.storage.support import CATALOGUE, opened, records, segment_path, write
from tests.storage.writer import description
from tests.support.inside import decoded, serving, shell_at


async def test_a_sound_journal_is_proved_and_a_damaged_one_is_named_by_its_position(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path) as store:
        await write(store, records(1, 60))
    assert await journal.verify(shell_at(tmp_path)) is ExitCode.DONE
    assert "60 events and 0 blobs are as they were written" in capsys.readouterr().out
    with closing(sqlite3.connect(segment_path(tmp_path))) as connection:
        connection.execute("UPDATE events SET correlation = 'x' WHERE position = 17")
        connection.commit()
    assert await journal.verify(shell_at(tmp_path)) is ExitCode.FAILED
    assert capsys.readouterr().out.startswith("position 17: ")
    assert await journal.verify(shell_at(tmp_path, is_json=True)) is ExitCode.FAILED
    assert decoded(capsys.readouterr().out)["position"] == 17


async def test_without_a_journal_there_is_nothing_to_prove_or_prune(tmp_path: Path) -> None:
    for command in (journal.verify(shell_at(tmp_path)), journal.prune(shell_at(tmp_path), 0)):
        with pytest.raises(NotFound):
            await command


async def test_pruning_says_what_went_beside_a_server_and_without_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(tmp_path / "alone") as store:
        await write(store, records(1, 60))
    assert await journal.prune(shell_at(tmp_path / "alone"), 50) is ExitCode.DONE
    async with serving(tmp_path / "served"):
        assert await journal.prune(shell_at(tmp_path / "served"), 50) is ExitCode.DONE
    assert capsys.readouterr().out.count("nothing is to go") == 2


async def test_a_prune_without_a_server_is_recorded_like_one_beside_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path)
    shell.config = msgspec.structs.replace(shell.config, journal=JournalOptions(segment_events=1_000))
    async with opened(tmp_path, segment_events=1_000) as store:
        await write(store, records(1, 1_000))
        await write(store, records(1_001, 30))
    async with CheckpointStore.open(tmp_path / "checkpoints") as checkpoints:
        state = ActorState.of(Position(1_030), Position(0), b"{}")
        await checkpoints.save(description(), {Address("coordinator"): state}, keep=())
    assert await journal.prune(shell, 1_030) is ExitCode.DONE
    assert "events up to 1000 are gone" in capsys.readouterr().out
    async with opened(tmp_path, segment_events=1_000) as store:
        page = await store.read(ReadEvents(types=("journal.pruned",)))
        pruned = CATALOGUE.decode("journal.pruned", 2, page.events[0].data)
        assert isinstance(pruned, JournalPruned)
        assert (pruned.upto, page.events[0].position) == (1_000, 1_031)
        assert (await store.verify()).problem == ""
