"""What every dialect gives and takes: a prompt into an HTTP request, an HTTP reply into an answer or a typed fault.

Rules: a status other than 200 becomes a fault by one table here. An answer has text and a reason why it ended; neither
is ever invented. Thinking aloud is not part of an answer. A model that does not say what it used is estimated, and the
answer says so. A fault's words are short and never hold a key.

Pure: no network, no clock.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn, TypeVar

import msgspec

from actors.rules.cascade import ErrorClass
from actors.rules.spending import estimate_prompt, estimate_tokens
from bus.errors import AgoraError
from bus.messages.completions import ChatMessage, FinishReason, Image, Tool, ToolCall

REASON_CHARACTERS_MAX = 240
"""Of a provider's own words so many are kept."""
CUT = "…"
"""Stands where words were cut."""
RETRY_AFTER_DEFAULT_S = 5.0
"""When a throttling provider does not say when to come back."""
RETRY_AFTER_MAX_S = 3_600.0
"""A longer Retry-After is taken for an hour."""

TOKENS_MAX = 100_000_000
"""Who claims to have read or written more is not believed: no model holds so much."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for what is no JSON, or not what it should say, or a hundred thousand lists in each other."""

_BY_STATUS: Mapping[int, ErrorClass] = MappingProxyType(
    {
        400: ErrorClass.REJECTED,
        401: ErrorClass.UNAUTHORISED,
        402: ErrorClass.UNAUTHORISED,
        403: ErrorClass.UNAUTHORISED,
        404: ErrorClass.UNKNOWN_MODEL,
        408: ErrorClass.TIMEOUT,
        410: ErrorClass.UNKNOWN_MODEL,
        413: ErrorClass.OVERFLOW,
        422: ErrorClass.REJECTED,
        425: ErrorClass.SERVER,
        429: ErrorClass.THROTTLED,
    }
)
_OVERFLOWS = re.compile(
    r"context_length_exceeded|exceed_context_size|maximum context length|context window|prompt is too long"
    r"|exceeds? the (?:available )?context",
    re.IGNORECASE,
)
_THINKING = re.compile(r"\A\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_THINKING_WITHOUT_BEGIN = re.compile(r"\A(?:(?!<think(?:ing)?>).)*</think(?:ing)?>", re.DOTALL)


class Prompt(msgspec.Struct, frozen=True):
    """What a model is asked."""

    messages: tuple[ChatMessage, ...]
    tokens_max: int
    model: str
    is_streamed: bool = False
    schema: str = ""
    """A JSON schema that the answer must keep; empty for none."""
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    has_parallel_calls: bool = True


class HttpRequest(msgspec.Struct, frozen=True):
    """A POST to a provider."""

    url: str
    headers: dict[str, str]
    body: bytes


class HttpReply(msgspec.Struct, frozen=True):
    """What came back. Headers are asked for in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ModelReply(msgspec.Struct, frozen=True):
    """An answer, normalised."""

    text: str
    model: str
    tokens_in: int
    tokens_out: int
    finish_reason: FinishReason
    is_usage_estimated: bool = False
    tool_calls: tuple[ToolCall, ...] = ()
    vectors: tuple[bytes, ...] = ()
    """Of texts that were embedded."""


class ProviderFault(AgoraError):
    """A provider gave no answer."""

    code = "provider_fault"

    def __init__(self, error: ErrorClass, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{error}: {reason}")
        self.error = error
        self.reason = reason
        self.retry_after_s = retry_after_s


class _ErrorDetail(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail | str | None = None
    message: str = ""


T = TypeVar("T", bound=msgspec.Struct)
_error_decoder = msgspec.json.Decoder(_ErrorBody)


def parse(decoder: msgspec.json.Decoder[T], reply: HttpReply) -> T:
    """The body of a reply with status 200, typed.

    Raises:
        ProviderFault: another status, or a body that is not what the dialect says.
    """
    if reply.status != 200:
        raise fault_of(reply)
    try:
        return decoder.decode(reply.body)
    except UNREADABLE as error:
        kind = reply.headers.get("content-type", "no content type")
        raise ProviderFault(ErrorClass.GARBAGE, shorten(f"the reply ({kind}) makes no sense: {error}")) from error


def parse_line(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    """One event of a stream, typed. Raises ProviderFault."""
    try:
        return decoder.decode(line)
    except UNREADABLE as error:
        raise ProviderFault(ErrorClass.GARBAGE, shorten(f"a line of the stream makes no sense: {error}")) from error


def fault_of(reply: HttpReply, status: int = 0) -> ProviderFault:
    """The fault that a status means; `status` is for a gateway that wraps a failure into a success."""
    status = status or reply.status
    words = _words_of(reply)
    error = _BY_STATUS.get(status) or _class_of(status)
    if error is ErrorClass.REJECTED and _OVERFLOWS.search(words):
        error = ErrorClass.OVERFLOW
    if error is ErrorClass.UNAUTHORISED:
        reason = "the account has no money left" if status == 402 else "the key was not accepted"
        return ProviderFault(error, f"status {status}: {reason}")
    retry_after_s = _retry_after_s(reply.headers) if error is ErrorClass.THROTTLED else 0.0
    return ProviderFault(error, shorten(f"status {status}: {words}" if words else f"status {status}"), retry_after_s)


def answer(  # noqa: PLR0917  # the parts of an answer, in the order of its fields
    prompt: Prompt,
    text: str,
    model: str,
    tokens_in: int | None,
    tokens_out: int | None,
    finish_reason: FinishReason,
    calls: Sequence[ToolCall] = (),
) -> ModelReply:
    """A normalised answer. A call without an id gets one that no other turn of the conversation has.

    Raises:
        ProviderFault: it calls no tool, and nothing is left once the thinking is taken out.
    """
    spoken = without_thinking(text)
    tokens_in, tokens_out = believed(tokens_in), believed(tokens_out)
    if not spoken and not calls:
        raise ProviderFault(ErrorClass.EMPTY, f"the reply has no text (it ended by {finish_reason})")
    if finish_reason != "length":  # dialects differ in what they say of a call; some say nothing
        finish_reason = "tool_calls" if calls else "stop"
    return ModelReply(
        text=spoken,
        model=shorten(model) or prompt.model,
        tokens_in=estimate_prompt(prompt.messages) if tokens_in is None else tokens_in,
        tokens_out=_estimate_answer(text, calls) if tokens_out is None else tokens_out,
        finish_reason=finish_reason,
        is_usage_estimated=tokens_in is None or tokens_out is None,
        tool_calls=_named(prompt, calls) if calls else (),
    )


def believed(tokens: int | None) -> int | None:
    """How many tokens a provider says that it has read or written; None if it does not say, or what cannot be."""
    return tokens if tokens is not None and 0 <= tokens <= TOKENS_MAX else None


def _named(prompt: Prompt, calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    return tuple(
        call if call.id else msgspec.structs.replace(call, id=f"call_{len(prompt.messages)}_{number}")
        for number, call in enumerate(calls)
    )


def pieces(message: ChatMessage) -> Iterator[str | Image]:
    """What a message says and shows, in its order."""
    begun = 0
    for image in message.images:
        if image.at > begun:
            yield message.content[begun : image.at]
            begun = image.at
        yield image
    if message.content[begun:]:
        yield message.content[begun:]


def caller_of(messages: Sequence[ChatMessage], tool_call: str) -> str:
    """The name of the tool that was called by this id; dialects without ids go by it."""
    return next((call.name for one in reversed(messages) for call in one.tool_calls if call.id == tool_call), "")


def finish(reasons: Mapping[str, FinishReason], filtered: Sequence[str], given: str | None) -> FinishReason:
    """Why the answer ended, in our words.

    Raises:
        ProviderFault: it did not say, so it is not whole; or it was held back; or nobody knows the reason.
    """
    if not given:
        raise ProviderFault(ErrorClass.TRUNCATED, "the reply does not say that it is whole")
    if given in reasons:
        return reasons[given]
    if given in filtered:
        raise ProviderFault(ErrorClass.FILTERED, f"the provider held its answer back ({given})")
    raise ProviderFault(ErrorClass.GARBAGE, shorten(f"the reply ended for an unknown reason: {given}"))


def without_thinking(text: str) -> str:
    """The text without a block of thinking before it."""
    if "<think" in text or "</think" in text:
        text = _THINKING_WITHOUT_BEGIN.sub("", _THINKING.sub("", text))
    return text.strip()


def shorten(words: str) -> str:
    """One line of bounded length."""
    line = " ".join(words.split())
    return line if len(line) <= REASON_CHARACTERS_MAX else line[: REASON_CHARACTERS_MAX - 1] + CUT


def refuse_garbage(what: str) -> NoReturn:
    """Say that a reply lacks what it must have.

    Raises:
        ProviderFault: always.
    """
    raise ProviderFault(ErrorClass.GARBAGE, what)


def _estimate_answer(text: str, calls: Sequence[ToolCall]) -> int:
    return estimate_tokens(text) + sum(estimate_tokens(call.name + call.arguments) for call in calls)


def _class_of(status: int) -> ErrorClass:
    """The class of a status that has no row of its own. A redirect is not followed, so it is no answer."""
    match status // 100:
        case 5:
            return ErrorClass.SERVER
        case 4:
            return ErrorClass.REJECTED
        case _:
            return ErrorClass.GARBAGE


def _words_of(reply: HttpReply) -> str:
    """The provider's own words for what is wrong, as far as it has any."""
    try:
        body = _error_decoder.decode(reply.body)
    except UNREADABLE:
        return ""
    match body.error:
        case _ErrorDetail(message, kind, code):
            return " ".join(str(part) for part in (message, kind, code) if part)
        case str(words):
            return words
        case None:
            return body.message


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds as in RFC 9110; its date form, which no provider uses, counts as not said."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return RETRY_AFTER_DEFAULT_S
    return RETRY_AFTER_DEFAULT_S if math.isnan(seconds) else min(max(seconds, 0.0), RETRY_AFTER_MAX_S)
