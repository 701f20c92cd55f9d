"""What is remembered, by whom, for whom, and since when.

    remembered ─▶ valid from … ─▶ superseded (a correction took its place)
                                └▶ ended     (it is no longer so)

Rules: a fact is never deleted and never changed: a correction is a new version, valid from when the old one is not, and
the old one stays to be read. Only its owner and the operator correct or end a fact; only the newest version can be.
Whom a fact is for is declared once and stays: who may not read it does not learn that it is there. What is valid at a
moment is what began by then and was not over. Time never goes back: a clock that is set back hides nothing.

Bounds: a text has `TEXT_BYTES_MAX`; an owner holds `OWN_MAX` facts that are neither superseded nor ended, and all
versions together are `FACTS_MAX` and `BYTES_MAX`. Beyond any of them a fact is refused, since nothing is ever dropped
to make room.

Pure: no clock, no dice; keys are given. `apply` is total and the only mutator.
"""

import msgspec

from actors.rules import idempotency, veils
from actors.rules.fields import check_id, check_integer, check_line, check_text
from actors.rules.idempotency import Keys
from bus.messages.base import AgentId, Event, Microseconds, TaskId
from bus.messages.memory import (
    CorrectFact,
    EndFact,
    FactId,
    FactView,
    MemoryCorrected,
    MemoryEnded,
    MemoryRemembered,
    Remember,
)
from bus.refusals import IdempotencyConflict, IllegalTransition, InvalidField, MemoryFull, NotFound, NotPermitted

SUBJECT_CHARS_MAX = 120
TEXT_BYTES_MAX = 2_000
"""A fact is a few sentences; what is longer is an artifact, which a fact can name."""
REASON_BYTES_MAX = 500
READERS_MAX = 16
OWN_MAX = 10_000
"""So many are more than an agent learns in years of work, and few enough that one agent leaves room for others."""
FACTS_MAX = 50_000
BYTES_MAX = 16 * 1024 * 1024
"""Of all texts: with their index some 200 MB in memory at the worst."""
TIME_US_MAX = 253_402_300_800_000_000
"""The year 10000: no calendar that shows times goes further."""
REDACTED = "[redacted]"
"""What the journal says where words were redacted; a veil without its other half reads the same."""
_AGENTS = "agents/"


class Facts(msgspec.Struct):
    """All facts in all versions, in the order in which they were said."""

    facts: dict[FactId, FactView] = {}
    bytes: int = 0
    """Of all texts and subjects."""
    latest_us: Microseconds = 0
    """When the last one was said."""
    held: dict[str, int] = {}
    """By owner, how many are neither superseded nor ended."""
    keys: Keys = msgspec.field(default_factory=Keys)


def moment(state: Facts, now_us: Microseconds) -> Microseconds:
    """Now, and never before what was said last."""
    return max(now_us, state.latest_us)


def number_of(fact: FactId) -> int:
    """Its place in the order; 0 for what is no id of a fact."""
    digits = fact.removeprefix("f-")
    return int(digits) if digits != fact and digits.isascii() and digits.isdigit() and len(digits) <= 9 else 0


def id_of(number: int) -> FactId:
    """The id of a fact by its place in the order."""
    return FactId(f"f-{number}")


def may_read(fact: FactView, reader: str, *, is_operator: bool) -> bool:
    """Whether a fact is for a reader."""
    if is_operator or fact.audience == "everyone" or fact.owner == reader:
        return True
    return fact.audience == "named" and reader in fact.readers


def is_valid(fact: FactView, at_us: Microseconds) -> bool:
    """Whether it was so at a moment."""
    return fact.valid_from_us <= at_us and not 0 < fact.valid_to_us <= at_us


def read(state: Facts, fact: FactId, reader: str, *, is_operator: bool) -> FactView:
    """The fact; `NotFound` for one that is not there, or not for this reader."""
    found = state.facts.get(fact)
    if found is None or not may_read(found, reader, is_operator=is_operator):
        raise NotFound("fact", fact)
    return found


def history(state: Facts, fact: FactView) -> tuple[FactView, ...]:
    """All versions of a fact, the newest first."""
    while fact.superseded_by in state.facts:
        fact = state.facts[fact.superseded_by]
    versions = [fact]
    while fact.supersedes in state.facts:
        fact = state.facts[fact.supersedes]
        versions.append(fact)
    return tuple(versions)


