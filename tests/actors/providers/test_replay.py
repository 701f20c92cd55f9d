"""Completions that are answered from a recording: a run that repeats itself, event by event."""

import asyncio

import msgspec
import pytest

from actors.providers.settings import RouterOptions
from actors.purse import Neighbours
from actors.router import Router
from actors.rules.recordings import Recordings
from actors.rules.redaction import Redactor
from actors.rules.transcripts import Keeping, redacted
from actors.runtime import Actor, ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from actors.runtime.virtual_time import Simulation, simulate
from bus.messages.base import RunId
from bus.messages.completions import ROUTER, ChatMessage, Complete, CompletionAttemptFailed, CompletionFailed
from bus.messages.embeddings import Embed
from bus.messages.transcripts import COMPLETION_LOG, LogCompletion, Transcript
from bus.refusals import AllProvidersFailed, NotRecorded
from tests.support.fault_server import TEXT, FaultServer, Sickness
from tests.support.routing import FIRST, behind, request, routing

LOGGED = Neighbours(log=COMPLETION_LOG)


class Notes(Actor):
    """Stands where the completion log is."""

    def __init__(self, told: list[Transcript]) -> None:
        self._told = told

    def on_log_completion(self, message: LogCompletion) -> None:
        kept = redacted(message.transcript, Keeping(), Redactor((), (), ()), RunId("main"))
        self._told.append(msgspec.json.decode(msgspec.json.encode(kept), type=Transcript))


def notes(told: list[Transcript]) -> ChildSpec:
    return ChildSpec(COMPLETION_LOG, lambda: Notes(told))


async def recorded(*sicknesses: Sickness) -> list[Transcript]:
    """One completion through a cascade of two, at a first provider that is so sick."""
    told: list[Transcript] = []
    async with FaultServer() as first, FaultServer() as second:
        providers = (behind(first.url), behind(second.url, "second"))
        async with routing(*providers, neighbours=LOGGED, others=[notes(told)]) as router:
            for sickness in sicknesses:
                first.sickness = sickness
                await router.complete()
            async with asyncio.timeout(30.0):
                while len(told) < len(sicknesses):  # noqa: ASYNC110  # turns of the loop
                    await asyncio.sleep(0)
    return told


NOWHERE = (behind("http://127.0.0.1:9"), behind("http://127.0.0.1:9", "second"))


async def test_answers_and_failures_come_again_and_nobody_is_asked() -> None:
    told = await recorded(Sickness.SERVER_ERROR, Sickness.HEALTHY)
    async with routing(*NOWHERE, recordings=Recordings(told)) as router:
        answers = [await router.complete() for _ in range(3)]
        assert [(one.provider, one.text) for one in answers] == [("second", TEXT), (FIRST, TEXT), (FIRST, TEXT)]
        assert [(one.provider, one.error) for one in router.events(CompletionAttemptFailed)] == [(FIRST, "server")]
        heard: list[str] = []
        assert ((await router.stream(request(), heard)).text, heard) == (TEXT, [TEXT])


async def test_a_provider_that_asked_to_be_left_alone_is_left_alone_for_as_long() -> None:
    told = await recorded(Sickness.THROTTLED)
    async with routing(*NOWHERE, recordings=Recordings(told)) as router:
        assert (await router.complete()).provider == "second"
        assert (await router.provider()).throttled_for_s == 7.0


async def test_a_recording_that_takes_time_takes_no_more_than_the_attempt_may() -> None:
    (told,) = await recorded(Sickness.HEALTHY)
    (attempt,) = told.attempts
    lasting = msgspec.structs.replace(told, attempts=(msgspec.structs.replace(attempt, ended_s=3_600.0),))
    providers = (behind("http://127.0.0.1:9", timeout_s=0.1),)
    async with routing(*providers, recordings=Recordings([lasting], takes_time=True)) as router, asyncio.timeout(30.0):
        assert (await router.complete()).text == TEXT


