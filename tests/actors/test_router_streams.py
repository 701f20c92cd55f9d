"""Answers word by word: who hears what, and what becomes of a stream that breaks."""

import asyncio

import msgspec
import pytest

from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import DialectName, ProviderOptions
from actors.providers.settings import RouterOptions
from actors.purse import Neighbours
from actors.rules.cascade import ErrorClass
from actors.rules.redaction import MARK
from actors.runtime import Actor, ChildSpec
from bus.messages.base import CompletionId
from bus.messages.completions import (
    ROUTER,
    CancelCompletion,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
    ReadStream,
    StreamCompletion,
)
from bus.messages.routing import WordsSaid
from bus.messages.system import BROADCASTER
from bus.refusals import IllegalTransition, InvalidField, NotFound, StreamBroken
from tests.support.fault_server import TEXT, TOKENS_IN, TOKENS_OUT, FaultServer, Sickness, refusing_url
from tests.support.routing import DOCUMENT, FIRST, behind, request, routing

DIALECTS: tuple[DialectName, ...] = ("openai", "ollama", "anthropic", "gemini")


def patient(server: FaultServer, *, price: str = "0") -> ProviderOptions:
    """A provider whose own limits end nothing: what is over was ended."""
    return behind(server.url, price=price, timeout_s=600.0, stall_s=600.0)


def patience_s(sickness: Sickness) -> float:
    """Short only where it must run out: the others may take their time on a busy machine."""
    return 0.2 if sickness in (Sickness.SLOW_FIRST, Sickness.STALLS) else 5.0


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_parts_of_a_stream_put_together_are_the_answer(dialect: DialectName) -> None:
    async with FaultServer() as well, routing(behind(well.url, dialect=dialect)) as router:
        heard: list[str] = []
        completion = await router.stream(request(), heard)
        assert ("".join(heard), completion.text, completion.finish_reason) == (TEXT, TEXT, "stop")
        assert (completion.tokens_in, completion.tokens_out) == (TOKENS_IN, TOKENS_OUT)
        assert [done.is_usage_estimated for done in router.events(CompletionCompleted)] == [False]


async def test_the_first_words_are_heard_before_the_last_ones_are_said() -> None:
    async with FaultServer(Sickness.STREAM_HELD) as held, routing(behind(held.url)) as router:
        begun = await router.system.ask(ROUTER, StreamCompletion(request()))
        part = await router.system.ask(ROUTER, ReadStream(begun.completion))
        assert (TEXT.startswith(part.text.strip()), part.outcome) == (True, None)
        held.release()
        seen = len(part.text)
        rest = ""
        while part.outcome is None:
            part = await router.system.ask(ROUTER, ReadStream(begun.completion, seen + len(rest)))
            rest += part.text
        assert TEXT.endswith(rest)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("sickness", "error"),
    [
        (Sickness.SLOW_FIRST, ErrorClass.TIMEOUT),
        (Sickness.STREAM_GARBAGE, ErrorClass.GARBAGE),
        (Sickness.SERVER_ERROR, ErrorClass.SERVER),
        (Sickness.NOTHING, ErrorClass.TRUNCATED),
        (Sickness.GARBAGE, ErrorClass.GARBAGE),
    ],
)
async def test_before_the_first_word_the_next_provider_answers(
    dialect: DialectName, sickness: Sickness, error: ErrorClass
) -> None:
    async with (
        FaultServer(sickness) as sick,
        routing(behind(sick.url, dialect=dialect, stall_s=patience_s(sickness)), EXTRACTIVE) as router,
    ):
        heard: list[str] = []
        completion = await router.stream(request(), heard)
        assert (completion.provider, heard) == ("extractive", [DOCUMENT])
        assert [failed.error for failed in router.events(CompletionAttemptFailed)] == [error]


MIDDLE = [
    (Sickness.STALLS, ErrorClass.STALLED),
    (Sickness.BREAKS, ErrorClass.TRUNCATED),
    (Sickness.HALF, ErrorClass.TRUNCATED),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("sickness", "error"), MIDDLE)