def decide_remember(state: Facts, command: Remember, key: str, now_us: Microseconds) -> tuple[MemoryRemembered, ...]:
    """A new fact; a repeat of its key causes nothing. `key` veils what is not for everyone."""
    now_us = moment(state, now_us)
    subject, text = _words(command.subject, command.text)
    owner = check_id("by", command.by)
    readers = _readers(command, owner)
    starts_us = command.valid_from_us or now_us
    _check_span(starts_us, command.valid_to_us)
    asked = FactView(
        fact=id_of(len(state.facts) + 1),
        subject=subject,
        text=text,
        owner=owner,
        by=owner,
        audience=command.audience,
        readers=readers,
        valid_from_us=starts_us,
        valid_to_us=command.valid_to_us,
        recorded_us=now_us,
        task=TaskId(check_id("task", command.task, may_be_empty=True)),
    )
    idempotency_key = idempotency.check_key(command.idempotency_key)
    if (known := repeated(state, command.idempotency_key, now_us)) is not None:
        # The times are not compared: a repeat that comes later would begin later.
        if _said(known) != _said(asked):
            raise IdempotencyConflict(f"key {idempotency_key}")
        return ()
    _check_room(state, owner, subject, text)
    is_open = command.audience == "everyone"
    event = MemoryRemembered(
        fact=asked.fact,
        owner=owner,
        audience=command.audience,
        readers=readers,
        subject=subject if is_open else "",
        text=text if is_open else "",
        veiled="" if is_open else veils.veiled((subject, text), key),
        key="" if is_open else key,
        valid_from_us=starts_us,
        valid_to_us=command.valid_to_us,
        recorded_us=now_us,
        task=asked.task,
        agent=_agent(owner),
        idempotency_key=idempotency_key,
    )
    return (event,)


def decide_correct(state: Facts, command: CorrectFact, key: str, now_us: Microseconds) -> tuple[MemoryCorrected, ...]:
    """A new version; a repeat of its key causes nothing. `key` veils what is not for everyone."""
    now_us = moment(state, now_us)
    old = _own(state, command.fact, command.by, "corrected", is_operator=command.is_operator)
    subject, text = _words(old.subject, command.text)
    reason = check_text("reason", command.reason, REASON_BYTES_MAX)
    idempotency_key = idempotency.check_key(command.idempotency_key)
    if (known := repeated(state, command.idempotency_key, now_us)) is not None:
        if (known.supersedes, known.text, known.reason, known.by) != (old.fact, text, reason, command.by):
            raise IdempotencyConflict(f"key {idempotency_key}")
        return ()
    _check_newest(old, "corrected")
    starts_us = command.valid_from_us or max(now_us, old.valid_from_us)
    _check_span(starts_us, command.valid_to_us)
    if starts_us < old.valid_from_us:
        raise InvalidField("valid_from_us", f"is before {old.fact} itself began to be valid")
    _check_room(state, "", subject, text)
    is_open = old.audience == "everyone"
    event = MemoryCorrected(
        fact=id_of(len(state.facts) + 1),
        supersedes=old.fact,
        owner=old.owner,
        by=check_id("by", command.by),
        audience=old.audience,
        subject=subject if is_open else "",
        text=text if is_open else "",
        reason=reason if is_open else "",
        veiled="" if is_open else veils.veiled((subject, text, reason), key),
        key="" if is_open else key,
        valid_from_us=starts_us,
        valid_to_us=command.valid_to_us,
        recorded_us=now_us,
        task=TaskId(check_id("task", command.task, may_be_empty=True)),
        agent=_agent(old.owner),
        idempotency_key=idempotency_key,
    )
    return (event,)


def decide_end(state: Facts, command: EndFact, key: str, now_us: Microseconds) -> tuple[MemoryEnded, ...]:
    """The end of a fact; one that has ended ends no second time."""
    old = _own(state, command.fact, command.by, "ended", is_operator=command.is_operator)
    reason = check_text("reason", command.reason, REASON_BYTES_MAX)
    if old.is_ended:
        return ()
    _check_newest(old, "ended")
    is_open = old.audience == "everyone"
    event = MemoryEnded(
        fact=old.fact,
        owner=old.owner,
        by=check_id("by", command.by),
        audience=old.audience,
        subject=old.subject if is_open else "",
        reason=reason if is_open else "",
        veiled="" if is_open else veils.veiled((reason,), key),
        key="" if is_open else key,
        ended_us=moment(state, now_us),
        agent=_agent(old.owner),
    )
    return (event,)


def repeated(state: Facts, key: str, now_us: Microseconds) -> FactView | None:
    """The version that a key has made already."""
    return state.facts.get(FactId(idempotency.subject_of(state.keys, key, moment(state, now_us))))


def apply(state: Facts, event: Event) -> None:
    """Fold one event."""
    match event:
        case MemoryRemembered():
            subject, text = _lifted(event.veiled, event.key, (event.subject, event.text))
            _add(
                state,
                FactView(
                    fact=event.fact,
                    subject=subject,
                    text=text,
                    owner=event.owner,
                    by=event.owner,
                    audience=event.audience,
                    readers=event.readers,
                    valid_from_us=event.valid_from_us,
                    valid_to_us=event.valid_to_us,
                    recorded_us=event.recorded_us,
                    task=event.task,
                ),
                event.idempotency_key,
            )
            state.held[event.owner] = state.held.get(event.owner, 0) + 1
        case MemoryCorrected() if event.supersedes in state.facts:
            _apply_correction(state, event, state.facts[event.supersedes])
        case MemoryEnded() if event.fact in state.facts:
            _apply_end(state, event, state.facts[event.fact])
        case _:
            return


