"""The cascade behind OpenAI's embeddings: `POST /v1/embeddings`.

Rules: every text comes back as one vector, in its order, as numbers or as base64 of 32-bit floats. Where no provider
has embeddings, the request is refused: a vector is never made up. Errors have the dialect's shape.

Source: https://platform.openai.com/docs/api-reference/embeddings. `privacy` and `deadline_s` are Agora's own.
"""

import base64
import struct
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.errors import AgoraError
from bus.messages.base import AgentId
from bus.messages.completions import ROUTER, Privacy
from bus.messages.embeddings import Embed, Embedding
from web.answers import MARGIN_S
from web.chat import CASCADE_MODEL, DEADLINE_DEFAULT_S, check_deadline
from web.completions import error_response
from web.documents import OpenAiError
from web.edge import Edge, json, read_body
from web.operation import described

Encoding = Literal["float", "base64"]


class EmbeddingsBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/embeddings`."""

    input: str | tuple[str, ...]
    model: str = CASCADE_MODEL
    encoding_format: Encoding = "float"
    dimensions: int | None = None
    privacy: Privacy = "any"
    deadline_s: float = DEADLINE_DEFAULT_S


class EmbeddingsApi:
    """The endpoint."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [Route("/v1/embeddings", self.create, methods=["POST"])]

    @described(
        "texts as vectors, in OpenAI's dialect; `privacy` and `deadline_s` are Agora's own",
        scope="task",
        body=EmbeddingsBody,
        refusal=OpenAiError,
    )
    async def create(self, request: Request) -> Response:
        try:
            principal = self._edge.authorise(request, "task")
            body = await read_body(request, EmbeddingsBody)
            asked = command_of(body, AgentId(principal.name))
            found = (await self._edge.ask(ROUTER, asked, timeout_s=asked.deadline_s + MARGIN_S)).message
        except AgoraError as error:
            return error_response(error)
        return json(_document(found, body.encoding_format))


def command_of(body: EmbeddingsBody, agent: AgentId) -> Embed:
    """The request in Agora's terms. Raises InvalidField."""
    check_deadline(body.deadline_s)
    return Embed(
        texts=(body.input,) if isinstance(body.input, str) else body.input,
        deadline_s=body.deadline_s,
        agent=agent,
        model="" if body.model == CASCADE_MODEL else body.model,
        privacy=body.privacy,
        dimensions=body.dimensions or 0,
    )


def _document(found: Embedding, encoding: Encoding) -> dict[str, object]:
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _shown(vector, encoding)}
            for index, vector in enumerate(found.vectors)
        ],
        "model": found.model,
        "usage": {"prompt_tokens": found.tokens_in, "total_tokens": found.tokens_in},
        "provider": found.provider,
    }


def _shown(vector: bytes, encoding: Encoding) -> object:
    if encoding == "base64":
        return base64.b64encode(vector).decode()
    return struct.unpack(f"<{len(vector) // 4}f", vector)
