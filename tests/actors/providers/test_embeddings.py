"""Texts into vectors, in each dialect that can."""

import orjson
import pytest

from actors.providers.dialect import ProviderFault
from actors.providers.embeddings import EMBEDDERS, GEMINI, OLLAMA, OPENAI, Embedder, Texts
from actors.providers.options import WITH_EMBEDDINGS, DialectName, ProviderOptions
from actors.rules.cascade import ErrorClass
from actors.rules.vectors import pack
from tests.actors.providers.replies import reply

ASKED = Texts(("one", "three"), "tiny-embed", 2)
OPENAI_REPLY = {
    "data": [{"index": 1, "embedding": [3.0, 4.0]}, {"index": 0, "embedding": [1.0, 2.0]}],
    "model": "m",
    "usage": {"prompt_tokens": 7},
}
OLLAMA_REPLY = {"embeddings": [[1.0, 2.0], [3.0, 4.0]], "model": "m", "prompt_eval_count": 7}
GEMINI_REPLY = {"embeddings": [{"values": [1.0, 2.0]}, {"values": [3.0, 4.0]}]}


def options(dialect: DialectName) -> ProviderOptions:
    return ProviderOptions(name="p", dialect=dialect, base_url="https://host/", model="m", embedding_model="tiny-embed")


def test_every_dialect_that_may_be_configured_with_embeddings_has_them() -> None:
    assert {*EMBEDDERS, "llama"} == set(WITH_EMBEDDINGS)  # which is spoken to in OpenAI's


@pytest.mark.parametrize(
    ("dialect", "url", "body", "key"),
    [
        (
            "openai",
            "https://host/embeddings",
            {"model": "tiny-embed", "input": ["one", "three"], "encoding_format": "float", "dimensions": 2},
            {"authorization": "Bearer k"},
        ),
        (
            "ollama",
            "https://host/api/embed",
            {"model": "tiny-embed", "input": ["one", "three"], "truncate": False, "dimensions": 2},
            {"authorization": "Bearer k"},
        ),
        (
            "gemini",
            "https://host/v1beta/models/tiny-embed:batchEmbedContents",
            {
                "requests": [
                    {
                        "model": "models/tiny-embed",
                        "content": {"parts": [{"text": text}]},
                        "outputDimensionality": 2,
                    }
                    for text in ("one", "three")
                ]
            },
            {"x-goog-api-key": "k"},
        ),
    ],
)
def test_a_request_is_what_the_dialect_says(
    dialect: DialectName, url: str, body: dict[str, object], key: dict[str, str]
) -> None:
    request = EMBEDDERS[dialect].encode(options(dialect), "k", ASKED)
    assert (request.url, orjson.loads(request.body)) == (url, body)
    assert request.headers == {"content-type": "application/json", **key}
    plain = EMBEDDERS[dialect].encode(options(dialect), "", Texts(("one",), "m"))
    assert list(plain.headers) == ["content-type"]
    assert b"imension" not in plain.body


@pytest.mark.parametrize(("embedder", "body"), [(OPENAI, OPENAI_REPLY), (OLLAMA, OLLAMA_REPLY), (GEMINI, GEMINI_REPLY)])
def test_vectors_come_back_in_the_order_of_their_texts(embedder: Embedder, body: object) -> None:
    found = embedder.decode(ASKED, reply(body))
    assert found.vectors == (pack([1.0, 2.0]), pack([3.0, 4.0]))
    assert (found.text, found.tokens_out) == ("", 0)
    assert (found.model, found.is_usage_estimated) == (("tiny-embed", True) if embedder is GEMINI else ("m", False))
    assert found.tokens_in == (3 if embedder is GEMINI else 7)


@pytest.mark.parametrize("embedder", [OPENAI, OLLAMA, GEMINI])
@pytest.mark.parametrize("body", [{}, {"data": [], "embeddings": []}, {"data": 5, "embeddings": 5}, b"{"])
def test_what_is_not_a_vector_for_each_text_is_garbage(embedder: Embedder, body: object) -> None:
    with pytest.raises(ProviderFault) as fault:
        embedder.decode(ASKED, reply(body))
    assert fault.value.error is ErrorClass.GARBAGE


def test_a_text_that_is_too_long_is_told_apart() -> None:
    words = {"error": "the input length exceeds the context length"}
    with pytest.raises(ProviderFault) as fault:
        OLLAMA.decode(ASKED, reply(words, 400))
    assert fault.value.error is ErrorClass.OVERFLOW
