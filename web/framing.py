"""WebSocket frames that are made once and sent to many (RFC 6455, RFC 7692).

Rules: a frame is one whole, unmasked text message. Its compressed form is made when the first client wants it, from an
empty window, which is what `server_no_context_takeover` promises: the same bytes suit every client. What is short is
not compressed, since that would make it longer or cost more than it saves.

Pure: no socket, no loop.
"""

import zlib

TEXT = 0x81
"""FIN and the opcode of text."""
COMPRESSED = 0x40
"""RSV1, the mark of a message that permessage-deflate has made."""
WINDOW_BITS = 15
LEVEL = 1
"""The fastest: a batch of events repeats itself so much that higher levels gain little."""
COMPRESS_FROM_BYTES = 512
TAIL = b"\x00\x00\xff\xff"
"""What a flush ends with and the receiver adds again (RFC 7692, 7.2.1)."""


class ReadyFrame:
    """A text message, ready to be written to any number of sockets."""

    __slots__ = ("_deflated", "_plain", "_text", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._plain: bytes | None = None
        self._deflated: bytes | None = None
        self._text: str | None = None

    def __len__(self) -> int:
        """Bytes of the payload."""
        return len(self.payload)

    @property
    def text(self) -> str:
        """The message, for servers that make their own frames."""
        if self._text is None:
            self._text = self.payload.decode()
        return self._text

    @property
    def plain(self) -> bytes:
        """The frame as it is."""
        if self._plain is None:
            self._plain = _head(TEXT, len(self.payload)) + self.payload
        return self._plain

    @property
    def deflated(self) -> bytes:
        """The frame in its compressed form, or as it is when that is no shorter."""
        if self._deflated is None:
            self._deflated = self._compress()
        return self._deflated

    def _compress(self) -> bytes:
        if len(self.payload) < COMPRESS_FROM_BYTES:
            return self.plain
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS)
        body = compressor.compress(self.payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert body.endswith(TAIL), "a flush ends with an empty block"
        body = body[: -len(TAIL)]
        if len(body) >= len(self.payload):
            return self.plain
        return _head(TEXT | COMPRESSED, len(body)) + body


def _head(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2)
    return bytes((first, 127)) + length.to_bytes(8)
