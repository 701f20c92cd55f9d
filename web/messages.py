"""The cascade behind Anthropic's dialect: `POST /v1/messages`, streamed or not.

Rules: as in OpenAI's dialect: errors have the dialect's shape, a client that hangs up ends its call, and what goes
wrong after a stream has begun is said in the stream. How much was read is known at the end, so the first event of a
stream says 0 and the last but one says it all, as this dialect allows. A tool's call comes in one piece.

Source: https://docs.anthropic.com/en/api/messages-streaming.
"""

from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bus.errors import AgoraError
from bus.messages.base import AgentId
from bus.messages.completions import Completion, FinishReason, StreamPart
from bus.refusals import InvalidField
from web.answers import Answer
from web.chat import CASCADE_MODEL
from web.documents import AnthropicError
from web.edge import Edge, json, read_body
from web.messages_body import MessagesBody, as_written, command_of
from web.operation import EVENT_STREAM, JSON, described
from web.problems import detail_of, problem_response, status_of
from web.wire import encode

_STOP: dict[FinishReason, str] = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class MessagesApi:
    """The endpoint."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [Route("/v1/messages", self.create, methods=["POST"])]

    @described(
        "the cascade in Anthropic's dialect, streamed or not; `privacy` and `deadline_s` are Agora's own",
        scope="task",
        body=MessagesBody,
        media_types=(JSON, EVENT_STREAM),
        refusal=AnthropicError,
    )
    async def create(self, request: Request) -> Response:
        try:
            principal = self._edge.authorise(request, "task")
            body = await read_body(request, MessagesBody)
            asked = command_of(body, AgentId(principal.name))
            try:
                answer = await Answer.begin(self._edge, asked, is_streamed=body.stream)
            except InvalidField as error:
                raise as_written(error, body) from error
            if not body.stream:
                return json(_document(await answer.whole(request)))
            events = _events(answer, await answer.first(request))
            return StreamingResponse(events, headers={"cache-control": "no-store"}, media_type=EVENT_STREAM)
        except AgoraError as error:
            return _error_response(error)


async def _events(answer: Answer, first: StreamPart) -> AsyncIterator[bytes]:
    """The stream; a client that hangs up throws its cancellation in here."""
    try:
        begun = _message(answer.completion, CASCADE_MODEL, [], None, {"input_tokens": 0, "output_tokens": 0})
        yield _event("message_start", message=begun)
        part, blocks = first, 0
        while True:
            if part.text and not blocks:
                blocks = 1
                yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            if part.text:
                yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": part.text})
            if part.outcome is not None:
                break
            part = await answer.more()
        if blocks:
            yield _event("content_block_stop", index=0)
        outcome = part.outcome
        for index, call in enumerate(outcome.tool_calls, start=blocks):
            begun = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            yield _event("content_block_start", index=index, content_block=begun)
            delta = {"type": "input_json_delta", "partial_json": call.arguments}
            yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        stop = {"stop_reason": _STOP[outcome.finish_reason], "stop_sequence": None}
        yield _event("message_delta", delta=stop, usage=_usage(outcome))
        yield _event("message_stop")
    except AgoraError as error:
        yield _event("error", error=_error(error))
    finally:
        answer.end()


def _document(completion: Completion) -> dict[str, object]:
    blocks: list[dict[str, object]] = [{"type": "text", "text": completion.text}] if completion.text else []
    for call in completion.tool_calls:
        arguments = msgspec.Raw(call.arguments.encode())
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
    stop = _STOP[completion.finish_reason]
    document = _message(completion.completion, completion.model, blocks, stop, _usage(completion))
    return document | {"provider": completion.provider}


def _message(
    completion: str, model: str, blocks: list[dict[str, object]], stop: str | None, usage: dict[str, int]
) -> dict[str, object]:
    return {
        "id": f"msg_{completion}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _event(kind: str, **fields: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encode({"type": kind, **fields}) + b"\n\n"


def _usage(completion: Completion) -> dict[str, int]:
    return {"input_tokens": completion.tokens_in, "output_tokens": completion.tokens_out}


def _error_response(error: AgoraError) -> Response:
    usual = problem_response(error)
    headers = {name: usual.headers[name] for name in ("retry-after", "www-authenticate") if name in usual.headers}
    return json({"type": "error", "error": _error(error)}, status_of(error), headers)


def _error(error: AgoraError) -> dict[str, str]:
    status = status_of(error)
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": kind, "message": detail_of(error)}
