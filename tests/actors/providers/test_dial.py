"""Connecting over real sockets: names, limits, certificates."""

import asyncio
import gc
import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.providers.connection import Connection
from actors.providers.dial import Dialler, Found, Place, look_up
from actors.providers.dialect import HttpRequest, ProviderFault
from actors.providers.pool import Pool
from actors.rules.cascade import ErrorClass
from tests.support.certificates import Certificate, self_signed
from tests.support.fault_server import FaultServer, Sickness, refusing_url

HOST = "127.0.0.1"


async def fault_of(place: Place, limit_s: float = 5.0) -> tuple[ErrorClass, str]:
    with pytest.raises(ProviderFault) as fault:
        await Dialler(set()).connect(place, limit_s)
    return fault.value.error, fault.value.reason


async def encrypted(own: Certificate, server: FaultServer) -> tuple[asyncio.Server, Place]:
    """A server of TLS that passes everything on to another."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*own)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner = await asyncio.open_connection(HOST, server.port)
        try:
            while asked := await reader.read(65_536):
                inner.write(asked)
                writer.write(await inner_reader.read(65_536))
        except ConnectionError:
            pass  # whoever is cut off closes so
        finally:
            inner.close()
            writer.close()

    listening = await asyncio.start_server(serve, HOST, 0, ssl=context)
    return listening, Place(HOST, listening.sockets[0].getsockname()[1], is_encrypted=True)


async def test_a_name_is_looked_up_and_all_its_addresses_are_tried() -> None:
    async with FaultServer() as server:
        everyone: set[Connection] = set()
        connection = await Dialler(everyone).connect(Place("localhost", server.port, is_encrypted=False), 5.0)
        assert everyone == {connection}
        connection.drop()
        await connection.lost
        assert everyone == set()


async def test_nobody_listening_is_refused_by_name_and_by_number() -> None:
    with refusing_url() as url:
        port = int(url.rpartition(":")[2])
        for host in (HOST, "localhost"):
            refused = await fault_of(Place(host, port, is_encrypted=False))
            assert refused == (ErrorClass.REFUSED, "the connection was refused")


async def test_a_greeting_that_never_comes_is_part_of_the_wait() -> None:
    async with FaultServer(Sickness.HANGS) as server:
        error, words = await fault_of(Place(HOST, server.port, is_encrypted=True), 0.05)
        assert (error, words) == (ErrorClass.CONNECT, "no connection within 0.05 s")
        await server.all_gone()


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "a" * 64])
async def test_a_name_that_nobody_has_is_no_connection(host: str) -> None:
    error, words = await fault_of(Place(host, 80, is_encrypted=False))
    assert (error, words.startswith("no connection: ")) == (ErrorClass.CONNECT, True)


async def test_a_name_is_looked_up_once_at_a_time_however_many_wait_for_it() -> None:
    lookups: list[Place] = []
    released = threading.Event()

    def lookup(place: Place) -> Sequence[Found]:
        lookups.append(place)
        released.wait(10)
        return look_up(place)

    async with FaultServer() as server:
        dialler = Dialler(set(), lookup=lookup)
        place = Place("localhost", server.port, is_encrypted=False)
        with pytest.raises(ProviderFault, match="no connection within"):
            await dialler.connect(place, 0.01)  # its look-up goes on, and serves the next ones
        async with asyncio.TaskGroup() as callers:
            connecting = [callers.create_task(dialler.connect(place, 5.0)) for _ in range(3)]
            released.set()
        assert lookups == [place]
        (await dialler.connect(place, 5.0)).drop()
        assert lookups == [place, place]
        for one in connecting:
            one.result().drop()
            await one.result().lost


async def test_a_look_up_that_fails_when_nobody_waits_any_more_is_no_stray_error() -> None:
    released = threading.Event()

    def lookup(_: Place) -> Sequence[Found]:
        released.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "nobody knows")

    strays: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, said: strays.append(said["message"]))
    dialler = Dialler(set(), lookup=lookup)
    place = Place("localhost", 1, is_encrypted=False)
    with pytest.raises(ProviderFault, match="no connection within"):
        await dialler.connect(place, 0.01)
    released.set()
    await loop.shutdown_default_executor()  # the look-up is over
    del dialler
    gc.collect()
    assert strays == []


async def test_a_look_up_that_hangs_holds_up_no_closing_and_nobody_connects_after_it() -> None:
    released = threading.Event()

    def lookup(place: Place) -> Sequence[Found]:
        released.wait(10)
        return look_up(place)

    everyone: set[Connection] = set()
    async with FaultServer() as server:
        dialler = Dialler(everyone, lookup=lookup)
        place = Place("localhost", server.port, is_encrypted=False)
        connecting = asyncio.create_task(dialler.connect(place, 60.0))
        await asyncio.wait([connecting], timeout=0.01)
        async with asyncio.timeout(5):
            await dialler.close()
        released.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        with pytest.raises(ProviderFault, match="all are being closed"):
            await connecting
        with pytest.raises(ProviderFault, match="all are being closed"):
            await dialler.connect(place, 60.0)
        assert (everyone, server.connections) == (set(), set())


async def test_a_certificate_that_nobody_trusts_is_no_connection(tmp_path: Path) -> None:
    async with FaultServer() as server:
        listening, place = await encrypted(self_signed(tmp_path / "own"), server)
        error, words = await fault_of(place)
        listening.close()
        assert error is ErrorClass.CONNECT
        assert "certificate verify failed" in words


async def test_a_call_over_tls_is_answered_and_its_connection_kept(tmp_path: Path) -> None:
    own = self_signed(tmp_path / "own")
    async with FaultServer() as server:
        listening, place = await encrypted(own, server)
        pool = Pool(trust=lambda: ssl.create_default_context(cafile=own.certificate))
        try:
            for _ in range(2):
                asked = HttpRequest(f"https://{HOST}:{place.port}/api/tags", {}, b"{}")
                assert (await pool.fetch("POST", asked, 5.0, 5.0)).status == 200
            assert (server.calls, len(server.connections)) == (2, 1)
        finally:
            await pool.close()
            listening.close()
