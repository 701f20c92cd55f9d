"""Sockets to providers: who may use one again, and who closes one."""

import pytest

from actors.providers.connections import Connections, Place, place_of
from actors.providers.http1 import request, request_head
from tests.support.fault_server import FaultServer, Sickness


def place(server: FaultServer) -> Place:
    return Place("127.0.0.1", server.port, is_tls=False)


GET = request(request_head("POST", "/api/tags", "here", {}), b"{}")


async def test_a_connection_serves_again_after_a_whole_response() -> None:
    connections = Connections()
    async with FaultServer() as server:
        connection = await connections.connect(place(server))
        connection.send(GET)
        assert (await connection.head()).status == 200
        while await connection.chunk():
            pass
        connections.give_back(place(server), connection)
        assert connections.take(place(server)) is connection
        assert connections.take(place(server)) is None
        connections.close()
        await server.all_closed()
        assert connections.open == 0


async def test_a_connection_left_in_the_middle_of_a_response_is_closed() -> None:
    connections = Connections()
    async with FaultServer(Sickness.HANGS) as server:
        connection = await connections.connect(place(server))
        connection.send(GET)
        await server.called(1)
        connections.give_back(place(server), connection)
        await server.all_closed()
        assert (connections.take(place(server)), connections.open) == (None, 0)


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("http://127.0.0.1:8080/v1/x", "127.0.0.1:8080", "/v1/x"),
        ("https://api.example.org/v1", "api.example.org", "/v1"),
        ("https://api.example.org:444", "api.example.org:444", "/"),
        ("http://[::1]:80/x?y=1", "[::1]", "/x?y=1"),
    ],
)
def test_an_address_is_a_place_and_a_path(url: str, authority: str, target: str) -> None:
    where, path = place_of(url)
    assert (where.authority, path) == (authority, target)


def test_an_address_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="names no host"):
        place_of("nowhere")
