"""The stop-everything switch of a process.

While it is thrown nobody begins what would be a new turn of an agent, a new call of a model or a new assignment; what
is under way ends in its own time. One actor throws it and remembers that it did; all others only look. They are told by
an event when it is thrown back, so that they go on where they stood.
"""


class Switch:
    """Whether everything is halted."""

    __slots__ = ("is_halted",)

    def __init__(self) -> None:
        self.is_halted = False