def _apply_correction(state: Facts, event: MemoryCorrected, old: FactView) -> None:
    subject, text, reason = _lifted(event.veiled, event.key, (event.subject, event.text, event.reason))
    was_over = 0 < old.valid_to_us <= event.valid_from_us
    state.facts[old.fact] = msgspec.structs.replace(
        old, superseded_by=event.fact, valid_to_us=old.valid_to_us if was_over else event.valid_from_us
    )
    _add(
        state,
        FactView(
            fact=event.fact,
            subject=subject,
            text=text,
            owner=old.owner,
            by=event.by,
            audience=old.audience,
            readers=old.readers,
            valid_from_us=event.valid_from_us,
            valid_to_us=event.valid_to_us,
            recorded_us=event.recorded_us,
            task=event.task,
            reason=reason,
            supersedes=old.fact,
            earlier=old.earlier + 1,
        ),
        event.idempotency_key,
    )


def _apply_end(state: Facts, event: MemoryEnded, old: FactView) -> None:
    (reason,) = _lifted(event.veiled, event.key, (event.reason,))
    was_over = 0 < old.valid_to_us <= event.ended_us
    ends_us = old.valid_to_us if was_over else max(event.ended_us, old.valid_from_us)
    state.facts[old.fact] = msgspec.structs.replace(old, is_ended=True, valid_to_us=ends_us, reason=reason)
    state.held[old.owner] = state.held.get(old.owner, 0) - 1
    if state.held[old.owner] <= 0:
        del state.held[old.owner]
    state.latest_us = max(state.latest_us, event.ended_us)


def _add(state: Facts, fact: FactView, key: str) -> None:
    state.facts[fact.fact] = fact
    state.bytes += _size(fact.subject, fact.text)
    state.latest_us = max(state.latest_us, fact.recorded_us)
    idempotency.remember(state.keys, key, fact.fact, fact.recorded_us)


def _lifted(veil: str, key: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """The words that an event says, openly or under a veil."""
    if not veil:
        return words
    found = veils.lifted(veil, key)
    return found if found is not None and len(found) == len(words) else (REDACTED,) * len(words)


def _words(subject: str, text: str) -> tuple[str, str]:
    line = check_line("subject", subject, SUBJECT_CHARS_MAX)
    stripped = text.strip()
    if not stripped:
        raise InvalidField("text", "is empty")
    return line, check_text("text", stripped, TEXT_BYTES_MAX)


def _readers(command: Remember, owner: str) -> tuple[str, ...]:
    if command.audience != "named":
        if command.readers:
            raise InvalidField("readers", "are named only for an audience of those that are named")
        return ()
    check_integer("readers", len(command.readers), 1, READERS_MAX)
    return tuple(sorted({check_id("readers", one) for one in command.readers} - {owner}))


def _check_span(starts_us: Microseconds, ends_us: Microseconds) -> None:
    check_integer("valid_from_us", starts_us, 0, TIME_US_MAX)
    check_integer("valid_to_us", ends_us, 0, TIME_US_MAX)
    if 0 < ends_us <= starts_us:
        raise InvalidField("valid_to_us", "is not after valid_from_us")


def _check_room(state: Facts, owner: str, subject: str, text: str) -> None:
    if owner and state.held.get(owner, 0) >= OWN_MAX:
        raise MemoryFull(owner, f"{OWN_MAX} facts")
    if len(state.facts) >= FACTS_MAX:
        raise MemoryFull("the memory", f"{FACTS_MAX} versions of facts")
    if state.bytes + _size(subject, text) > BYTES_MAX:
        raise MemoryFull("the memory", f"{BYTES_MAX} bytes")


def _check_newest(fact: FactView, command: str) -> None:
    if fact.superseded_by:
        raise IllegalTransition(f"fact {fact.fact}", f"superseded by {fact.superseded_by}", command)
    if fact.is_ended:
        raise IllegalTransition(f"fact {fact.fact}", "ended", command)


def _own(state: Facts, fact: FactId, by: str, command: str, *, is_operator: bool) -> FactView:
    found = read(state, fact, by, is_operator=is_operator)
    if not is_operator and found.owner != by:
        raise NotPermitted(f"fact {fact} is {found.owner}'s; it cannot be {command} by {by}")
    return found


def _said(fact: FactView) -> tuple[str, ...]:
    """What a key stands for."""
    return (fact.subject, fact.text, fact.owner, fact.audience, *fact.readers, fact.task)


def _size(subject: str, text: str) -> int:
    return len(subject.encode(errors="replace")) + len(text.encode(errors="replace"))


def _agent(owner: str) -> AgentId:
    return AgentId(owner.removeprefix(_AGENTS) if owner.startswith(_AGENTS) else "")
