"""What a client of OpenAI's dialect hears when the only provider there is cannot answer, sickness by sickness.

No finish reason is ever made up, nothing is asked more often than the rounds allow, and the status says whether asking
again can help: 4xx where it cannot, 429 with a time where it can later, 502 where it may at any time.
"""

import asyncio

import aiohttp
import orjson
import pytest

from actors.rules.cascade import CascadeOptions
from tests.support.cascade_server import cascade_server
from tests.support.fault_server import TEXT, FaultServer, Sickness, refusing_url
from tests.support.routing import behind
from tests.web.support import TOKEN

REJECTED = 422, "invalid_request_error", "request_rejected"
INCAPABLE = 422, "invalid_request_error", "not_capable"
THROTTLED = 429, "rate_limit_error", "all_providers_throttled"
FAILED = 502, "server_error", "all_providers_failed"
BROKEN = 200, "server_error", "stream_broken"
ROWS: dict[Sickness, tuple[tuple[int, str, str], int]] = {
    Sickness.BAD_REQUEST: (REJECTED, 1),
    Sickness.UNPROCESSABLE: (REJECTED, 1),
    Sickness.CONTEXT_OVERFLOW: (INCAPABLE, 1),
    Sickness.THROTTLED: (THROTTLED, 1),
    Sickness.UNAUTHORISED: (FAILED, 1),
    Sickness.FORBIDDEN: (FAILED, 1),
    Sickness.UNKNOWN_MODEL: (FAILED, 1),
    Sickness.HUGE: (FAILED, 1),
    Sickness.HANGS: (FAILED, 2),
    Sickness.SERVER_ERROR: (FAILED, 2),
    Sickness.OVERLOADED: (FAILED, 2),
    Sickness.REDIRECTS: (FAILED, 2),
    Sickness.GARBAGE: (FAILED, 2),
    Sickness.WRONG_TYPE: (FAILED, 2),
    Sickness.NOT_HTTP: (FAILED, 2),
    Sickness.ENDLESS_HEADERS: (FAILED, 2),
    Sickness.HALF_THE_HEADERS: (FAILED, 2),
    Sickness.HALF_A_BODY: (FAILED, 2),
    Sickness.NOTHING: (FAILED, 2),
    Sickness.EMPTY: (FAILED, 2),
    Sickness.ONLY_THINKING: (FAILED, 2),
    Sickness.SLOW_FIRST: (FAILED, 2),
    Sickness.STREAM_GARBAGE: (FAILED, 2),
}
AFTER_WORDS = (Sickness.STALLS, Sickness.BREAKS, Sickness.HALF)
"""An answer that is not streamed to the client is asked for again; a stream says that it broke."""
CASES = [
    *((sickness, is_streamed, *row) for sickness, row in ROWS.items() for is_streamed in (False, True)),
    *((sickness, False, FAILED, 2) for sickness in AFTER_WORDS),
    *((sickness, True, BROKEN, 1) for sickness in AFTER_WORDS),
]
PATIENCE_S = 0.15
assert CascadeOptions().rounds_max == 2, "so often each provider is asked at most"


@pytest.mark.parametrize(("sickness", "is_streamed", "row", "calls"), CASES)
async def test_what_a_client_hears_of_a_sick_provider(
    sickness: Sickness, is_streamed: bool, row: tuple[int, str, str], calls: int
) -> None:
    async with FaultServer(sickness) as sick, asyncio.timeout(20.0):
        waits = sickness in (Sickness.HANGS, Sickness.HALF_THE_HEADERS, Sickness.SLOW_FIRST, Sickness.STALLS)
        provider = behind(sick.url, timeout_s=5.0, stall_s=PATIENCE_S if waits else 5.0)
        async with cascade_server(provider) as (url, router):
            status, retry_after, words = await asked(url, is_streamed=is_streamed)
            heard = error_in(words)
            if status == 200 or not is_streamed or sickness not in AFTER_WORDS:
                assert (status, heard["type"], heard["code"]) == row
            else:  # it broke before a word of it was on its way to the client
                assert (status, heard["code"]) == (502, "stream_broken")
            assert retry_after == ("7" if sickness is Sickness.THROTTLED else None)
            assert "[DONE]" not in words
            assert '"finish_reason":"' not in words
            assert sick.calls == calls
            assert [one.in_flight for one in (await router.view()).providers] == [0]


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_where_nobody_listens_the_client_hears_so_in_time(is_streamed: bool) -> None:
    with refusing_url() as nowhere:
        async with cascade_server(behind(nowhere)) as (url, _):
            status, _, words = await asked(url, is_streamed=is_streamed)
            assert (status, error_in(words)["code"]) == (502, "all_providers_failed")
            assert "refused" in words


@pytest.mark.parametrize("sickness", [*ROWS, *AFTER_WORDS])
async def test_before_the_first_word_the_next_provider_is_all_that_a_client_hears_of(sickness: Sickness) -> None:
    async with FaultServer(sickness) as sick, FaultServer() as well:
        first = behind(sick.url, timeout_s=5.0, stall_s=PATIENCE_S)
        async with cascade_server(first, behind(well.url, "second")) as (url, _):
            status, _, words = await asked(url, is_streamed=False)
            if sickness in (Sickness.BAD_REQUEST, Sickness.UNPROCESSABLE):
                assert (status, well.calls) == (422, 0)
            else:
                answer = orjson.loads(words)
                assert (status, answer["provider"]) == (200, "second")
                assert answer["choices"][0]["message"]["content"] == TEXT
                assert (sick.calls, well.calls) == (1, 1)


async def asked(url: str, *, is_streamed: bool) -> tuple[int, str | None, str]:
    """The status, the Retry-After and all words of one request."""
    body = {"model": "agora", "messages": [{"role": "user", "content": "Hello."}], "deadline_s": 5}
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{url}/v1/chat/completions", json=body | {"stream": is_streamed}) as response,
    ):
        return response.status, response.headers.get("retry-after"), await response.text()


def error_in(words: str) -> dict[str, str]:
    """The error of a reply, or of the last line of a stream."""
    last = words.strip().rpartition("data: ")[2]
    error: dict[str, str] = orjson.loads(last)["error"]
    return error
