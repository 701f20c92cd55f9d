"""The cascade behind the dialect that every client speaks: `/v1/chat/completions` and `/v1/models`.

Rules: fields that this dialect knows and Agora does not are passed over, unless the answer would be another one without
them: those are refused. Errors have the dialect's shape. A client that hangs up ends its call: the provider's socket is
closed. A stream begins once there is something to say, so that whatever goes wrong before is a plain HTTP error; what
goes wrong after it is said in the stream, which then ends without its closing mark.

Source: https://platform.openai.com/docs/api-reference/chat. `privacy` and `deadline_s` are Agora's own.
"""

from collections.abc import AsyncIterator
from functools import partial

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bus.errors import AgoraError
from bus.messages.base import AgentId, CompletionId
from bus.messages.completions import (
    ROUTER,
    CancelCompletion,
    ChatMessage,
    Complete,
    Completion,
    Privacy,
    ReadRouter,
    ReadStream,
    Role,
    StreamCompletion,
    StreamPart,
)
from bus.refusals import InvalidField, Overloaded
from web.edge import Edge, json, read_body
from web.problems import code_of, detail_of, problem_response, status_of
from web.wire import encode

CASCADE_MODEL = "agora"
"""The model that means: whoever the cascade chooses."""
TOKENS_MAX_DEFAULT = 1_024
DEADLINE_DEFAULT_S = 120.0
DEADLINE_MAX_S = 600.0
PART_WAIT_S = 5.0
"""How long one question for more waits; shorter than the router's patience with a silent reader."""
MARGIN_S = 10.0
"""Past the completion's own deadline the router must have answered."""

_TYPES = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}


class _Part(msgspec.Struct, frozen=True):
    type: str
    text: str = ""


class _Message(msgspec.Struct, frozen=True):
    role: Role | str
    content: str | tuple[_Part, ...] | None = None


class _JsonSchema(msgspec.Struct, frozen=True):
    schema: msgspec.Raw


class _Format(msgspec.Struct, frozen=True):
    type: str
    json_schema: _JsonSchema | None = None


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool = False


class ChatBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/chat/completions`."""

    messages: tuple[_Message, ...]
    model: str = CASCADE_MODEL
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    stop: str | tuple[str, ...] | None = None
    n: int = 1
    tools: tuple[msgspec.Raw, ...] = ()
    response_format: _Format | None = None
    privacy: Privacy = "any"
    deadline_s: float = DEADLINE_DEFAULT_S


class CompletionsApi:
    """The endpoints."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
            Route("/v1/models", self.list_models, methods=["GET"]),
        ]

    async def complete(self, request: Request) -> Response:
        try:
            principal = self._edge.authorise(request, "task")
            body = await read_body(request, ChatBody)
            asked = command_of(body, AgentId(principal.name))
            begun = (await self._edge.ask(ROUTER, StreamCompletion(asked))).message
            call = _Call(self._edge, begun.completion, asked.deadline_s + MARGIN_S)
            if not body.stream:
                return await self._whole(request, call)
            first = await _unless_gone(request, call)
            wants_usage = body.stream_options is not None and body.stream_options.include_usage
            events = self._events(call, first, wants_usage=wants_usage)
            return StreamingResponse(events, headers={"cache-control": "no-store"}, media_type="text/event-stream")
        except AgoraError as error:
            return error_response(error)

    async def list_models(self, request: Request) -> Response:
        try:
            self._edge.authorise(request, "read")
            providers = (await self._edge.ask(ROUTER, ReadRouter())).message.providers
        except AgoraError as error:
            return error_response(error)
        owners = {CASCADE_MODEL: "agora"} | {one.model: one.name for one in providers if one.is_enabled and one.model}
        data = [{"id": model, "object": "model", "created": 0, "owned_by": owner} for model, owner in owners.items()]
        return json({"object": "list", "data": data})

    async def _whole(self, request: Request, call: "_Call") -> Response:
        part = await _unless_gone(request, call, is_whole=True)
        assert part.outcome is not None, "it was read to its end"
        return json(self._document(part.outcome))

    async def _events(self, call: "_Call", first: StreamPart, *, wants_usage: bool) -> AsyncIterator[bytes]:
        """The stream; a client that hangs up throws its cancellation in here."""
        chunk = partial(self._chunk, call.completion)
        try:
            yield chunk({"role": "assistant", "content": ""})
            part = first
            while True:
                if part.text:
                    yield chunk({"content": part.text})
                if part.outcome is not None:
                    break
                part = await call.more()
            outcome = part.outcome
            yield chunk({}, outcome.finish_reason, outcome.model)
            if wants_usage:
                yield chunk(None, usage=_usage(outcome), model=outcome.model)
            yield b"data: [DONE]\n\n"
        except AgoraError as error:
            yield b"data: " + encode(_error(error)) + b"\n\n"
        finally:
            call.end()

    def _document(self, completion: Completion) -> dict[str, object]:
        message = {"role": "assistant", "content": completion.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": completion.finish_reason}
        return {
            "id": f"chatcmpl-{completion.completion}",
            "object": "chat.completion",
            "created": self._edge.clock.now_us() // 1_000_000,
            "model": completion.model,
            "choices": [choice],
            "usage": _usage(completion),
            "provider": completion.provider,
        }

    def _chunk(
        self,
        completion: CompletionId,
        delta: dict[str, str] | None,
        finish_reason: str | None = None,
        model: str = CASCADE_MODEL,
        usage: dict[str, int] | None = None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        document: dict[str, object] = {
            "id": f"chatcmpl-{completion}",
            "object": "chat.completion.chunk",
            "created": self._edge.clock.now_us() // 1_000_000,
            "model": model,
            "choices": [] if delta is None else [choice],
        }
        if usage is not None:
            document["usage"] = usage
        return b"data: " + encode(document) + b"\n\n"


class _Call:
    """A completion that is read here. Whoever leaves it before its end cancels it."""

    def __init__(self, edge: Edge, completion: CompletionId, patience_s: float) -> None:
        self._edge = edge
        self._ends_s = edge.clock.monotonic_s() + patience_s
        self._seen = 0
        self._is_over = False
        self.completion = completion

    async def more(self) -> StreamPart:
        """What has come since. Raises AgoraError."""
        left_s = max(self._ends_s - self._edge.clock.monotonic_s(), PART_WAIT_S)
        query = ReadStream(self.completion, self._seen, wait_s=PART_WAIT_S)
        try:
            part = (await self._edge.ask(ROUTER, query, timeout_s=left_s)).message
        except AgoraError:
            self._is_over = True
            raise
        self._seen += len(part.text)
        self._is_over = part.outcome is not None
        return part

    def end(self) -> None:
        """Nobody reads on."""
        if not self._is_over:
            self._is_over = True
            self._edge.gateway.tell(ROUTER, CancelCompletion(self.completion))


def command_of(body: ChatBody, agent: AgentId) -> Complete:
    """The request in Agora's terms. Raises InvalidField for what would change the answer and is not understood."""
    if body.n != 1:
        raise InvalidField("n", "must be 1: the cascade gives one answer")
    if body.tools:
        raise InvalidField("tools", "are not understood here")
    if not 0.0 < body.deadline_s <= DEADLINE_MAX_S:
        raise InvalidField("deadline_s", f"must be above 0 and at most {DEADLINE_MAX_S:g}")
    tokens_max = body.max_completion_tokens if body.max_tokens is None else body.max_tokens
    return Complete(
        messages=tuple(_message(number, message) for number, message in enumerate(body.messages)),
        tokens_max=TOKENS_MAX_DEFAULT if tokens_max is None else tokens_max,
        deadline_s=body.deadline_s,
        agent=agent,
        model="" if body.model == CASCADE_MODEL else body.model,
        privacy=body.privacy,
        schema=_schema(body.response_format),
        temperature=body.temperature,
        stop=(body.stop,) if isinstance(body.stop, str) else body.stop or (),
    )


def error_response(error: AgoraError) -> Response:
    """An error in the dialect's shape, with the headers that it has everywhere."""
    usual = problem_response(error)
    headers = {name: usual.headers[name] for name in ("retry-after", "www-authenticate") if name in usual.headers}
    return json(_error(error), status_of(error), headers)


async def _unless_gone(request: Request, call: _Call, *, is_whole: bool = False) -> StreamPart:
    """The first part with words, or the last part; the call ends when the client hangs up meanwhile."""
    part = StreamPart("", 0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, request, tasks.cancel_scope)
            part = await call.more()
            while part.outcome is None and (is_whole or not part.text):
                part = await call.more()
            tasks.cancel_scope.cancel()
    except* AgoraError as errors:
        raise _first(errors) from None
    finally:
        if is_whole or not (part.text or part.outcome):
            call.end()
    if part.outcome is None and not part.text:
        raise Overloaded("a client that has hung up", 1.0)
    return part


async def _watch(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _first(errors: BaseExceptionGroup[AgoraError]) -> AgoraError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _message(number: int, message: _Message) -> ChatMessage:
    path = f"messages.{number}"
    role: Role
    match message.role:
        case "system" | "developer":
            role = "system"
        case "user":
            role = "user"
        case "assistant":
            role = "assistant"
        case _:
            raise InvalidField(f"{path}.role", f"is not understood here: {message.role!r}")
    if isinstance(message.content, str):
        return ChatMessage(role, message.content)
    parts = message.content or ()
    if other := next((part.type for part in parts if part.type != "text"), ""):
        raise InvalidField(f"{path}.content", f"holds a part that is not understood here: {other!r}")
    return ChatMessage(role, "".join(part.text for part in parts))


def _schema(format_: _Format | None) -> str:
    match format_:
        case None | _Format(type="text"):
            return ""
        case _Format(type="json_object"):
            return '{"type":"object"}'
        case _Format(type="json_schema", json_schema=_JsonSchema(schema=schema)):
            return bytes(schema).decode()
        case _:
            raise InvalidField("response_format", "is not understood here")


def _usage(completion: Completion) -> dict[str, int]:
    return {
        "prompt_tokens": completion.tokens_in,
        "completion_tokens": completion.tokens_out,
        "total_tokens": completion.tokens_in + completion.tokens_out,
    }


def _error(error: AgoraError) -> dict[str, dict[str, str | None]]:
    status = status_of(error)
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    path = error.path if isinstance(error, InvalidField) else None
    return {"error": {"message": detail_of(error), "type": kind, "code": code_of(error), "param": path}}
