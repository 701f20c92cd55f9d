"""One connection to a provider: one HTTP exchange at a time, as the loop calls it and `llhttp` reads it.

Rules: a reply has an end that its head has announced, or that the end of its connection is; whatever stops before is a
fault of one class, and the connection is closed. Of a stream only so much is read ahead; a whole reply has a size cap,
as it is sent and as it is unpacked. What is no body, such as headers, may go on for so long only. A word on the way,
such as early hints, is passed over. A connection is used again only when its whole request has gone out.
Whoever waits is woken once for what has come together; who wants the whole reply, once for all of it.
"""

import asyncio
import math
import select
import zlib
from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from actors.providers.dialect import ProviderFault, shorten
from actors.rules.cascade import ErrorClass

REPLY_BYTES_MAX = 8 * 1024 * 1024
"""Some two million tokens: no honest completion is longer."""
SENT_BYTES_MAX = 2 * REPLY_BYTES_MAX
"""Of a reply as it is sent: half of it may be the sizes of its chunks, or what is packed and unpacks to nothing."""
READ_AHEAD_BYTES_MAX = 256 * 1024
"""Of a stream: with more than this unread the socket waits."""
OVERHEAD_BYTES_MAX = 16 * 1024
"""So much may come in a row that is no body, as much as Node lets a head have; honest ones have some hundred bytes."""
_FRAMINGS = ("", "chunked", "identity")
_PACKED = ("gzip", "deflate")
"""Nobody asks for them; some gateways pack all the same."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Connection(asyncio.Protocol):
    """A connection. The loop's `create_connection` makes it; as long as it is open, it is one of `all_open`."""

    __slots__ = (
        "_all_open",
        "_body",
        "_error",
        "_has_head",
        "_head_size",
        "_is_asked",
        "_is_complete",
        "_is_interim",
        "_is_patient",
        "_is_reusable",
        "_loop",
        "_overhead",
        "_parser",
        "_sent",
        "_size",
        "_transport",
        "_unpacker",
        "_waiter",
        "_watch",
        "headers",
        "limit_s",
        "lost",
        "on_end",
        "since_s",
        "status",
        "until_s",
    )

    def __init__(self, all_open: "set[Connection]") -> None:
        self._all_open = all_open
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watch: select.poll | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done once the connection is no more."""
        self.since_s = 0.0
        """Since when it waits for its next exchange; its owner's."""
        self.limit_s, self.until_s = 0.0, math.inf
        """How long its exchange may take in all, and until when that is; its owner's."""
        self.status = 0
        self.headers: dict[str, str] = {}
        """The names in lower case; of a name that comes twice, the first value."""
        self.on_end: Callable[[], None] | None = None
        """Called once the reply has come to its end, or the connection to its own."""
        self._is_asked = False
        self._is_interim = False
        """Whether what comes now is a word on the way."""
        self._has_head = False
        self._is_complete = False
        self._is_reusable = True
        self._is_patient = False
        """Whether who waits wants the whole reply."""
        self._error: ProviderFault | None = None
        self._unpacker: zlib._Decompress | None = None
        self._body = bytearray()
        """What has come of it and was not taken yet."""
        self._size = 0
        self._sent = 0
        self._overhead = 0
        self._head_size = 0

    def ask(self, request: bytes) -> None:
        """Send a whole request; the exchange before it is over. Raises ProviderFault."""
        if self._transport is None or self._transport.is_closing():
            raise ProviderFault(ErrorClass.TRUNCATED, "the connection was closed without a reply")
        self.headers = {}
        self.on_end = None
        self._unpacker = None
        self._body.clear()  # of a stream that was left before it was read to its end
        self._size = self._sent = self._overhead = self._head_size = 0
        self._has_head = self._is_complete = self._is_patient = False
        self._is_asked = True
        self._transport.write(request)

    async def head(self) -> None:
        """Wait for the status and the headers. Raises ProviderFault."""
        while not self._has_head:
            await self._change()

    async def next(self) -> bytes:
        """What has come of the body since, waiting for some; empty at the end. Raises ProviderFault."""
        while not self._body:
            if self._is_complete:
                return b""
            await self._change()
        if self._transport is not None and not self._transport.is_reading():
            self._transport.resume_reading()
        return self._taken()

    async def whole(self) -> bytes:
        """Wait for the whole reply: its body. Raises ProviderFault."""
        self._is_patient = True
        while not self._is_complete:
            await self._change()
        return self._taken()

    @property
    def is_complete(self) -> bool:
        """Whether the reply has come to its end."""
        return self._is_complete

    @property
    def can_be_kept(self) -> bool:
        """Whether another exchange may follow on it."""
        transport = self._transport
        if transport is None or not self._is_reusable or not self._is_complete:
            return False
        return transport.get_write_buffer_size() == 0  # the reply may have come before all of the request was sent

    def is_spent(self) -> bool:
        """Whether something has come, if only its end, before anything was asked: what is sent there may be lost."""
        transport = self._transport
        if transport is None or not self._is_reusable or transport.is_closing():
            return True
        if self._watch is None:
            self._watch = select.poll()
            self._watch.register(transport.get_extra_info("socket"), select.POLLIN)
        return bool(self._watch.poll(0))

    def expire(self) -> None:
        """The exchange has taken too long: whoever waits hears of it."""
        self._fail(ErrorClass.TIMEOUT, f"no whole reply within {self.limit_s:.3g} s")
        self._tell()

    def drop(self) -> None:
        """Close it now, whatever may still come."""
        self._is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a stream of bytes, both ways"
        self._transport = transport
        self._all_open.add(self)

    def data_received(self, data: bytes) -> None:
        if not self._is_asked or self._is_complete:
            self.drop()  # nobody asked
            return
        self._overhead += len(data)
        self._sent += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._is_reusable = False
        except HttpParserError as error:
            self._fail(ErrorClass.GARBAGE, shorten(f"the reply is not HTTP: {error}"))
        if self._overhead > OVERHEAD_BYTES_MAX and not self._is_complete:
            self._fail_of_overhead()
        if self._sent > SENT_BYTES_MAX and not self._is_complete:
            self._fail_too_large()
        self._tell()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if not self._is_complete and self._error is None:
            if error is None and self._has_head and self._ends_with_connection():
                self._finish()
            elif self._has_head:
                self._fail(ErrorClass.TRUNCATED, "the connection was closed in the middle of the reply")
            elif isinstance(error, OSError) and error.strerror:
                self._fail(ErrorClass.TRUNCATED, shorten(f"the connection broke: {error.strerror}"))
            else:
                self._fail(ErrorClass.TRUNCATED, "the connection was closed without a reply")
        self._is_reusable = False
        self._all_open.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)
        self._tell()

    def on_message_begin(self) -> None:
        if self._is_complete:  # a second reply to one request
            self._is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > OVERHEAD_BYTES_MAX:
            self._fail_of_overhead()
        elif not self._has_head:
            called = name.decode("latin-1").lower()
            if called == "transfer-encoding" and called in self.headers:
                self._fail(ErrorClass.GARBAGE, "the reply says twice where it ends")
            self.headers.setdefault(called, value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if self._is_complete:
            return
        status = self._parser.get_status_code()
        if status < 100:
            self._fail(ErrorClass.GARBAGE, f"the reply has the status {status}, which is none")
        elif status < 200 and status != 101:
            self._is_interim = True
            self.headers = {}
            return
        self.status = status
        self._has_head = True
        if int(self.headers.get("content-length", "0")) > REPLY_BYTES_MAX:
            self._fail_too_large()
        if (framing := self._framing()) not in _FRAMINGS:
            self._fail(ErrorClass.GARBAGE, shorten(f"the reply is transferred as {framing}, which is not known here"))
        packed = self.headers.get("content-encoding", "").strip().lower()
        if packed in _PACKED:
            self._unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
        elif packed not in {"", "identity"}:
            self._fail(ErrorClass.GARBAGE, shorten(f"the reply is packed as {packed}, for which nobody asked"))

    def on_body(self, data: bytes) -> None:
        self._overhead = 0
        if self._error is not None or self._is_complete:
            return
        if self._unpacker is not None:
            data = self._unpacked(self._unpacker, data)
        self._size += len(data)
        if self._size > REPLY_BYTES_MAX:
            self._fail_too_large()
        else:
            self._body += data

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
        elif not self._is_complete and self._finish():
            self._is_reusable = self.status != 101 and self._parser.should_keep_alive()

    def _unpacked(self, unpacker: "zlib._Decompress", data: bytes) -> bytes:
        """What has been packed so; nothing if that makes no sense."""
        try:
            unpacked = unpacker.decompress(data, REPLY_BYTES_MAX + 1 - self._size)
        except zlib.error as error:
            self._fail(ErrorClass.GARBAGE, shorten(f"the reply cannot be unpacked: {error}"))
            return b""
        if unpacker.unused_data:
            self._fail(ErrorClass.GARBAGE, "the reply goes on after the end of what was packed")
        return unpacked

    def _finish(self) -> bool:
        """The end of the reply has come. Whether it is whole: what was packed in it may not be."""
        if self._unpacker is not None and self._size and not self._unpacker.eof:
            self._fail(ErrorClass.TRUNCATED, "the reply ended in the middle of what was packed")
        self._is_complete = self._error is None
        return self._is_complete

    def _taken(self) -> bytes:
        body = bytes(self._body)
        self._body.clear()
        return body

    async def _change(self) -> None:
        """Wait until something has happened. Raises ProviderFault."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _tell(self) -> None:
        is_over = self._is_complete or self._error is not None
        if self._waiter is not None and not self._waiter.done() and (is_over or not self._is_patient):
            self._waiter.set_result(None)
        if is_over:
            if self.on_end is not None:
                on_end, self.on_end = self.on_end, None
                on_end()
        elif not self._is_patient and self._transport is not None and len(self._body) > READ_AHEAD_BYTES_MAX:
            self._transport.pause_reading()

    def _ends_with_connection(self) -> bool:
        return "content-length" not in self.headers and self._framing() != "chunked"

    def _framing(self) -> str:
        return self.headers.get("transfer-encoding", "").strip().lower()

    def _fail_of_overhead(self) -> None:
        self._fail(ErrorClass.GARBAGE, f"the reply has more than {OVERHEAD_BYTES_MAX} bytes that are no body")

    def _fail_too_large(self) -> None:
        self._fail(ErrorClass.TOO_LARGE, f"the reply is longer than {REPLY_BYTES_MAX} bytes")

    def _fail(self, error: ErrorClass, reason: str) -> None:
        if self._error is None:
            self._error = ProviderFault(error, reason)
        self.drop()
