"""A streamed answer: lines out of bytes, words out of lines, and at the end the whole answer or a typed fault.

Rules: what is said aloud comes out as it arrives; a block of thinking before it is held back, and so is white space at
either end, so that the pieces put together are the answer. A stream without a finish reason is broken, however it
ends; once a reason was given, whatever happens to the connection no longer matters. A reason is never invented. Where a
dialect has a mark for its end the answer ends there: what a server sends after it, or that it sends nothing and leaves
the connection open, is all one.

Pure: each dialect only reads one line into a draft.
"""

from collections.abc import Callable

import msgspec

from actors.providers.dialect import (
    HttpReply,
    HttpRequest,
    ModelReply,
    Prompt,
    ProviderFault,
    answer,
    refuse_garbage,
)
from actors.providers.options import ProviderOptions
from actors.rules.cascade import ErrorClass
from bus.messages.completions import FinishReason, ToolCall

LINE_BYTES_MAX = 1024 * 1024
"""One event of a stream; honest ones have some hundred bytes."""
CALLS_MAX = 128
"""Tool calls of one answer; honest ones have a few."""
CLOSING_MARK = b"[DONE]"
_OPENINGS = ("<think>", "<thinking>")
_CLOSINGS = ("</think>", "</thinking>")


class DraftCall:
    """A tool call as far as it has come."""

    __slots__ = ("arguments", "id", "key", "name")

    def __init__(self, key: int) -> None:
        self.key = key
        """Which one the dialect says that it is."""
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class Draft:
    """An answer as far as it has come."""

    __slots__ = (
        "answer_block",
        "calls",
        "finish_reason",
        "is_over",
        "model",
        "prompt",
        "said",
        "text",
        "tokens_in",
        "tokens_out",
    )

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.text = ""
        """What the line at hand adds."""
        self.said: list[str] = []
        """What was said aloud so far."""
        self.calls: list[DraftCall] = []
        self.answer_block: int | None = None
        """Where a dialect asks for a schema by a tool: the call whose arguments are the answer."""
        self.model = ""
        self.tokens_in: int | None = None
        self.tokens_out: int | None = None
        self.finish_reason: FinishReason | None = None
        self.is_over = False
        """Whether the dialect's own mark for the end has come, with a finish reason before it or not."""

    def call(self, key: int | None, id_: str) -> DraftCall:
        """The tool call that a line is about. One with another id is another call, whatever its number says.

        Raises:
            ProviderFault: there are too many.
        """
        last = self.calls[-1] if self.calls else None
        found = last if key is None else next((one for one in reversed(self.calls) if one.key == key), None)
        if found is None or (id_ and found.id not in ("", id_)):
            if len(self.calls) == CALLS_MAX:
                refuse_garbage(f"the reply calls more than {CALLS_MAX} tools")
            found = DraftCall(len(self.calls) if key is None else key)
            self.calls.append(found)
        found.id = found.id or id_
        return found

    def add_call(self, call: ToolCall) -> None:
        """A tool call that comes in one piece."""
        drafted = DraftCall(len(self.calls))
        drafted.id, drafted.name, drafted.arguments = call.id, call.name, [call.arguments]
        self.calls.append(drafted)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls; no arguments at all are an empty object."""
        return tuple(ToolCall(one.id, one.name, "".join(one.arguments).strip() or "{}") for one in self.calls)


Follow = Callable[[Draft, bytes], None]
"""Reads one line of a dialect's stream into the draft. Raises ProviderFault."""


class Dialect(msgspec.Struct, frozen=True):
    """A way of asking over HTTP."""

    encode: Callable[[ProviderOptions, str, Prompt], HttpRequest]
    """Options, key (or empty) and prompt."""
    decode: Callable[[Prompt, HttpReply], ModelReply]
    """Raises `ProviderFault`."""
    follow: Follow


class StreamReader:
    """Reads a stream of one dialect."""

    def __init__(self, prompt: Prompt, follow: Follow) -> None:
        self.draft = Draft(prompt)
        self._follow = follow
        self._rest = bytearray()
        self._speech = Speech()

    @property
    def is_finished(self) -> bool:
        """Whether the provider has said why the answer ended."""
        return self.draft.finish_reason is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing that may still come belongs to the answer."""
        return self.draft.is_over

    def feed(self, data: bytes) -> str:
        """What the bytes add to the answer. Raises ProviderFault."""
        rest = self._rest
        rest += data
        lines: list[bytes] = []
        if b"\n" in data:  # a long line that comes in many pieces is looked at once
            *lines, last = bytes(rest).split(b"\n")
            rest[:] = last
        if len(rest) > LINE_BYTES_MAX:
            refuse_garbage(f"a line of the stream is longer than {LINE_BYTES_MAX} bytes")
        return self._read(lines)

    def end(self) -> tuple[str, ModelReply]:
        """The last words, and the whole answer. Raises ProviderFault."""
        words = self._read([bytes(self._rest)])
        self._rest.clear()
        draft = self.draft
        if last := self._speech.end():
            draft.said.append(last)
            words += last
        if draft.finish_reason is None:
            raise ProviderFault(ErrorClass.TRUNCATED, "the stream ended without a finish reason")
        text = "".join(draft.said)
        sizes = (draft.tokens_in, draft.tokens_out)
        return words, answer(draft.prompt, text, draft.model, *sizes, draft.finish_reason, draft.tool_calls)

    def _read(self, lines: list[bytes]) -> str:
        draft = self.draft
        new = ""
        for line in lines:
            if draft.is_over:
                break
            stripped = line.strip()
            if stripped:
                draft.text = ""
                self._follow(draft, stripped)
                new += self._speech.feed(draft.text)
        if new:
            draft.said.append(new)
        return new


class Speech:
    """What a model says aloud, out of all that it writes."""

    __slots__ = ("_held", "_is_aloud", "_is_thinking")

    def __init__(self) -> None:
        self._held = ""
        self._is_thinking = False
        self._is_aloud = False

    def feed(self, text: str) -> str:
        """The part that may be said now."""
        if not text:
            return ""
        self._held += text
        if not self._is_aloud and not self._begin():
            return ""
        said = self._held.rstrip()
        self._held = self._held[len(said) :]
        return said

    def end(self) -> str:
        """What was held back and turns out to be no thinking."""
        return "" if self._is_aloud or self._is_thinking else self._held.rstrip()

    def _begin(self) -> bool:
        """Whether it is certain that what is held is no thinking."""
        while True:
            self._held = self._held.lstrip()
            if self._is_thinking:
                ends = [(self._held.find(mark), mark) for mark in _CLOSINGS if mark in self._held]
                if not ends:
                    self._held = self._held[-len(_CLOSINGS[1]) :]
                    return False
                at, mark = min(ends)
                self._held = self._held[at + len(mark) :]
                self._is_thinking = False
            elif opened := next((mark for mark in _OPENINGS if self._held.startswith(mark)), ""):
                self._held = self._held[len(opened) :]
                self._is_thinking = True
            else:
                self._is_aloud = bool(self._held) and not any(mark.startswith(self._held) for mark in _OPENINGS)
                return self._is_aloud


def data_of(line: bytes) -> bytes:
    """What a line of a server-sent event stream says; empty for comments, names and the closing mark."""
    if not line.startswith(b"data:"):
        return b""
    data = line[5:].strip()
    return b"" if data == CLOSING_MARK else data


def is_closing(line: bytes) -> bool:
    """Whether a line of a server-sent event stream is the closing mark."""
    return line.startswith(b"data:") and line[5:].strip() == CLOSING_MARK
