"""The memory: it keeps facts for agents and people, finds them by words, and says since when they are so.

Its state is a fold of its own events; what may be said stands in `actors.rules.recall`, and how facts are found in
`actors.rules.recollection`, which is kept beside the state and made anew after a start.
"""

import secrets
from collections.abc import Callable
from typing import ClassVar

from actors.rules import recall
from actors.rules.recall import Facts
from actors.rules.recollection import Recollection
from actors.runtime import PersistentActor
from bus.messages.base import Event
from bus.messages.memory import (
    CorrectFact,
    EndFact,
    FactHistory,
    FactPage,
    FactView,
    ListFacts,
    ReadFact,
    Recall,
    Remember,
)

KEY_BYTES = 32


def fresh_key() -> str:
    """A key that nobody can guess, for words that not everyone may read."""
    return secrets.token_hex(KEY_BYTES)


class Memory(PersistentActor[Facts]):
    """The one actor that remembers."""

    state_type: ClassVar[type[Facts]] = Facts

    def __init__(self, make_key: Callable[[], str] = fresh_key) -> None:
        self._make_key = make_key
        self._found: Recollection | None = None

    def initial(self) -> Facts:
        return Facts()

    def apply(self, event: Event) -> None:
        recall.apply(self.state, event)

    def on_remember(self, command: Remember) -> FactView:
        events = recall.decide_remember(self.state, command, self._make_key(), self.now_us)
        if events:
            self.persist(*events)
            return self.state.facts[events[0].fact]
        return self._repeated(command.idempotency_key)

    def on_correct_fact(self, command: CorrectFact) -> FactView:
        events = recall.decide_correct(self.state, command, self._make_key(), self.now_us)
        if events:
            self.persist(*events)
            return self.state.facts[events[0].fact]
        return self._repeated(command.idempotency_key)

    def on_end_fact(self, command: EndFact) -> FactView:
        events = recall.decide_end(self.state, command, self._make_key(), self.now_us)
        if events:
            self.persist(*events)
            self._recollection.forget(command.fact)
        return self.state.facts[command.fact]

    def on_recall(self, query: Recall) -> FactPage:
        return self._recollection.recall(query, self.now_us)

    def on_list_facts(self, query: ListFacts) -> FactPage:
        return self._recollection.page(query, self.now_us)

    def on_read_fact(self, query: ReadFact) -> FactHistory:
        found = recall.read(self.state, query.fact, query.reader, is_operator=query.is_operator)
        return FactHistory(recall.history(self.state, found))

    @property
    def _recollection(self) -> Recollection:
        """Made when it is first needed: until then remembering costs no index."""
        if self._found is None:
            self._found = Recollection(self.state)
        return self._found

    def _repeated(self, key: str) -> FactView:
        known = recall.repeated(self.state, key, self.now_us)
        assert known is not None, "what causes nothing repeats something"
        return known