async def test_what_was_not_recorded_is_refused_by_name_and_asked_of_nobody() -> None:
    told = await recorded(Sickness.HEALTHY)
    async with FaultServer() as server, routing(behind(server.url), recordings=Recordings(told)) as router:
        with pytest.raises(NotRecorded, match="primary has none for this request"):
            await router.system.ask(ROUTER, request("Something else."))
        assert server.calls == 0
        assert [event.error for event in router.events(CompletionFailed)] == ["unrecorded"]
        assert (await router.provider()).failed == 0


async def test_what_was_not_recorded_goes_on_to_the_provider_where_the_settings_say_so() -> None:
    async with FaultServer() as server, routing(behind(server.url), recordings=Recordings((), asks_on=True)) as router:
        assert (await router.complete()).text == TEXT
        assert server.calls == 1


def in_words(embed: Embed) -> Complete:
    """The same texts, to be answered in as few words as vectors are."""
    return Complete(tuple(ChatMessage("user", text) for text in embed.texts), tokens_max=1, deadline_s=embed.deadline_s)


async def test_vectors_come_again_as_they_were_and_nobody_is_asked() -> None:
    told: list[Transcript] = []
    embed = Embed(("one", "three"), deadline_s=5.0)
    async with FaultServer() as server:
        provider = msgspec.structs.replace(behind(server.url), embedding_model="tiny-embed")
        async with routing(provider, neighbours=LOGGED, others=[notes(told)]) as router:
            given = await router.system.ask(ROUTER, embed)
            async with asyncio.timeout(30.0):
                while not told:  # noqa: ASYNC110  # turns of the loop
                    await asyncio.sleep(0)
    nowhere = msgspec.structs.replace(NOWHERE[0], embedding_model="tiny-embed")
    async with routing(nowhere, recordings=Recordings(told)) as router:
        again = await router.system.ask(ROUTER, embed)
        longer, elsewhere = (msgspec.structs.replace(embed, **change) for change in ({"dimensions": 3}, {"model": "m"}))
        for other in (longer, elsewhere, in_words(embed)):
            with pytest.raises(NotRecorded):
                await router.system.ask(ROUTER, other)
    assert (again.vectors, again.model) == (given.vectors, given.model)
    assert len(given.vectors) == 2


async def _run(simulation: Simulation, recordings: Recordings) -> list[bytes]:
    """Two completions under virtual time; what the journal has of them, to the byte."""
    journal = MemoryJournal(clock=simulation.clock)
    options = RouterOptions(providers=NOWHERE)
    async with ActorSystem(log=journal.log, history=journal, clock=simulation.clock, dice=simulation.dice) as system:
        await system.start(ChildSpec(ROUTER, lambda: Router(options, {}, recordings=recordings)))
        for _ in range(2):
            await system.ask(ROUTER, request())
        return [stored.hash for stored in journal.stored]


async def test_the_same_seed_and_the_same_recordings_give_the_same_event_hashes() -> None:
    told = await recorded(Sickness.SERVER_ERROR, Sickness.HEALTHY)

    def run(seed: int) -> list[bytes]:
        return simulate(seed, lambda simulation: _run(simulation, Recordings(told, takes_time=True)))

    first, again = await asyncio.to_thread(run, 7), await asyncio.to_thread(run, 7)
    assert len(first) == 4  # numbers, a failed attempt, and two answers
    assert first == again


async def test_a_cascade_that_all_failed_fails_again() -> None:
    told: list[Transcript] = []
    async with (
        FaultServer(Sickness.GARBAGE) as server,
        routing(behind(server.url), neighbours=LOGGED, others=[notes(told)]) as router,
    ):
        with pytest.raises(AllProvidersFailed):
            await router.complete()
        async with asyncio.timeout(30.0):
            while not told:  # noqa: ASYNC110  # turns of the loop
                await asyncio.sleep(0)
    (transcript,) = told
    assert (transcript.ending, transcript.error) == ("failed", "garbage")
    async with routing(NOWHERE[0], recordings=Recordings(told)) as router:
        with pytest.raises(AllProvidersFailed, match="garbage"):
            await router.complete()
