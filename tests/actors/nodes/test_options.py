"""The settings of Lightning, and opening what they name."""

import msgspec
import pytest

from actors.nodes import LightningOptions, LnbitsNode, LndNode, SimulatedNode, check_key, open_node
from bus.errors import ConfigError

LND = LightningOptions(backend="lnd", url="https://127.0.0.1:8080")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"backend": "lnd"}, "`url` must begin with"),
        ({"backend": "lnbits", "url": "ftp://x"}, "`url` must begin with"),
        ({"webhook_url": "example.org"}, "`webhook_url` must begin with"),
        ({"backend": "cash"}, "Invalid enum value 'cash'"),
        ({"timeout_s": 60}, "Expected `float` <= 9"),
        ({"network": "mainnet"}, "Invalid enum value"),
    ],
)
def test_settings_that_make_no_sense_are_refused(said: dict[str, object], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(said, LightningOptions)


async def test_each_backend_is_opened_by_its_name() -> None:
    key = {"LIGHTNING_KEY": "00ff"}
    kinds = []
    for options in (LightningOptions(), LND, LightningOptions(backend="lnbits", url="http://x")):
        node = open_node(options, key)
        kinds.append(type(node))
        assert node.name == options.backend
        await node.close()
    assert kinds == [SimulatedNode, LndNode, LnbitsNode]


def test_a_node_needs_its_key_and_the_simulated_one_needs_none() -> None:
    check_key(LightningOptions(), {})
    check_key(LND, {"LIGHTNING_KEY": " 00ff\n"})
    with pytest.raises(ConfigError, match="the key of lnd is not set"):
        check_key(LND, {})
    with pytest.raises(ConfigError, match="no header may have"):
        check_key(LND, {"LIGHTNING_KEY": "ü"})
