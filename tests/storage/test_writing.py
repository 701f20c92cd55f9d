"""The end of the journal."""

from contextlib import closing
from pathlib import Path

from tests.storage.support import SmallJournal, blob, records


def test_segments_end_between_two_batches_and_never_within_one(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal:
        journal.write(records(1, 70), batch=35)
        segments = journal.view.layout.segments
        assert [(segment.first, segment.last) for segment in segments] == [(1, 35), (36, 70), (71, 0)]
        assert journal.view.head == 70


def test_a_next_segment_that_cannot_be_begun_leaves_the_open_one_as_it_is(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal:
        journal.write(records(1, 15), batch=15)
        in_the_way = tmp_path / "segments" / "0000000000000031.sqlite"
        (in_the_way / "a directory").mkdir(parents=True)
        journal.write(records(16, 15), batch=15)
        assert len(journal.view.layout.segments) == 1
        (in_the_way / "a directory").rmdir()
        in_the_way.rmdir()
        journal.write(records(31, 15), batch=15)
        assert [segment.first for segment in journal.view.layout.segments] == [1, 46]


def test_blobs_are_kept_by_themselves(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal:
        journal.keep(blob(b"a document"))
        assert journal.blobs() == [b"a document"]
