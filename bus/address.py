"""The name by which actors reach each other: a path such as `ledger` or `agents/scout`."""

from typing import Final, NewType

Address = NewType("Address", str)

NOBODY: Final = Address("")
"""The sender of what enters from outside the actor system."""
