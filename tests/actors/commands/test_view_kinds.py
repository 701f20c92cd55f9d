"""What `agora view` is given by people: a file of a data directory, a backup, something packed, something else."""

import gzip
import tarfile
from pathlib import Path

import anyio.to_thread
import pytest

from actors.commands.view import viewing
from bus.clock import VirtualClock
from bus.codec import Catalogue
from bus.errors import BadUsage
from bus.messages.catalogue import EVENTS
from storage.events import EventStore
from tests.storage.support import records, write
from tests.support.inside import shell_at
from web.client import AgoraClient

TEXT = b'{"agora":"journal"}\n'


def _pack(directory: Path) -> None:
    with tarfile.open(directory / "backup.tar", "w") as packed:
        packed.add(directory / "data", ".")
    (directory / "lines.gz").write_bytes(gzip.compress(TEXT))
    (directory / "torn").write_bytes(TEXT[:-9])
    (directory / "nothing").touch()


async def test_the_file_of_a_journal_stands_for_its_directory_and_other_kinds_are_told_what_to_do(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with EventStore.open(data, Catalogue(EVENTS), VirtualClock()) as store:
        await write(store, records(1, 5))
    shell = shell_at(tmp_path / "elsewhere")
    async with viewing(shell, data / "journal.sqlite") as url, AgoraClient(url) as client:
        assert (await client.events(limit="5")).head == 5
    await anyio.to_thread.run_sync(_pack, tmp_path)
    for what, word in (
        (data / "blobs.sqlite", "view the directory"),
        (data / "segments" / "0000000000000001.sqlite", "view the directory"),
        (tmp_path / "backup.tar", "tar -xf"),
        (tmp_path / "lines.gz", "gunzip"),
        (tmp_path / "torn", "torn"),
        (tmp_path / "nothing", "it is empty"),
    ):
        with pytest.raises(BadUsage, match=word):
            async with viewing(shell, what):
                pass