async def test_a_stream_that_breaks_in_the_middle_ends_with_what_had_arrived(
    dialect: DialectName, sickness: Sickness, error: ErrorClass
) -> None:
    async with (
        FaultServer(sickness) as sick,
        routing(behind(sick.url, dialect=dialect, stall_s=patience_s(sickness)), EXTRACTIVE) as router,
    ):
        with pytest.raises(StreamBroken) as broken:
            await router.stream(request())
        assert broken.value.text
        assert TEXT.startswith(broken.value.text)
        assert [failed.error for failed in router.events(CompletionFailed)] == [error]
        assert (await router.provider()).in_flight == 0


@pytest.mark.parametrize(("sickness", "_error"), MIDDLE)
async def test_a_stream_that_may_restart_begins_anew_at_the_next_provider(
    sickness: Sickness, _error: ErrorClass
) -> None:
    async with (
        FaultServer(sickness) as sick,
        routing(behind(sick.url, stall_s=patience_s(sickness)), EXTRACTIVE) as router,
    ):
        heard: list[str] = []
        completion = await router.stream(msgspec.structs.replace(request(), may_restart=True), heard)
        assert (completion.provider, "".join(heard)) == ("extractive", DOCUMENT)


async def test_a_dead_primary_costs_a_stream_nothing() -> None:
    with refusing_url() as url:
        async with FaultServer() as well, routing(behind(url), behind(well.url, "secondary")) as router:
            assert (await router.stream(request())).text == TEXT


async def test_who_cancels_a_stream_closes_its_socket_and_blames_nobody() -> None:
    async with FaultServer(Sickness.STALLS) as stalling, routing(patient(stalling, price="1")) as router:
        begun = await router.system.ask(ROUTER, StreamCompletion(request(deadline_s=600.0)))
        await router.system.ask(ROUTER, ReadStream(begun.completion))
        await router.system.ask(ROUTER, CancelCompletion(begun.completion))
        view = await router.provider()
        assert (view.in_flight, view.outcomes, view.failed) == (0, ("cancelled",), 0)
        failed = router.events(CompletionFailed)[0]
        assert (failed.error, failed.cost_usd_micros > 0) == ("cancelled", True)
        with pytest.raises(NotFound):
            await router.system.ask(ROUTER, ReadStream(begun.completion))
        await stalling.all_closed()


async def test_a_reader_who_has_gone_is_hung_up_on() -> None:
    options = RouterOptions(reader_gone_s=0.5)
    async with FaultServer(Sickness.HANGS) as sick, routing(patient(sick), options=options) as router:
        begun = await router.system.ask(ROUTER, StreamCompletion(request(deadline_s=600.0)))
        await sick.called(1)
        await sick.all_closed()
        assert [failed.error for failed in router.events(CompletionFailed)] == ["cancelled"]
        with pytest.raises(NotFound):
            await router.system.ask(ROUTER, ReadStream(begun.completion))


async def test_a_reader_who_has_waited_long_enough_hears_that_there_is_nothing_yet() -> None:
    async with FaultServer(Sickness.HANGS) as sick, routing(behind(sick.url, timeout_s=10.0)) as router:
        begun = await router.system.ask(ROUTER, StreamCompletion(request()))
        part = await router.system.ask(ROUTER, ReadStream(begun.completion, wait_s=0.01))
        assert (part.text, part.outcome) == ("", None)


async def test_cancelling_what_is_over_or_unknown_changes_nothing() -> None:
    async with routing(EXTRACTIVE) as router:
        completion = await router.complete()
        before = len(router.journal.events)
        for name in (completion.completion, CompletionId("m-99")):
            await router.system.ask(ROUTER, CancelCompletion(name))
        assert len(router.journal.events) == before


async def test_who_waits_for_an_answer_that_another_cancels_is_told() -> None:
    async with FaultServer(Sickness.HANGS) as sick, routing(behind(sick.url)) as router:
        pending = asyncio.create_task(router.complete())
        await sick.called(1)
        await router.system.ask(ROUTER, CancelCompletion(CompletionId("m-1")))
        with pytest.raises(IllegalTransition, match="completion m-1 is cancelled"):
            await pending
        await sick.all_closed()


async def test_an_answer_that_does_not_keep_its_schema_is_asked_of_the_next_provider() -> None:
    asked = msgspec.structs.replace(request(), schema='{"type": "object", "required": ["a"]}')
    async with FaultServer() as wrong, FaultServer() as right:
        right.text = '{"a": 1}'
        async with routing(behind(wrong.url), behind(right.url, "secondary")) as router:
            completion = await router.system.ask(ROUTER, asked)
            assert (completion.provider, completion.text) == ("secondary", '{"a": 1}')
            assert [failed.error for failed in router.events(CompletionAttemptFailed)] == ["invalid"]
            heard: list[str] = []
            await router.stream(asked, heard)
            assert heard == ['{"a": 1}']
        assert b'"response_format"' in right.bodies[0]


