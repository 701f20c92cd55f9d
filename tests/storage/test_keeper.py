"""What is done with a closed segment beside the writer."""

import sqlite3
from concurrent.futures import Future
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


def _indexed(path: Path) -> int:
    """How far an index goes."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as index:
        if not index.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return 0
        return int(index.execute("SELECT position FROM progress").fetchone()[0])


@pytest.mark.parametrize(("is_written", "steps"), [(True, [0, 250, 500, 600]), (False, [0, 250, 600])])
def test_an_index_is_made_in_small_slices_while_events_are_written(
    tmp_path: Path, is_written: bool, steps: list[int]
) -> None:
    with closing(SmallJournal(tmp_path, 1_000)) as journal:
        journal.write(records(1, 600), batch=100)
        layout = journal.view.layout
        path = layout.directory / layout.open.text_name
        seen: list[int] = []

        def writes() -> int:
            if (now := _indexed(path)) not in seen:
                seen.append(now)
            return int(is_written)

        with closing(Keeper(writes)) as keeper:
            assert keeper.submit_index(layout).result()
        assert seen == steps


def test_an_index_pauses_until_nothing_is_written(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 1_000)) as journal:
        journal.write(records(1, 600), batch=100)
        layout = journal.view.layout
        path = layout.directory / layout.open.text_name
        looks: list[int] = []

        def writes() -> int:  # one goes on until it was looked for four times
            looks.append(_indexed(path))
            return 1 if len(looks) < 5 else 2

        with closing(Keeper(writes)) as keeper:
            assert keeper.submit_index(layout).result()
        assert looks[1:5] == [250] * 4, "after the first slice nothing was done for so long"
        assert _indexed(path) == 600


def test_an_index_makes_room_for_other_work_and_says_that_there_is_more_to_do(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 1_000)) as journal:
        journal.write(records(1, 600), batch=100)
        layout = journal.view.layout
        path = layout.directory / layout.open.text_name
        others: list[Future[int]] = []

        def writes() -> int:
            if not others:
                others.append(keeper.submit(_indexed, path))
            return 0

        with closing(Keeper(writes)) as keeper:
            assert not keeper.submit_index(layout).result()
            assert others[0].result() == 250
            assert keeper.submit_index(layout).result()
            assert _indexed(path) == 600
