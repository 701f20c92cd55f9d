"""What leaves a data directory with the keys of personal text in it is for its owner alone."""

from pathlib import Path

import anyio

from actors.commands.exchange import backup, export
from bus.clock import VirtualClock
from bus.codec import Catalogue
from bus.messages.catalogue import EVENTS
from storage.events import EventStore
from tests.storage.support import told, write
from tests.support.inside import shell_at


async def test_a_backup_and_an_export_are_for_their_owner_alone(tmp_path: Path) -> None:
    async with EventStore.open(tmp_path / "data", Catalogue(EVENTS), VirtualClock()) as store:
        await write(store, told(1, 10))
    shell = shell_at(tmp_path / "data")
    await backup(shell, tmp_path / "all.tar")
    await export(shell, str(tmp_path / "all.jsonl"), has_sealed=True)
    for name in ("all.tar", "all.jsonl"):
        assert (await anyio.Path(tmp_path / name).stat()).st_mode & 0o777 == 0o600, name
