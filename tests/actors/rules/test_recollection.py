"""What is found: the best of all that a reader may read, and lists without gap or double."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.rules import recall
from actors.rules.ranking import Index, ranked
from actors.rules.recall import Facts
from actors.rules.recollection import PAGE_MAX, Recollection
from bus.messages.memory import Audience, CorrectFact, EndFact, FactId, FactPage, ListFacts, Recall, Remember, Which
from bus.refusals import InvalidField
from tests.actors.rules.test_recall import EDITOR, F1, KEY, NOW_US, SCOUT, correct, end, key_fact, remember

READERS = ("", SCOUT, EDITOR, "ann")
SAID = st.tuples(
    st.sampled_from([SCOUT, EDITOR]),
    st.sampled_from(["everyone", "named", "owner"]),
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6).map(" ".join),
    st.sampled_from(["remember", "remember", "correct", "end"]),
)


def found(page: FactPage) -> list[str]:
    return [fact.fact for fact in page.facts]


def written(said: list[tuple[str, Audience, str, str]]) -> tuple[Facts, Recollection]:
    """A memory in which things were said, one a microsecond, and what was looked for in between."""
    state = Facts()
    recollection = Recollection(state)
    for number, (by, audience, text, what) in enumerate(said):
        now_us = NOW_US + number
        own = [f for f in state.facts.values() if f.owner == by and not f.superseded_by and not f.is_ended]
        if what == "remember" or not own:
            remember(state, Remember("s", text, by, audience, ("ann",) if audience == "named" else ()), now_us)
        elif what == "correct":
            correct(state, CorrectFact(own[0].fact, text, by), now_us)
        else:
            end(state, EndFact(own[0].fact, by), now_us)
            recollection.forget(own[0].fact)
        if number % 3 == 0:
            recollection.follow()
    return state, recollection


@settings(deadline=None)
@given(
    st.lists(SAID, max_size=25), st.sampled_from(READERS), st.booleans(), st.sampled_from("abcxyz"), st.integers(0, 30)
)
def test_recall_is_a_ranking_of_all_that_the_reader_may_read_and_nothing_else(
    said: list[tuple[str, Audience, str, str]], reader: str, is_operator: bool, word: str, at: int
) -> None:
    state, recollection = written(said)
    as_of_us = NOW_US + at
    index = Index()
    for number in range(1, len(state.facts) + 1):
        fact = state.facts[recall.id_of(number)]
        if recall.may_read(fact, reader, is_operator=is_operator):
            index.add(number, f"{fact.subject} {fact.text}")
    expected = ranked([index], word, 5, lambda number: recall.is_valid(state.facts[recall.id_of(number)], as_of_us))
    page = recollection.recall(Recall(word, reader, 5, as_of_us, is_operator), NOW_US)
    assert found(page) == [recall.id_of(number) for number in expected]


@settings(deadline=None)
@given(st.lists(SAID, max_size=25), st.sampled_from(READERS), st.booleans(), st.integers(1, 4), st.booleans())
def test_pages_make_one_list_newest_first_without_gap_or_double(
    said: list[tuple[str, Audience, str, str]], reader: str, is_operator: bool, limit: int, is_all: bool
) -> None:
    state, recollection = written(said)
    seen: list[str] = []
    after = FactId("")
    while True:
        which: Which = "all" if is_all else "valid"
        page = recollection.page(ListFacts(reader, limit, after, 0, which, is_operator), NOW_US + 100)
        seen += found(page)
        after = page.next
        if not after:
            break
    readable = [f for f in state.facts.values() if recall.may_read(f, reader, is_operator=is_operator)]
    standing = [f for f in readable if not f.superseded_by]
    expected = standing if is_all else [f for f in readable if recall.is_valid(f, NOW_US + 100)]
    assert seen == [fact.fact for fact in reversed(expected)]
    assert page.held == sum(not fact.is_ended for fact in standing)


def test_what_was_so_at_a_moment_of_the_past_is_found_there() -> None:
    state = Facts()
    remember(state, key_fact())
    correct(state, CorrectFact(F1, "hangs in the hall", SCOUT), NOW_US + 60)
    recollection = Recollection(state)
    assert found(recollection.recall(Recall("clock", SCOUT), NOW_US + 90)) == []
    assert found(recollection.recall(Recall("clock", SCOUT, as_of_us=NOW_US + 59), NOW_US + 90)) == ["f-1"]
    assert found(recollection.page(ListFacts(SCOUT, as_of_us=NOW_US + 59), NOW_US + 90)) == ["f-1"]
    assert found(recollection.page(ListFacts(SCOUT), NOW_US + 90)) == ["f-2"]


def test_what_others_keep_to_themselves_moves_no_ranking() -> None:
    state = Facts()
    remember(state, Remember("one", "rare word", SCOUT))
    remember(state, Remember("two", "common word", SCOUT))
    before = found(Recollection(state).recall(Recall("rare common", EDITOR), NOW_US))
    for number in range(50):
        remember(state, Remember(f"secret {number}", "rare rare rare", SCOUT, "owner"))
    assert found(Recollection(state).recall(Recall("rare common", EDITOR), NOW_US)) == before


def test_an_old_exact_match_is_found_among_ten_thousand_newer_facts() -> None:
    state = Facts()
    remember(state, key_fact())
    for number in range(9_999):
        (event,) = recall.decide_remember(state, Remember(f"note {number}", "of some day", SCOUT), KEY, NOW_US + number)
        recall.apply(state, event)
    page = Recollection(state).recall(Recall("where is the key behind the clock", SCOUT), NOW_US)
    assert found(page)[0] == "f-1"
    assert page.held == 10_000


@pytest.mark.parametrize(
    "query",
    [
        Recall("a", SCOUT, 0),
        Recall("a", SCOUT, PAGE_MAX + 1),
        Recall("x" * 5_000, SCOUT),
        Recall("a", SCOUT, as_of_us=-1),
    ],
)
def test_what_cannot_be_looked_for_is_refused(query: Recall) -> None:
    with pytest.raises(InvalidField):
        Recollection(Facts()).recall(query, NOW_US)


def test_a_list_goes_on_only_after_a_fact() -> None:
    with pytest.raises(InvalidField, match="no id of a fact"):
        Recollection(Facts()).page(ListFacts(SCOUT, after=FactId("t-1")), NOW_US)
