"""Every sickness of a provider, in every dialect, streamed or not: each ends in its row of the table, in time.

The row says what the breaker hears, whether the provider is disabled or left alone for a while, and who is asked next.
"""

import asyncio

import pytest

from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import DialectName
from actors.rules.cascade import CONSEQUENCES, ErrorClass, Next
from bus.messages.completions import (
    ROUTER,
    BreakerState,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
)
from bus.refusals import RequestRejected, StreamBroken
from tests.support.fault_server import TEXT, TOKENS_IN, TOKENS_OUT, FaultServer, Sickness, refusing_url
from tests.support.routing import DOCUMENT, behind, request, routing

DIALECTS: tuple[DialectName, ...] = ("openai", "anthropic", "gemini", "ollama")
ROWS: dict[Sickness, ErrorClass] = {
    Sickness.HANGS: ErrorClass.TIMEOUT,
    Sickness.HALF_THE_HEADERS: ErrorClass.TIMEOUT,
    Sickness.SERVER_ERROR: ErrorClass.SERVER,
    Sickness.OVERLOADED: ErrorClass.SERVER,
    Sickness.THROTTLED: ErrorClass.THROTTLED,
    Sickness.BAD_REQUEST: ErrorClass.REJECTED,
    Sickness.UNPROCESSABLE: ErrorClass.REJECTED,
    Sickness.CONTEXT_OVERFLOW: ErrorClass.OVERFLOW,
    Sickness.UNAUTHORISED: ErrorClass.UNAUTHORISED,
    Sickness.FORBIDDEN: ErrorClass.UNAUTHORISED,
    Sickness.UNKNOWN_MODEL: ErrorClass.UNKNOWN_MODEL,
    Sickness.REDIRECTS: ErrorClass.GARBAGE,
    Sickness.GARBAGE: ErrorClass.GARBAGE,
    Sickness.WRONG_TYPE: ErrorClass.GARBAGE,
    Sickness.NOT_HTTP: ErrorClass.GARBAGE,
    Sickness.ENDLESS_HEADERS: ErrorClass.GARBAGE,
    Sickness.HALF_A_BODY: ErrorClass.TRUNCATED,
    Sickness.NOTHING: ErrorClass.TRUNCATED,
    Sickness.HUGE: ErrorClass.TOO_LARGE,
    Sickness.HUGE_UNANNOUNCED: ErrorClass.TOO_LARGE,
    Sickness.EMPTY: ErrorClass.EMPTY,
    Sickness.ONLY_THINKING: ErrorClass.EMPTY,
}
OF_STREAMS: dict[Sickness, ErrorClass] = ROWS | {
    Sickness.SLOW_FIRST: ErrorClass.TIMEOUT,
    Sickness.STREAM_GARBAGE: ErrorClass.GARBAGE,
    Sickness.STALLS: ErrorClass.STALLED,
    Sickness.BREAKS: ErrorClass.TRUNCATED,
    Sickness.HALF: ErrorClass.TRUNCATED,
}
OF_WHOLES: dict[Sickness, ErrorClass] = ROWS | {Sickness.NO_FINISH: ErrorClass.TRUNCATED}
OTHERS = {Sickness.HEALTHY, Sickness.HELD, Sickness.STREAM_HELD, Sickness.ENDS_LATE}
"""What is no sickness."""
OPEN_ENDS = (Sickness.LEFT_OPEN, Sickness.NO_MARK)
"""A whole answer on a connection that does not end."""
AFTER_WORDS = (Sickness.STALLS, Sickness.BREAKS, Sickness.HALF)
"""What befalls a stream after its first words."""
PATIENCE_S = 0.2
DEADLINE_S = 20.0


