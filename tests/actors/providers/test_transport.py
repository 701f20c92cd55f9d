"""The transport over real sockets: whatever goes wrong on the way has one class."""

import asyncio

import pytest

from actors.providers.dialect import HttpRequest, ProviderFault
from actors.providers.transport import Limits, Transport
from actors.rules.cascade import ErrorClass
from tests.support.fault_server import FaultServer, Sickness, healthy_reply, refusing_url


async def post(url: str, limit_s: float = 5.0) -> bytes:
    async with Transport() as transport:
        request = HttpRequest(f"{url}/v1/chat/completions", {"content-type": "application/json"}, b"{}")
        return (await transport.post(request, connect_s=10.0, limit_s=limit_s)).body


async def read_stream(transport: Transport, request: HttpRequest, limits: Limits) -> bytes:
    async with transport.stream(request, limits) as streamed:
        return await streamed.rest()


async def test_a_reply_comes_whole_with_its_status_and_lower_case_headers() -> None:
    async with FaultServer(Sickness.THROTTLED) as server, Transport() as transport:
        reply = await transport.post(HttpRequest(server.url, {"X-Y": "z"}, b"{}"), connect_s=10.0, limit_s=10.0)
        assert (reply.status, reply.headers["retry-after"], server.bodies) == (429, "7", [b"{}"])


async def test_one_connection_serves_many_calls() -> None:
    async with FaultServer() as server, Transport() as transport:
        for _ in range(3):
            await transport.get(f"{server.url}/api/tags", limit_s=5.0)
        assert (server.calls, len(server.connections)) == (3, 1)


@pytest.mark.parametrize(
    ("sickness", "error"),
    [
        (Sickness.HANGS, ErrorClass.TIMEOUT),
        (Sickness.NOTHING, ErrorClass.TRUNCATED),
        (Sickness.HALF_A_BODY, ErrorClass.TRUNCATED),
        (Sickness.NOT_HTTP, ErrorClass.GARBAGE),
        (Sickness.ENDLESS_HEADERS, ErrorClass.GARBAGE),
        (Sickness.HUGE, ErrorClass.TOO_LARGE),
        (Sickness.HUGE_UNANNOUNCED, ErrorClass.TOO_LARGE),
    ],
)
async def test_what_goes_wrong_on_the_way_has_a_class(sickness: Sickness, error: ErrorClass) -> None:
    async with FaultServer(sickness) as server:
        with pytest.raises(ProviderFault) as fault:
            await post(server.url, limit_s=0.3 if sickness is Sickness.HANGS else 30.0)
        assert fault.value.error is error


@pytest.mark.parametrize(
    ("sickness", "limits", "error", "words"),
    [
        (Sickness.SLOW_FIRST, Limits(5.0, 30.0, first_s=0.1), ErrorClass.TIMEOUT, "no first token within 0.1 s"),
        (Sickness.STALLS, Limits(5.0, 30.0, between_s=0.1), ErrorClass.STALLED, "no next token within 0.1 s"),
        (Sickness.STALLS, Limits(5.0, 0.8, first_s=0.7), ErrorClass.TIMEOUT, "no whole reply within 0.8 s"),
        (Sickness.STALLS, Limits(1.0, 0.1, 3.0, 3.0), ErrorClass.TIMEOUT, "no whole reply within 0.1 s"),
        (Sickness.HANGS, Limits(1.0, 0.1), ErrorClass.TIMEOUT, "no whole reply within 0.1 s"),
    ],
)
async def test_each_part_of_a_stream_has_its_own_limit(
    sickness: Sickness, limits: Limits, error: ErrorClass, words: str
) -> None:
    async with FaultServer(sickness) as server, Transport() as transport:
        request = HttpRequest(f"{server.url}/v1/chat/completions", {}, b'{"stream":true}')
        with pytest.raises(ProviderFault) as fault:
            await read_stream(transport, request, limits)
        assert (fault.value.error, fault.value.reason) == (error, words)
        await server.all_closed()


async def test_a_stream_that_is_left_early_closes_its_socket_and_a_whole_one_keeps_it() -> None:
    async with FaultServer() as server, Transport() as transport:
        request = HttpRequest(f"{server.url}/v1/chat/completions", {}, b'{"stream":true}')
        for _ in range(2):
            async with transport.stream(request, Limits(1.0, 5.0)) as streamed:
                assert (await streamed.rest()).endswith(b"data: [DONE]\n\n")
        assert len(server.connections) == 1
        server.sickness = Sickness.STREAM_HELD
        async with transport.stream(request, Limits(1.0, 5.0)) as streamed:
            await streamed.next()
        server.release()
        await server.all_closed()
        async with transport.stream(request, Limits(1.0, 5.0)) as streamed:
            await streamed.rest()
        assert len(server.connections) == 2


async def test_nobody_listening_is_refused() -> None:
    with refusing_url() as url, pytest.raises(ProviderFault) as fault:
        await post(url)
    assert (fault.value.error, fault.value.reason) == (ErrorClass.REFUSED, "the connection was refused")


async def test_an_unknown_host_is_a_failed_connection() -> None:
    with pytest.raises(ProviderFault) as fault:
        await post("http://nowhere.invalid")
    assert fault.value.error is ErrorClass.CONNECT


async def test_a_redirect_is_not_followed() -> None:
    async with FaultServer(Sickness.REDIRECTS) as server, Transport() as transport:
        reply = await transport.get(server.url, limit_s=5.0)
        assert (reply.status, server.calls) == (302, 1)


async def test_a_call_that_is_cancelled_closes_its_socket() -> None:
    async with FaultServer(Sickness.HANGS) as server:
        call = asyncio.create_task(post(server.url))
        await server.called(1)
        call.cancel()
        await server.all_closed()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_whole_reply_is_the_body_that_was_sent() -> None:
    async with FaultServer() as server:
        assert await post(server.url) == healthy_reply("/v1/chat/completions")
