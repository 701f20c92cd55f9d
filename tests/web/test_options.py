"""The web's settings: safe where nothing is set."""

import msgspec
import pytest

from web.options import WebOptions


def test_the_defaults_are_loopback_and_bounded() -> None:
    options = WebOptions()
    assert (options.enabled, options.host, options.port, options.events_cached) == (True, "127.0.0.1", 8080, 10_000)
    assert (options.cors_origins, options.hosts, options.socket_path) == ((), (), "")


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"prot": 1}, WebOptions)