def test_every_sickness_has_its_row() -> None:
    assert OF_WHOLES.keys() | OF_STREAMS.keys() | OTHERS | set(OPEN_ENDS) == set(Sickness)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("sickness", "is_streamed"),
    [*((sickness, False) for sickness in OF_WHOLES), *((sickness, True) for sickness in OF_STREAMS)],
)
async def test_a_sickness_ends_in_its_row_within_the_deadline(
    sickness: Sickness, is_streamed: bool, dialect: DialectName
) -> None:
    error = (OF_STREAMS if is_streamed else OF_WHOLES)[sickness]
    row = CONSEQUENCES[error]
    waits = error in (ErrorClass.TIMEOUT, ErrorClass.STALLED)
    patience_s = PATIENCE_S if waits else DEADLINE_S
    async with FaultServer(sickness) as sick:
        provider = behind(sick.url, dialect=dialect, timeout_s=DEADLINE_S, stall_s=patience_s)
        if waits and not is_streamed:
            provider = behind(sick.url, dialect=dialect, timeout_s=PATIENCE_S)
        async with routing(provider, EXTRACTIVE) as router, asyncio.timeout(DEADLINE_S):
            asked = request(deadline_s=DEADLINE_S)
            answered = router.stream(asked) if is_streamed else router.system.ask(ROUTER, asked, timeout_s=DEADLINE_S)
            if row.next is Next.STOP:
                with pytest.raises(RequestRejected):
                    await answered
            elif sickness in AFTER_WORDS:
                with pytest.raises(StreamBroken):
                    await answered
            else:
                answer = await answered
                assert (answer.provider, answer.text) == ("extractive", DOCUMENT)
            view = await router.provider()
            assert [failed.error for failed in router.events(CompletionAttemptFailed)] == [error]
            assert len(router.events(CompletionCompleted)) + len(router.events(CompletionFailed)) == 1
            assert (view.outcomes, view.in_flight, sick.calls) == ((error,), 0, 1)
            assert (view.is_enabled, view.breaker) == (not row.disables, BreakerState.CLOSED)
            again = await router.complete(deadline_s=DEADLINE_S) if row.gates or row.disables else None
            assert again is None or (again.provider, sick.calls) == ("extractive", 1)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_refused_connection_ends_in_its_row(is_streamed: bool) -> None:
    with refusing_url() as url:
        async with routing(behind(url), EXTRACTIVE) as router:
            answer = await (router.stream(request()) if is_streamed else router.complete())
            assert answer.provider == "extractive"
            assert (await router.provider()).outcomes == (ErrorClass.REFUSED,)


@pytest.mark.parametrize(
    ("dialect", "sickness"),
    [
        ("openai", Sickness.LEFT_OPEN),
        ("anthropic", Sickness.LEFT_OPEN),
        ("ollama", Sickness.LEFT_OPEN),
        pytest.param("openai", Sickness.NO_MARK, marks=pytest.mark.slow),
        pytest.param("gemini", Sickness.LEFT_OPEN, marks=pytest.mark.slow),
    ],
)
async def test_a_whole_answer_does_not_wait_for_a_connection_that_is_left_open(
    dialect: DialectName, sickness: Sickness
) -> None:
    patience_s = 10 * DEADLINE_S
    async with FaultServer(sickness) as server, asyncio.timeout(DEADLINE_S):
        provider = behind(server.url, dialect=dialect, timeout_s=patience_s, stall_s=patience_s)
        async with routing(provider) as router:
            answer = await router.stream(request(deadline_s=patience_s))
            assert (answer.text, answer.finish_reason) == (TEXT, "stop")
            assert (answer.tokens_in, answer.tokens_out) == (TOKENS_IN, TOKENS_OUT)
            assert (await router.provider()).outcomes == ("ok",)
            await server.all_closed()


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_an_end_mark_without_a_finish_is_a_broken_stream_at_once(dialect: DialectName) -> None:
    mark = b"data: [DONE]\n\n" if dialect == "openai" else b'data: {"type": "message_stop"}\n\n'
    async with FaultServer() as server, routing(behind(server.url, dialect=dialect), EXTRACTIVE) as router:
        server.recorded = ("text/event-stream", mark)
        answer = await router.stream(request())
        assert answer.provider == "extractive"
        assert (await router.provider()).outcomes == (ErrorClass.TRUNCATED,)
