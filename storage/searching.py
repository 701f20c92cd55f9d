"""Full-text search over the events, newest first.

The words come from a person: each must be there, in any order, and none of them is a command to the index. What is
searched is the public text of the events; sealed and redacted fields are not in it. What is not indexed yet is not
found, and the answer says so: its head is the last position up to which all that it covers was looked through.
"""

import sqlite3
import unicodedata
from pathlib import Path

from bus.envelope import StoredEvent
from bus.messages.base import Position
from bus.messages.system import EVENTS_LIMIT_MAX, EventPage, SearchEvents
from bus.refusals import InvalidField
from storage import queries
from storage.errors import FileGone
from storage.reading import View

WORDS_MAX = 16
TEXT_CHARACTERS_MAX = 500


def check_search(query: SearchEvents) -> None:
    """Raises InvalidField for what no answer could make sense of."""
    if not 1 <= query.limit <= EVENTS_LIMIT_MAX:
        raise InvalidField("limit", f"must be between 1 and {EVENTS_LIMIT_MAX}, not {query.limit}")
    if len(query.text) > TEXT_CHARACTERS_MAX or not 1 <= len(query.text.split()) <= WORDS_MAX:
        raise InvalidField("text", f"must be 1 to {WORDS_MAX} words")
    if not any(character.isalnum() for character in query.text):
        raise InvalidField("text", "has no word in it")
    if query.before < 0:
        raise InvalidField("before", "is out of range")


def search(view: View, query: SearchEvents, texts: Path | None = None) -> EventPage:
    """The events with all words that are indexed, before a position, newest first.

    `texts` is where the indexes are, if not beside the rows.
    """
    covered = view.head
    before = min(query.before or covered + 1, covered + 1)
    wanted = " ".join(f'"{_plain(word)}"*' for word in query.text.split() if _plain(word))
    found: list[StoredEvent] = []
    for segment in view.segments(0, before, is_newest_first=True):
        rows = view.known(segment).connection
        index, indexed = _index(view, (texts or view.layout.directory) / segment.text_name)
        (last,) = rows.execute(queries.HEAD).fetchone()
        if indexed < min(last, view.head):
            covered = Position(max(indexed, segment.first - 1))
        if index is None:
            continue
        positions = [row[0] for row in index.execute(queries.SEARCH, (wanted, before, query.limit - len(found)))]
        for position in positions:
            found += view.events(rows.execute(queries.ROWS_FROM, (position, position)))
        if len(found) == query.limit:
            break
    scanned = found[-1].position if len(found) == query.limit else Position(min(1, view.head))
    return EventPage(tuple(found), scanned, covered)


def _index(view: View, path: Path) -> tuple[sqlite3.Connection | None, int]:
    """A segment's index, and the last position in it; none where it is not begun."""
    try:
        index = view.files.get(path)
    except FileGone:
        return None, 0
    if not index.execute(queries.COUNT_TABLES).fetchone()[0]:
        return None, 0
    (indexed,) = index.execute(queries.TEXT_PROGRESS).fetchone()
    return index, indexed


def _plain(word: str) -> str:
    """Its letters and digits; an accent that stands by itself goes to its letter, as it does in the index."""
    composed = unicodedata.normalize("NFC", word)
    return "".join(character if character.isalnum() else " " for character in composed).strip()
