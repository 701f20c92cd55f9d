"""Find facts: by words among all that a reader may read, and as a list, newest first.

What is needed for that follows from the facts and is kept beside them: for each circle of readers an inverted index and
the order of its facts. Both only grow, by one entry per version, as facts are never deleted; they are made when
something is first looked for, so that a memory that nobody asks costs nothing. A ranking rests on the circles that the
reader is in and on no other, so it tells nothing of what others say.

Rules: every version is found by words as long as it was valid at the moment that is asked about; a list shows what was
valid then, or the newest version of everything.

Pure: no clock.
"""

import heapq
from collections.abc import Iterator

from actors.rules import ranking, recall
from actors.rules.fields import check_integer, check_text
from actors.rules.ranking import Index
from actors.rules.recall import Facts
from bus.messages.base import Microseconds
from bus.messages.memory import FactId, FactPage, FactView, ListFacts, Recall
from bus.refusals import InvalidField

PAGE_MAX = 500
"""Facts on one page: half a megabyte at the worst."""
QUERY_BYTES_MAX = 4_000
EVERYONE: frozenset[str] = frozenset()

Circle = frozenset[str]
"""Those who may read the same facts; the empty one is everyone."""


class Shelf:
    """The facts of one circle."""

    def __init__(self) -> None:
        self.index = Index()
        self.numbers: list[int] = []
        self.held = 0
        """Those that are neither superseded nor ended."""


class Recollection:
    """What is found among the facts of a state."""

    def __init__(self, state: Facts) -> None:
        self._state = state
        self._taken = 0
        self._shelves: dict[Circle, Shelf] = {}
        self._of_reader: dict[str, list[Shelf]] = {}

    def follow(self) -> None:
        """Take in what was said since the last time."""
        while self._taken < len(self._state.facts):
            self._taken += 1
            self._add(self._state.facts[recall.id_of(self._taken)])

    def forget(self, fact: FactId) -> None:
        """Count a fact no longer that was just ended; it is still found where it was valid."""
        if recall.number_of(fact) <= self._taken:
            self._shelves[_circle(self._state.facts[fact])].held -= 1

    def recall(self, query: Recall, now_us: Microseconds) -> FactPage:
        """The best matches. Raises InvalidField."""
        self.follow()
        check_text("query", query.query, QUERY_BYTES_MAX)
        check_integer("limit", query.limit, 1, PAGE_MAX)
        at_us = self._moment(query.as_of_us, now_us)
        shelves = self._shelves_of(query.reader, is_operator=query.is_operator)
        facts = self._state.facts

        def is_wanted(number: int) -> bool:
            return recall.is_valid(facts[recall.id_of(number)], at_us)

        found = ranking.ranked([shelf.index for shelf in shelves], query.query, query.limit, is_wanted)
        views = tuple(facts[recall.id_of(number)] for number in found)
        return FactPage(views, FactId(""), _held(shelves))

    def page(self, query: ListFacts, now_us: Microseconds) -> FactPage:
        """One page of a list. Raises InvalidField."""
        self.follow()
        check_integer("limit", query.limit, 1, PAGE_MAX)
        before = recall.number_of(query.after)
        if query.after and not before:
            raise InvalidField("after", f"{query.after[:50]!r} is no id of a fact")
        at_us = self._moment(query.as_of_us, now_us)
        shelves = self._shelves_of(query.reader, is_operator=query.is_operator)
        found: list[FactView] = []
        for number in heapq.merge(*(_newest_first(shelf.numbers, before) for shelf in shelves), reverse=True):
            fact = self._state.facts[recall.id_of(number)]
            if recall.is_valid(fact, at_us) if query.which == "valid" else not fact.superseded_by:
                if len(found) == query.limit:
                    return FactPage(tuple(found), found[-1].fact, _held(shelves))
                found.append(fact)
        return FactPage(tuple(found), FactId(""), _held(shelves))

    def _add(self, fact: FactView) -> None:
        circle = _circle(fact)
        shelf = self._shelves.get(circle)
        if shelf is None:
            shelf = self._shelves[circle] = Shelf()
            for reader in circle:
                self._of_reader.setdefault(reader, []).append(shelf)
        number = recall.number_of(fact.fact)
        shelf.index.add(number, f"{fact.subject} {fact.text}")
        shelf.numbers.append(number)
        shelf.held += not fact.is_ended
        shelf.held -= bool(fact.supersedes)

    def _shelves_of(self, reader: str, *, is_operator: bool) -> list[Shelf]:
        if is_operator:
            return list(self._shelves.values())
        everyone = self._shelves.get(EVERYONE)
        return [*([everyone] if everyone is not None else []), *self._of_reader.get(reader, [])]

    def _moment(self, as_of_us: Microseconds, now_us: Microseconds) -> Microseconds:
        check_integer("as_of", as_of_us, 0, recall.TIME_US_MAX)
        return as_of_us or recall.moment(self._state, now_us)


def _circle(fact: FactView) -> Circle:
    return EVERYONE if fact.audience == "everyone" else frozenset((fact.owner, *fact.readers))


def _newest_first(numbers: list[int], before: int) -> Iterator[int]:
    return (number for number in reversed(numbers) if not before or number < before)


def _held(shelves: list[Shelf]) -> int:
    return sum(shelf.held for shelf in shelves)