async def test_a_schema_that_cannot_be_checked_is_refused() -> None:
    async with routing(EXTRACTIVE) as router:
        for schema in ('{"type": "thing"}', "{", '{"pattern": "x"}'):
            with pytest.raises(InvalidField, match="schema"):
                await router.system.ask(ROUTER, msgspec.structs.replace(request(), schema=schema))


class Audience(Actor):
    """Stands where the broadcaster is, and notes what is said."""

    def __init__(self, heard: list[WordsSaid]) -> None:
        self._heard = heard

    def on_words_said(self, words: WordsSaid) -> None:
        self._heard.append(words)


async def test_who_watches_reads_along_and_hears_the_end_and_the_journal_hears_nothing_of_it() -> None:
    heard: list[WordsSaid] = []
    audience = ChildSpec(BROADCASTER, lambda: Audience(heard))
    shown = msgspec.structs.replace(request(), is_shown=True)
    async with (
        FaultServer(Sickness.STREAM_HELD) as held,
        routing(behind(held.url), neighbours=Neighbours(audience=BROADCASTER), others=[audience]) as router,
    ):
        pending = asyncio.create_task(router.system.ask(ROUTER, shown))
        async with asyncio.timeout(30.0):
            while not heard:  # noqa: ASYNC110  # turns of the loop
                await asyncio.sleep(0)
        first = heard[0]
        assert (first.agent, first.provider, first.is_over) == ("scout", FIRST, False)
        assert TEXT.startswith(first.tail)
        assert first.characters > 0
        held.release()
        assert (await pending).text == TEXT
        assert heard[-1].is_over
        assert {type(record.event).__name__ for record in router.journal.events} == {
            "CompletionsNumbered",
            "CompletionCompleted",
        }


async def test_who_watches_never_reads_the_key_of_a_provider_that_repeats_it() -> None:
    heard: list[WordsSaid] = []
    audience = ChildSpec(BROADCASTER, lambda: Audience(heard))
    shown = msgspec.structs.replace(request(), is_shown=True)
    key = "a-key-of-no-known-shape"
    async with FaultServer() as server:
        server.text = f"The key is {key}, they say."
        known, provider = Neighbours(audience=BROADCASTER), behind(server.url, key_env="KEY")
        async with routing(provider, environment={"KEY": key}, neighbours=known, others=[audience]) as router:
            assert (await router.system.ask(ROUTER, shown)).text == server.text
    assert heard[-1].is_over
    assert heard[-1].tail == f"The key is {MARK}, they say."
    assert all(piece not in words.tail for words in heard for piece in (key, key[:8]))


async def test_the_words_of_a_local_request_are_shown_to_nobody() -> None:
    heard: list[WordsSaid] = []
    audience = ChildSpec(BROADCASTER, lambda: Audience(heard))
    shown = msgspec.structs.replace(request(), is_shown=True, privacy="local")
    known = Neighbours(audience=BROADCASTER)
    async with FaultServer() as near, routing(behind(near.url), neighbours=known, others=[audience]) as router:
        assert (await router.system.ask(ROUTER, shown)).text == TEXT
        assert (await router.stream(shown)).text == TEXT
        assert (await router.system.ask(ROUTER, msgspec.structs.replace(shown, privacy="any"))).text == TEXT
        assert [words.is_over for words in heard] == [True]


async def test_a_shown_answer_that_breaks_off_begins_anew_at_the_next_provider() -> None:
    audience = ChildSpec(BROADCASTER, lambda: Audience([]))
    shown = msgspec.structs.replace(request(), is_shown=True)
    async with FaultServer(Sickness.BREAKS) as broken, FaultServer() as well:
        providers = behind(broken.url), behind(well.url, "secondary")
        known = Neighbours(audience=BROADCASTER)
        async with routing(*providers, neighbours=known, others=[audience]) as router:
            completion = await router.system.ask(ROUTER, shown)
            assert (completion.provider, completion.text) == ("secondary", TEXT)
