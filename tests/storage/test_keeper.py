"""What is done with a closed segment beside the writer."""

from contextlib import closing
from pathlib import Path

import pytest

from storage.keeper import Keeper, Stopped
from tests.storage.support import SmallJournal, records


def test_what_was_cut_short_is_done_again_and_what_is_done_is_left(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal, closing(Keeper()) as keeper:
        journal.write(records(1, 60))
        layout = journal.view.layout
        closed = layout.segments[0]
        kept = layout.directory / closed.kept_name
        kept.with_name(kept.name + ".new").write_bytes(b"half a file")
        keeper.submit(keeper.settle, layout, closed, None).result()
        made = kept.read_bytes()
        keeper.submit(keeper.settle, layout, closed, None).result()
        assert kept.read_bytes() == made
        assert not kept.with_name(kept.name + ".new").exists()
        assert (layout.directory / closed.text_name).exists()


def test_a_keeper_that_is_closed_begins_nothing(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal:
        journal.write(records(1, 60))
        layout = journal.view.layout
        keeper = Keeper()
        keeper.close()
        with pytest.raises(Stopped):
            keeper.extract_kept(layout, layout.segments[0])
        with pytest.raises(Stopped):
            keeper.index_all(layout)
