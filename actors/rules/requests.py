"""Decide whether a completion can be asked at all.

Rules: somebody must have said something, and the answer must have room and time. What is wrong is named.

Pure.
"""

from actors.rules import tooling
from actors.rules.schema import check_schema
from bus.messages.completions import Complete
from bus.refusals import InvalidField

STOPS_MAX = 16


def check(request: Complete) -> None:
    """Raises InvalidField."""
    for message in request.messages:
        if message.role == "user":
            break
    else:
        raise InvalidField("messages", "must hold a message of the user")
    if request.tokens_max < 1:
        raise InvalidField("tokens_max", "must be at least 1")
    if request.deadline_s <= 0.0:
        raise InvalidField("deadline_s", "must be above 0")
    if request.hedge_after_s < 0.0:
        raise InvalidField("hedge_after_s", "must be at least 0")
    if request.temperature is not None and not 0.0 <= request.temperature <= 2.0:
        raise InvalidField("temperature", "must be from 0 to 2")
    if len(request.stop) > STOPS_MAX:
        raise InvalidField("stop", f"must hold at most {STOPS_MAX} marks")
    if request.schema:
        check_schema(request.schema)
    tooling.check(request)
