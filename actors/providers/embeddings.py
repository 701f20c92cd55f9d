"""Texts into vectors, in each dialect that can: OpenAI's, Ollama's and Gemini's.

Rules: every text comes back as one vector in its order, none is cut short to fit, and what is not the right number of
vectors of one length is a fault. A vector is never made up: who has no embeddings is not asked.
Sources: https://platform.openai.com/docs/api-reference/embeddings, https://docs.ollama.com/api/embed,
https://ai.google.dev/api/embeddings.

Pure: encode and decode.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import quote

import msgspec
import orjson

from actors.providers.dialect import (
    HttpReply,
    HttpRequest,
    ModelReply,
    ProviderFault,
    believed,
    parse,
    refuse_garbage,
    shorten,
)
from actors.providers.options import DialectName, ProviderOptions
from actors.rules import vectors
from actors.rules.cascade import ErrorClass
from actors.rules.spending import estimate_tokens


class Texts(msgspec.Struct, frozen=True):
    """What a model is to turn into vectors."""

    texts: tuple[str, ...]
    model: str
    dimensions: int = 0


class Embedder(msgspec.Struct, frozen=True):
    """A dialect's way to ask for vectors."""

    encode: Callable[[ProviderOptions, str, Texts], HttpRequest]
    """Options, key (or empty) and texts."""
    decode: Callable[[Texts, HttpReply], ModelReply]
    """Raises `ProviderFault`."""


class _OpenAIVector(msgspec.Struct):
    embedding: tuple[float, ...]
    index: int = 0


class _OpenAIUsage(msgspec.Struct):
    prompt_tokens: int | None = None


class _OpenAIReply(msgspec.Struct):
    data: tuple[_OpenAIVector, ...] | None = None
    model: str | None = None
    usage: _OpenAIUsage | None = None


class _OllamaReply(msgspec.Struct):
    embeddings: tuple[tuple[float, ...], ...] | None = None
    model: str = ""
    prompt_eval_count: int | None = None


class _GeminiVector(msgspec.Struct):
    values: tuple[float, ...] = ()


class _GeminiReply(msgspec.Struct):
    embeddings: tuple[_GeminiVector, ...] | None = None


_openai_decoder = msgspec.json.Decoder(_OpenAIReply)
_ollama_decoder = msgspec.json.Decoder(_OllamaReply)
_gemini_decoder = msgspec.json.Decoder(_GeminiReply)


def _encode_openai(options: ProviderOptions, key: str, asked: Texts) -> HttpRequest:
    body: dict[str, object] = {"model": asked.model, "input": asked.texts, "encoding_format": "float"}
    if asked.dimensions:
        body["dimensions"] = asked.dimensions
    return _request(options, "/embeddings", body, {"authorization": f"Bearer {key}"} if key else {})


def _decode_openai(asked: Texts, reply: HttpReply) -> ModelReply:
    found = parse(_openai_decoder, reply)
    if found.data is None:
        refuse_garbage("the reply has no data")
    ordered = sorted(found.data, key=lambda one: one.index)
    usage = found.usage or _OpenAIUsage()
    return _reply(asked, [one.embedding for one in ordered], found.model or "", usage.prompt_tokens)


def _encode_ollama(options: ProviderOptions, key: str, asked: Texts) -> HttpRequest:
    body: dict[str, object] = {"model": asked.model, "input": asked.texts, "truncate": False}
    if asked.dimensions:
        body["dimensions"] = asked.dimensions
    return _request(options, "/api/embed", body, {"authorization": f"Bearer {key}"} if key else {})


def _decode_ollama(asked: Texts, reply: HttpReply) -> ModelReply:
    found = parse(_ollama_decoder, reply)
    if found.embeddings is None:
        refuse_garbage("the reply has no embeddings")
    return _reply(asked, found.embeddings, found.model, found.prompt_eval_count)


def _encode_gemini(options: ProviderOptions, key: str, asked: Texts) -> HttpRequest:
    size = {"outputDimensionality": asked.dimensions} if asked.dimensions else {}
    requests = [
        {"model": f"models/{asked.model}", "content": {"parts": [{"text": text}]}, **size} for text in asked.texts
    ]
    path = f"/v1beta/models/{quote(asked.model, safe='')}:batchEmbedContents"
    return _request(options, path, {"requests": requests}, {"x-goog-api-key": key} if key else {})


def _decode_gemini(asked: Texts, reply: HttpReply) -> ModelReply:
    found = parse(_gemini_decoder, reply)
    if found.embeddings is None:
        refuse_garbage("the reply has no embeddings")
    return _reply(asked, [one.values for one in found.embeddings], "", None)


def _request(options: ProviderOptions, path: str, body: Mapping[str, object], key: Mapping[str, str]) -> HttpRequest:
    headers = {"content-type": "application/json", **key}
    return HttpRequest(options.base_url.rstrip("/") + path, headers, orjson.dumps(body))


def _reply(asked: Texts, found: Sequence[Sequence[float]], model: str, tokens_in: int | None) -> ModelReply:
    """Raises ProviderFault when these are not the vectors that were asked for."""
    if wrong := vectors.fault_of(found, len(asked.texts), asked.dimensions):
        raise ProviderFault(ErrorClass.GARBAGE, wrong)
    tokens_in = believed(tokens_in)
    return ModelReply(
        text="",
        model=shorten(model) or asked.model,
        tokens_in=sum(map(estimate_tokens, asked.texts)) if tokens_in is None else tokens_in,
        tokens_out=0,
        finish_reason="stop",
        is_usage_estimated=tokens_in is None,
        vectors=tuple(vectors.pack(one) for one in found),
    )


OPENAI = Embedder(_encode_openai, _decode_openai)
OLLAMA = Embedder(_encode_ollama, _decode_ollama)
GEMINI = Embedder(_encode_gemini, _decode_gemini)
EMBEDDERS: Mapping[DialectName, Embedder] = MappingProxyType({"openai": OPENAI, "ollama": OLLAMA, "gemini": GEMINI})
"""By dialect; who is not in here has no embeddings."""
