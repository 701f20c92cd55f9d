"""Provider options: what could never work is refused."""

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
    ],
)
def test_what_could_never_work_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(WELL | wrong, ProviderOptions)
