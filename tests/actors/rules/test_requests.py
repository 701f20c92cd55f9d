"""Can a completion be asked at all?"""

import msgspec
import pytest

from actors.rules.requests import STOPS_MAX, check
from bus.messages.completions import ChatMessage, Complete
from bus.refusals import InvalidField

GOOD = Complete((ChatMessage("user", "Hello."),), tokens_max=1, deadline_s=1.0)


def test_a_question_with_room_and_time_for_an_answer_is_fine() -> None:
    check(GOOD)
    check(msgspec.structs.replace(GOOD, temperature=0.0, stop=("a",), schema="{}"))


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (msgspec.structs.replace(GOOD, messages=()), "messages"),
        (msgspec.structs.replace(GOOD, messages=(ChatMessage("system", "x"),)), "messages"),
        (msgspec.structs.replace(GOOD, tokens_max=0), "tokens_max"),
        (msgspec.structs.replace(GOOD, deadline_s=0.0), "deadline_s"),
        (msgspec.structs.replace(GOOD, hedge_after_s=-0.1), "hedge_after_s"),
        (msgspec.structs.replace(GOOD, temperature=2.1), "temperature"),
        (msgspec.structs.replace(GOOD, stop=("x",) * (STOPS_MAX + 1)), "stop"),
        (msgspec.structs.replace(GOOD, schema="{"), "schema"),
    ],
)
def test_what_is_wrong_is_named(wrong: Complete, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check(wrong)
    assert refused.value.path == path
