"""The memory's shell: what was told stays, over restarts and checkpoints."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from actors.memory import Memory, fresh_key
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.messages.memory import (
    MEMORY,
    CorrectFact,
    EndFact,
    FactId,
    ListFacts,
    MemoryRemembered,
    ReadFact,
    Recall,
    Remember,
)
from bus.refusals import NotFound, NotPermitted

SCOUT, EDITOR = "agents/scout", "agents/editor"
F1, F2 = FactId("f-1"), FactId("f-2")


@asynccontextmanager
async def memory(journal: MemoryJournal) -> AsyncIterator[ActorSystem]:
    """A memory; a second one on the same journal is a restart."""
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(MEMORY, Memory))
        yield system


async def test_what_was_remembered_is_recalled_corrected_and_ended() -> None:
    async with memory(MemoryJournal()) as system:
        made = await system.ask(MEMORY, Remember("the key", "hangs behind the clock", SCOUT))
        assert (await system.ask(MEMORY, Recall("key", EDITOR))).facts == (made,)
        new = await system.ask(MEMORY, CorrectFact(F1, "is with the neighbour", SCOUT, "moved"))
        assert (await system.ask(MEMORY, Recall("key", EDITOR))).facts == (new,)
        history = (await system.ask(MEMORY, ReadFact(F1, EDITOR))).versions
        assert [version.fact for version in history] == [F2, F1]
        page = await system.ask(MEMORY, ListFacts(EDITOR))
        assert (page.facts, page.held) == ((new,), 1)
        ended = await system.ask(MEMORY, EndFact(F2, SCOUT, "lost"))
        assert await system.ask(MEMORY, EndFact(F2, SCOUT)) == ended
        page = await system.ask(MEMORY, ListFacts(EDITOR))
        assert (page.facts, page.held) == ((), 0)


async def test_a_repeated_key_is_answered_as_it_was_the_first_time() -> None:
    journal = MemoryJournal()
    async with memory(journal) as system:
        first = await system.ask(MEMORY, Remember("a", "b", SCOUT, idempotency_key="k"))
        corrected = await system.ask(MEMORY, CorrectFact(F1, "c", SCOUT, idempotency_key="l"))
    async with memory(journal) as system:
        again = await system.ask(MEMORY, Remember("a", "b", SCOUT, idempotency_key="k"))
        assert (again.fact, again.text) == (first.fact, first.text)
        assert await system.ask(MEMORY, CorrectFact(F1, "c", SCOUT, idempotency_key="l")) == corrected
        assert len(journal.events) == 2


async def test_what_was_told_is_there_after_a_restart_also_what_is_veiled() -> None:
    journal = MemoryJournal()
    async with memory(journal) as system:
        await system.ask(MEMORY, Remember("the vault", "is under the lime tree", SCOUT, "owner"))
        await system.ask(MEMORY, Remember("the key", "hangs behind the clock", SCOUT))
    (secret, _) = [record.event for record in journal.events]
    assert isinstance(secret, MemoryRemembered)
    assert "lime" not in f"{secret.subject}{secret.text}{secret.veiled}"
    async with memory(journal) as system:
        (found,) = (await system.ask(MEMORY, Recall("lime tree", SCOUT))).facts
        assert found.text == "is under the lime tree"
        assert (await system.ask(MEMORY, Recall("lime tree", EDITOR))).facts == ()
        with pytest.raises(NotFound):
            await system.ask(MEMORY, ReadFact(F1, EDITOR))
        assert (await system.ask(MEMORY, ReadFact(F1, "ann", is_operator=True))).versions == (found,)


async def test_a_checkpoint_holds_all_of_it_and_words_are_found_on_top_of_one() -> None:
    journal = MemoryJournal()
    async with memory(journal) as system:
        for number in range(20):
            await system.ask(MEMORY, Remember(f"note {number}", "before the checkpoint", SCOUT, "owner"))
        journal.snapshots.update(system.snapshots())
        await system.ask(MEMORY, Remember("note 20", "after the checkpoint", SCOUT))
        before = system.snapshots()[MEMORY].state
    async with memory(journal) as system:
        assert system.snapshots()[MEMORY].state == before
        found = (await system.ask(MEMORY, Recall("checkpoint 7", SCOUT, limit=50))).facts
        assert (len(found), found[0].subject) == (21, "note 7")


async def test_a_refusal_leaves_no_trace() -> None:
    journal = MemoryJournal()
    async with memory(journal) as system:
        await system.ask(MEMORY, Remember("a", "b", SCOUT))
        with pytest.raises(NotPermitted):
            await system.ask(MEMORY, CorrectFact(F1, "c", EDITOR))
        assert len(journal.events) == 1


def test_keys_are_long_and_never_the_same() -> None:
    assert len({fresh_key() for _ in range(100)}) == 100
    assert len(fresh_key()) == 64
