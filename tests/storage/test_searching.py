"""Full-text search."""

from contextlib import closing
from pathlib import Path

import anyio
import pytest

from bus.messages.base import Position
from bus.messages.system import EventPage, SearchEvents, SystemInfo
from bus.refusals import InvalidField
from storage.keeper import Keeper
from storage.searching import search
from tests.storage.support import SmallJournal, opened, record, write

WORDS = ("apple", "Birne", "cherry", "naïve", "semi-colon; DROP")


async def test_words_are_found_newest_first_across_segments_and_in_what_was_just_written(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=20) as store:
        for first in range(1, 101, 10):
            texts = [SystemInfo(f"{WORDS[p % 5]} number {p}") for p in range(first, first + 10)]
            await write(store, [record(first + n, text) for n, text in enumerate(texts)])
        page = await store.search(SearchEvents("birne NUMBER", limit=4))
        assert [event.position for event in page.events] == [96, 91, 86, 81]
        rest = await store.search(SearchEvents("birne number", before=page.scanned, limit=1_000))
        assert [event.position for event in rest.events] == list(range(76, 0, -5))
        assert [e.position for e in (await store.search(SearchEvents("number 17"))).events] == [17]
        assert [e.position for e in (await store.search(SearchEvents("drop semi-colon 99"))).events] == [99]
        await write(store, [record(101, SystemInfo("just now"))])
        assert [e.position for e in (await store.search(SearchEvents("just"))).events] == [101]
        assert (await store.search(SearchEvents("text"))).events == ()
        assert (await store.verify()).problem == ""


@pytest.mark.parametrize("text", ["a AND", "NEAR(", "x:y", "a^b", "a* \" '", "- x", "OR"])
async def test_no_word_is_a_command(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path) as store:
        await write(store, [record(1, SystemInfo("a and near x y or a b"))])
        page = await store.search(SearchEvents(text))
        assert [event.position for event in page.events] == [1]


@pytest.mark.parametrize(
    "query", [SearchEvents(""), SearchEvents("*"), SearchEvents("a", limit=0), SearchEvents("a " * 17)]
)
async def test_a_search_that_makes_no_sense_is_refused(tmp_path: Path, query: SearchEvents) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(InvalidField):
            await store.search(query)


def test_what_is_not_indexed_yet_is_not_covered_and_the_answer_says_so(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 20)) as journal, closing(Keeper()) as keeper:
        journal.write([record(position, SystemInfo("here")) for position in range(1, 31)])
        view, layout = journal.view, journal.view.layout

        def answer(before: int = 0) -> tuple[int, int]:
            page = search(view, SearchEvents("here", Position(before), 100))
            return len(page.events), page.head

        assert answer() == (0, 0)
        keeper.index_text(layout, layout.segments[1])
        assert answer() == (10, 0), "what is found is shown, though older events may be missing"
        keeper.index_text(layout, layout.segments[0])
        assert answer() == (30, 30)
        journal.write([record(31, SystemInfo("here"))])
        view = journal.view
        assert answer() == (30, 30), "the last one was not looked through"
        keeper.index_all(view.layout)
        assert answer() == (31, 31)
        assert answer(before=21) == (20, 31)


async def test_searches_at_the_same_time_all_cover_what_was_written_before_them(tmp_path: Path) -> None:
    async with opened(tmp_path, segment_events=20) as store:
        await write(store, [record(position, SystemInfo("here")) for position in range(1, 11)])
        pages: list[EventPage] = []
        async with anyio.create_task_group() as tasks:

            async def look() -> None:
                pages.append(await store.search(SearchEvents("here")))

            for _ in range(5):
                tasks.start_soon(look)
        assert [(len(page.events), page.head) for page in pages] == [(10, 10)] * 5
