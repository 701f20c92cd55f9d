"""What may be remembered, corrected and ended, by whom, and what is left of it."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.rules import recall
from actors.rules.recall import (
    BYTES_MAX,
    FACTS_MAX,
    OWN_MAX,
    READERS_MAX,
    REDACTED,
    SUBJECT_CHARS_MAX,
    TEXT_BYTES_MAX,
    Facts,
)
from bus.canonical import canonical
from bus.errors import Refused
from bus.messages.base import Event
from bus.messages.memory import (
    Audience,
    CorrectFact,
    EndFact,
    FactId,
    FactView,
    MemoryCorrected,
    MemoryEnded,
    MemoryRemembered,
    Remember,
)
from bus.messages.system import SystemInfo
from bus.refusals import IdempotencyConflict, IllegalTransition, InvalidField, MemoryFull, NotFound, NotPermitted

NOW_US = 1_800_000_000_000_000
KEY = "k" * 64
SCOUT, EDITOR = "agents/scout", "agents/editor"
F1, F2 = FactId("f-1"), FactId("f-2")


def remember(state: Facts, command: Remember, now_us: int = NOW_US) -> FactView:
    """What the shell does with the command."""
    for event in recall.decide_remember(state, command, KEY, now_us):
        recall.apply(state, event)
        return state.facts[event.fact]
    known = recall.repeated(state, command.idempotency_key, now_us)
    assert known is not None
    return known


def correct(state: Facts, command: CorrectFact, now_us: int = NOW_US) -> FactView:
    for event in recall.decide_correct(state, command, KEY, now_us):
        recall.apply(state, event)
        return state.facts[event.fact]
    known = recall.repeated(state, command.idempotency_key, now_us)
    assert known is not None
    return known


def end(state: Facts, command: EndFact, now_us: int = NOW_US) -> FactView:
    for event in recall.decide_end(state, command, KEY, now_us):
        recall.apply(state, event)
    return state.facts[command.fact]


def key_fact(audience: Audience = "everyone", readers: tuple[str, ...] = (), key: str = "") -> Remember:
    return Remember("the key", "hangs behind the clock", SCOUT, audience, readers, idempotency_key=key)


def test_a_fact_has_an_id_an_owner_and_a_time_from_which_it_is_so() -> None:
    state = Facts()
    fact = remember(state, Remember(" the key ", " hangs behind the clock\n", SCOUT))
    assert (fact.fact, fact.subject, fact.text, fact.owner, fact.by) == (
        "f-1",
        "the key",
        "hangs behind the clock",
        SCOUT,
        SCOUT,
    )
    assert (fact.valid_from_us, fact.valid_to_us, fact.is_ended) == (NOW_US, 0, False)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"subject": "  "}, "subject"),
        ({"subject": "x" * (SUBJECT_CHARS_MAX + 1)}, "subject"),
        ({"text": " \n"}, "text"),
        ({"text": "x" * (TEXT_BYTES_MAX + 1)}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"by": ""}, "by"),
        ({"by": "../etc"}, "by"),
        ({"readers": (EDITOR,)}, "readers"),
        ({"audience": "named"}, "readers"),
        ({"audience": "named", "readers": tuple(f"a{n}" for n in range(READERS_MAX + 1))}, "readers"),
        ({"audience": "named", "readers": ("a b",)}, "readers"),
        ({"valid_from_us": -1}, "valid_from_us"),
        ({"valid_from_us": 5, "valid_to_us": 5}, "valid_to_us"),
        ({"valid_to_us": NOW_US - 1}, "valid_to_us"),
        ({"task": "t 1"}, "task"),
        ({"idempotency_key": "x" * 500}, "idempotency_key"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(changes: dict[str, object], path: str) -> None:
    fields = {name: getattr(key_fact(), name) for name in Remember.__struct_fields__} | changes
    with pytest.raises(InvalidField) as refused:
        remember(Facts(), Remember(**fields))
    assert refused.value.path == path


def test_the_same_key_remembers_once_and_conflicts_with_other_words() -> None:
    state = Facts()
    first = remember(state, key_fact(key="k"))
    assert remember(state, key_fact(key="k"), NOW_US + 5) == first
    assert len(state.facts) == 1
    with pytest.raises(IdempotencyConflict):
        remember(state, Remember("the key", "is lost", SCOUT, idempotency_key="k"))


def test_a_correction_takes_the_place_and_the_old_one_stays_until_then() -> None:
    state = Facts()
    remember(state, key_fact())
    later = NOW_US + 60
    new = correct(state, CorrectFact(F1, "is with the neighbour", SCOUT, "she took it"), later)
    old = state.facts[F1]
    assert (new.fact, new.supersedes, new.subject, new.reason, new.earlier) == (F2, F1, "the key", "she took it", 1)
    assert (old.superseded_by, old.valid_to_us, old.text) == (F2, later, "hangs behind the clock")
    assert (new.valid_from_us, new.valid_to_us) == (later, 0)
    assert recall.is_valid(old, later - 1)
    assert not recall.is_valid(old, later)
    assert recall.is_valid(new, later)
    assert recall.history(state, old) == recall.history(state, new) == (new, old)


def test_a_correction_may_hold_from_an_earlier_or_a_later_moment() -> None:
    state = Facts()
    remember(state, key_fact())
    never = correct(state, CorrectFact(F1, "never hung there", SCOUT, valid_from_us=NOW_US), NOW_US + 60)
    assert not any(recall.is_valid(state.facts[F1], at) for at in (NOW_US, NOW_US + 60))
    moves = correct(state, CorrectFact(never.fact, "moves out", SCOUT, valid_from_us=NOW_US + 1_000), NOW_US + 60)
    assert recall.is_valid(state.facts[never.fact], NOW_US + 999)
    assert recall.is_valid(moves, NOW_US + 1_000)
    with pytest.raises(InvalidField, match="before"):
        correct(state, CorrectFact(moves.fact, "x", SCOUT, valid_from_us=NOW_US + 999), NOW_US + 60)


def test_a_fact_that_is_over_by_itself_keeps_its_end_when_it_is_corrected() -> None:
    state = Facts()
    remember(state, Remember("scout", "is away", SCOUT, valid_to_us=NOW_US + 10))
    correct(state, CorrectFact(F1, "is back", SCOUT), NOW_US + 60)
    assert state.facts[F1].valid_to_us == NOW_US + 10


def test_only_the_newest_version_is_corrected_or_ended() -> None:
    state = Facts()
    remember(state, key_fact())
    correct(state, CorrectFact(F1, "moved", SCOUT))
    with pytest.raises(IllegalTransition, match="fact f-1 is superseded by f-2; it cannot be corrected"):
        correct(state, CorrectFact(F1, "moved again", SCOUT))
    with pytest.raises(IllegalTransition, match="cannot be ended"):
        end(state, EndFact(F1, SCOUT))
    end(state, EndFact(F2, SCOUT, "lost"))
    with pytest.raises(IllegalTransition, match="fact f-2 is ended"):
        correct(state, CorrectFact(F2, "found", SCOUT))


def test_a_fact_that_ended_is_kept_with_the_reason_and_ends_no_second_time() -> None:
    state = Facts()
    remember(state, key_fact())
    ended = end(state, EndFact(F1, SCOUT, "lost"), NOW_US + 60)
    assert (ended.is_ended, ended.valid_to_us, ended.reason) == (True, NOW_US + 60, "lost")
    assert end(state, EndFact(F1, SCOUT, "lost for good"), NOW_US + 90) == ended
    assert state.held == {}


def test_what_was_to_begin_later_and_ends_before_was_never_so() -> None:
    state = Facts()
    fact = remember(state, Remember("the fair", "is open", SCOUT, valid_from_us=NOW_US + 500))
    ended = end(state, EndFact(fact.fact, SCOUT), NOW_US + 60)
    assert not any(recall.is_valid(ended, NOW_US + at) for at in (0, 60, 499, 500, 501))


def test_a_repeated_correction_is_the_same_and_with_other_words_a_conflict() -> None:
    state = Facts()
    remember(state, key_fact())
    first = correct(state, CorrectFact(F1, "moved", SCOUT, idempotency_key="k"))
    assert correct(state, CorrectFact(F1, "moved", SCOUT, idempotency_key="k")) == first
    with pytest.raises(IdempotencyConflict):
        correct(state, CorrectFact(F1, "gone", SCOUT, idempotency_key="k"))


def test_only_the_owner_and_the_operator_change_a_fact() -> None:
    state = Facts()
    remember(state, key_fact())
    with pytest.raises(NotPermitted, match="fact f-1 is agents/scout's; it cannot be corrected by agents/editor"):
        correct(state, CorrectFact(F1, "is mine", EDITOR))
    with pytest.raises(NotPermitted):
        end(state, EndFact(F1, EDITOR))
    changed = correct(state, CorrectFact(F1, "moved", "ann", is_operator=True))
    assert (changed.owner, changed.by) == (SCOUT, "ann")
    assert correct(state, CorrectFact(F2, "moved back", SCOUT)).owner == SCOUT


@pytest.mark.parametrize(
    ("audience", "readers", "may"),
    [
        ("everyone", (), {SCOUT, EDITOR, "", "ann"}),
        ("named", (EDITOR,), {SCOUT, EDITOR}),
        ("owner", (), {SCOUT}),
    ],
)
def test_readers_are_those_that_were_declared(audience: Audience, readers: tuple[str, ...], may: set[str]) -> None:
    state = Facts()
    fact = remember(state, key_fact(audience, readers))
    for reader in (SCOUT, EDITOR, "", "ann"):
        assert recall.may_read(fact, reader, is_operator=False) == (reader in may)
    assert recall.may_read(fact, "ann", is_operator=True)


def test_who_may_not_read_a_fact_does_not_learn_that_it_is_there() -> None:
    state = Facts()
    remember(state, key_fact("owner"))
    for fact in (F1, F2):
        with pytest.raises(NotFound, match=f"no fact is called '{fact}'"):
            recall.read(state, fact, EDITOR, is_operator=False)
        with pytest.raises(NotFound):
            correct(state, CorrectFact(fact, "x", EDITOR))


def test_the_event_of_a_private_fact_does_not_say_it_and_the_fold_does() -> None:
    state = Facts()
    (event,) = recall.decide_remember(state, key_fact("owner"), KEY, NOW_US)
    assert (event.subject, event.text) == ("", "")
    assert "clock" not in event.veiled
    recall.apply(state, event)
    assert state.facts[F1].text == "hangs behind the clock"
    (corrected,) = recall.decide_correct(state, CorrectFact(F1, "moved", SCOUT, "why"), KEY, NOW_US)
    (ended,) = recall.decide_end(state, EndFact(F1, SCOUT, "gone"), KEY, NOW_US)
    assert (corrected.subject, corrected.text, corrected.reason, ended.subject, ended.reason) == ("",) * 5
    recall.apply(state, corrected)
    assert (state.facts[F2].text, state.facts[F2].reason) == ("moved", "why")


def test_a_redacted_private_fact_says_so_and_nothing_else() -> None:
    state = Facts()
    (event,) = recall.decide_remember(state, key_fact("owner"), KEY, NOW_US)
    recall.apply(state, msgspec.structs.replace(event, veiled=REDACTED))
    assert (state.facts[F1].subject, state.facts[F1].text) == (REDACTED, REDACTED)


def test_an_owner_holds_so_many_facts_and_a_corrected_or_ended_one_makes_room() -> None:
    state = Facts()
    remember(state, key_fact())
    state.held[SCOUT] = OWN_MAX
    with pytest.raises(MemoryFull, match=f"agents/scout holds {OWN_MAX} facts, which is the most"):
        remember(state, key_fact())
    remember(state, Remember("another", "owner", EDITOR))
    correct(state, CorrectFact(F1, "moved", SCOUT))
    end(state, EndFact(FactId("f-3"), SCOUT))
    remember(state, key_fact())


def test_the_memory_as_a_whole_is_bounded_in_versions_and_in_bytes() -> None:
    state = Facts()
    fact = remember(state, key_fact())
    state.bytes = BYTES_MAX - 5
    with pytest.raises(MemoryFull, match="bytes"):
        remember(state, key_fact())
    state.bytes = 0
    state.facts |= {recall.id_of(number): fact for number in range(2, FACTS_MAX + 1)}
    with pytest.raises(MemoryFull, match="versions"):
        remember(state, key_fact())
    with pytest.raises(MemoryFull, match="versions"):
        correct(state, CorrectFact(F1, "moved", SCOUT))
    end(state, EndFact(F1, SCOUT))


def test_a_clock_that_is_set_back_hides_nothing() -> None:
    state = Facts()
    remember(state, key_fact(), NOW_US)
    before = NOW_US - 3_600_000_000
    assert recall.is_valid(state.facts[F1], recall.moment(state, before))
    assert correct(state, CorrectFact(F1, "moved", SCOUT), before).valid_from_us == NOW_US


def test_ids_are_read_as_they_are_written() -> None:
    assert recall.number_of(recall.id_of(17)) == 17
    assert [recall.number_of(FactId(text)) for text in ("f-", "17", "f-x", "f-٣", "f-1234567890")] == [0] * 5


def test_what_does_not_fit_changes_nothing() -> None:
    state = Facts()
    stray: tuple[Event, ...] = (
        MemoryCorrected(F2, F1, SCOUT, SCOUT, "everyone", "a", "b", "", "", "", 1, 0, 1),
        MemoryEnded(F1, SCOUT, SCOUT, "everyone", "a", "", "", "", 1),
        SystemInfo("x"),
    )
    for event in stray:
        recall.apply(state, event)
    assert state == Facts()


class Histories(RuleBasedStateMachine):
    """Any order of commands: nothing is lost, and what was told stays."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.events, self.now_us = Facts(), list[Event](), NOW_US
        self.texts: dict[FactId, str] = {}

    @rule(
        text=st.sampled_from(["a", "b"]),
        by=st.sampled_from([SCOUT, EDITOR]),
        audience=st.sampled_from(["everyone", "named", "owner"]),
        key=st.sampled_from(["", "", "k"]),
    )
    def remember(self, text: str, by: str, audience: Audience, key: str) -> None:
        readers = ("ann",) if audience == "named" else ()
        self.decide(Remember("s", text, by, audience, readers, idempotency_key=key))

    @rule(number=st.integers(1, 9), by=st.sampled_from([SCOUT, EDITOR]), is_operator=st.booleans())
    def correct(self, number: int, by: str, is_operator: bool) -> None:
        self.decide(CorrectFact(recall.id_of(number), "c", by, is_operator=is_operator))

    @rule(number=st.integers(1, 9), by=st.sampled_from([SCOUT, EDITOR]))
    def end(self, number: int, by: str) -> None:
        self.decide(EndFact(recall.id_of(number), by))

    @rule(step=st.integers(-5, 20))
    def pass_time(self, step: int) -> None:
        self.now_us += step

    def decide(self, command: Remember | CorrectFact | EndFact) -> None:
        try:
            match command:
                case Remember():
                    events: tuple[Event, ...] = recall.decide_remember(self.state, command, KEY, self.now_us)
                case CorrectFact():
                    events = recall.decide_correct(self.state, command, KEY, self.now_us)
                case EndFact():
                    events = recall.decide_end(self.state, command, KEY, self.now_us)
        except Refused:
            return
        for event in events:
            recall.apply(self.state, event)
            self.events.append(event)
            if isinstance(event, MemoryRemembered | MemoryCorrected):
                self.texts[event.fact] = self.state.facts[event.fact].text

    @invariant()
    def state_is_the_fold_of_the_events(self) -> None:
        folded = Facts()
        for event in self.events:
            recall.apply(folded, event)
        assert canonical(folded) == canonical(self.state)

    @invariant()
    def nothing_is_lost_or_changed(self) -> None:
        assert {fact: view.text for fact, view in self.state.facts.items()} == self.texts
        assert list(self.texts) == [recall.id_of(number) for number in range(1, len(self.texts) + 1)]

    @invariant()
    def versions_follow_one_another_without_overlap(self) -> None:
        for fact in self.state.facts.values():
            if fact.superseded_by:
                follower = self.state.facts[fact.superseded_by]
                assert follower.supersedes == fact.fact
                assert 0 < fact.valid_to_us <= follower.valid_from_us
                assert (follower.owner, follower.readers) == (fact.owner, fact.readers)

    @invariant()
    def what_is_held_is_what_stands(self) -> None:
        standing = [fact.owner for fact in self.state.facts.values() if not fact.superseded_by and not fact.is_ended]
        assert self.state.held == {owner: standing.count(owner) for owner in set(standing)}


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestHistories = Histories.TestCase
