"""Provider options: what could never work is refused."""

import subprocess
import sys
from decimal import Decimal

import msgspec
import pytest

from actors.providers.options import ProviderOptions
from actors.rules.spending import Price

WELL: dict[str, object] = {"name": "x", "dialect": "openai", "base_url": "http://localhost:1/v1", "model": "m"}


@pytest.mark.parametrize(("given", "micros"), [("0.15", 150_000), (0.15, 150_000), (3, 3_000_000)])
def test_prices_are_read_exactly_from_text_and_numbers(given: object, micros: int) -> None:
    options = msgspec.convert(WELL | {"price_in": given}, ProviderOptions)
    assert options.price == Price(micros, 0)


def test_the_extractive_provider_needs_neither_address_nor_model() -> None:
    assert ProviderOptions(name="x", dialect="extractive").price == Price(0, 0)
    assert ProviderOptions(name="x", dialect="extractive").price_in == Decimal(0)


CHILD = {"base_url": "", "model_path": "/models/large-7b.gguf"}


@pytest.mark.parametrize(("dialect", "calls_max"), [("llama", 2), ("airllm", 1)])
def test_a_model_in_a_process_of_ours_is_local_bounded_and_named_after_its_file(dialect: str, calls_max: int) -> None:
    options = msgspec.convert(WELL | CHILD | {"dialect": dialect, "model": "", "python": "p"}, ProviderOptions)
    assert (options.model, options.is_local, options.context_tokens) == ("large-7b", True, 4_096)
    assert options.concurrency_max == calls_max


def test_what_is_declared_is_what_it_can_do() -> None:
    options = msgspec.convert(WELL | {"capabilities": ["tools"], "embedding_model": "e"}, ProviderOptions)
    assert options.abilities == {"tools", "embeddings"}
    assert ProviderOptions(name="x", dialect="extractive").abilities == frozenset()


def test_without_its_extra_a_model_file_is_refused_and_the_refusal_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['xllamacpp'] = None\n"
        "from actors.providers.options import ProviderOptions\n"
        "try: ProviderOptions(name='x', dialect='llama', model_path='/m.gguf')\n"
        "except ValueError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert said.stdout.strip() == "llama of x needs xllamacpp: pip install agora[local]"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "`name`"),
        ({"name": "a\nb"}, "`name`"),
        ({"base_url": ""}, "`base_url` of x"),
        ({"base_url": "localhost:1"}, "`base_url` of x"),
        ({"base_url": "file:///etc/passwd"}, "`base_url` of x"),
        ({"base_url": "http://user:pass@localhost"}, "credentials"),
        ({"base_url": "http://localhost?key=secret"}, "credentials"),
        ({"model": ""}, "`model` of x"),
        ({"timeout_s": 0}, "the times of x"),
        ({"concurrency_max": 0}, "`concurrency_max` of x"),
        ({"price_in": "-1"}, "a price is"),
        ({"dialect": "klingon"}, "Invalid enum value"),
        ({"key": "sk-secret"}, "unknown field `key`"),
        ({"capabilities": ["flight"]}, "Invalid enum value"),
        ({"dialect": "anthropic", "embedding_model": "e"}, "anthropic has no embeddings"),
        ({"dialect": "llama"}, "`model_path` of x must be set, and `base_url` empty"),
        (CHILD | {"dialect": "airllm"}, r"airllm of x needs airllm: pip install agora\[airllm\]"),
        (CHILD | {"dialect": "airllm", "python": "p", "capabilities": ["tools"]}, "hold what airllm cannot do"),
        (CHILD | {"dialect": "llama", "capabilities": ["vision"]}, "hold what llama cannot do"),
        (CHILD | {"dialect": "llama", "memory_bytes_max": 0}, "`memory_bytes_max` of x"),
    ],
)
def test_what_could_never_work_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(WELL | wrong, ProviderOptions)
