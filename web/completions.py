"""The cascade behind the dialect that every client speaks: `/v1/chat/completions` and `/v1/models`.

Rules: errors have the dialect's shape. A stream begins once there is something to say, so that whatever goes wrong
before is a plain HTTP error; what goes wrong after it is said in the stream, which then ends without its closing mark.
A tool's call comes in one piece, once the answer is whole and its calls are checked.

Source: https://platform.openai.com/docs/api-reference/chat.
"""

from collections.abc import AsyncIterator, Mapping
from functools import partial

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bus.errors import AgoraError
from bus.messages.base import AgentId, CompletionId
from bus.messages.completions import ROUTER, Completion, ReadRouter, StreamPart
from bus.refusals import InvalidField
from web.answers import Answer
from web.chat import CASCADE_MODEL, ChatBody, as_written, command_of
from web.documents import ModelsDocument, OpenAiError
from web.edge import Edge, json, read_body
from web.operation import EVENT_STREAM, JSON, described
from web.problems import code_of, detail_of, problem_response, status_of
from web.wire import encode

_TYPES = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}


class CompletionsApi:
    """The endpoints."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
            Route("/v1/models", self.list_models, methods=["GET"]),
        ]

    @described(
        "the cascade in OpenAI's dialect, streamed or not; `privacy`, `deadline_s` and `hedge_after_s` are Agora's own",
        scope="task",
        body=ChatBody,
        media_types=(JSON, EVENT_STREAM),
        refusal=OpenAiError,
    )
    async def complete(self, request: Request) -> Response:
        try:
            principal = self._edge.authorise(request, "task")
            body = await read_body(request, ChatBody)
            asked = command_of(body, AgentId(principal.name))
            try:
                answer = await Answer.begin(self._edge, asked, is_streamed=body.stream)
            except InvalidField as error:
                raise as_written(error, body) from error
            if not body.stream:
                return json(self._document(await answer.whole(request)))
            first = await answer.first(request)
            wants_usage = body.stream_options is not None and body.stream_options.include_usage
            events = self._events(answer, first, wants_usage=wants_usage)
            return StreamingResponse(events, headers={"cache-control": "no-store"}, media_type="text/event-stream")
        except AgoraError as error:
            return error_response(error)

    @described(
        "`agora`, which is the whole cascade, and its providers' models",
        scope="read",
        answer=ModelsDocument,
        refusal=OpenAiError,
    )
    async def list_models(self, request: Request) -> Response:
        try:
            self._edge.authorise(request, "read")
            providers = (await self._edge.ask(ROUTER, ReadRouter())).message.providers
        except AgoraError as error:
            return error_response(error)
        owners = {CASCADE_MODEL: "agora"} | {one.model: one.name for one in providers if one.is_enabled and one.model}
        data = [{"id": model, "object": "model", "created": 0, "owned_by": owner} for model, owner in owners.items()]
        return json({"object": "list", "data": data})

    async def _events(self, answer: Answer, first: StreamPart, *, wants_usage: bool) -> AsyncIterator[bytes]:
        """The stream; a client that hangs up throws its cancellation in here."""
        chunk = partial(self._chunk, answer.completion)
        try:
            yield chunk({"role": "assistant", "content": ""})
            part = first
            while True:
                if part.text:
                    yield chunk({"content": part.text})
                if part.outcome is not None:
                    break
                part = await answer.more()
            outcome = part.outcome
            if outcome.tool_calls:
                yield chunk({"tool_calls": [{"index": at} | one for at, one in enumerate(_calls(outcome))]})
            yield chunk({}, outcome.finish_reason, outcome.model)
            if wants_usage:
                yield chunk(None, usage=_usage(outcome), model=outcome.model)
            yield b"data: [DONE]\n\n"
        except AgoraError as error:
            yield b"data: " + encode(_error(error)) + b"\n\n"
        finally:
            answer.end()

    def _document(self, completion: Completion) -> dict[str, object]:
        message: dict[str, object] = {"role": "assistant", "content": completion.text, "refusal": None}
        if completion.tool_calls:
            message |= {"content": completion.text or None, "tool_calls": _calls(completion)}
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
        delta: Mapping[str, object] | None,
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


def error_response(error: AgoraError) -> Response:
    """An error in the dialect's shape, with the headers that it has everywhere."""
    usual = problem_response(error)
    headers = {name: usual.headers[name] for name in ("retry-after", "www-authenticate") if name in usual.headers}
    return json(_error(error), status_of(error), headers)


def _calls(completion: Completion) -> list[dict[str, object]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in completion.tool_calls
    ]


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
