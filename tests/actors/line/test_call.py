"""Options may stand anywhere."""

from collections.abc import Sequence

import pytest

from actors.line.call import hoisted


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), []),
        (("serve", "--port", "0"), ["--port", "0", "serve"]),
        (("brief", "a", "--data=x", "--json", "b"), ["--data=x", "--json", "brief", "a", "b"]),
        (("brief", "--", "--json"), ["brief", "--", "--json"]),
        (("serve", "--port"), ["--port", "serve"]),
    ],
)
def test_global_options_are_understood_wherever_they_stand(arguments: Sequence[str], expected: list[str]) -> None:
    assert hoisted(arguments) == expected
