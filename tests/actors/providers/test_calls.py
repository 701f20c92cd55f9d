"""A completion under way: what is recorded of it."""

from decimal import Decimal

from actors.providers.calls import Call, Failure, Flight, Times
from actors.providers.dialect import ModelReply
from actors.providers.options import ProviderOptions
from actors.providers.seats import Seats
from actors.providers.transport import Transport
from actors.rules.breaker import BreakerOptions, Permit
from actors.rules.cascade import Attempted, ErrorClass
from bus.messages.base import AgentId, CompletionId, TaskId
from bus.messages.completions import ChatMessage, Complete

PERMIT = Permit(0, is_probe=False)
REPLY = ModelReply("Fine.", "m", 100, 10, "stop")
PROVIDER = ProviderOptions(
    name="a", dialect="openai", base_url="http://x/v1", model="m", price_in=Decimal(1), price_out=Decimal(2)
)


def begun() -> tuple[Call, Flight]:
    request = Complete((ChatMessage("user", "abc"),), 50, 9.0, agent=AgentId("scout"), task=TaskId("t-1"))
    call = Call(request, begun_s=100.0)
    call.completion = CompletionId("m-1")
    seat = Seats((PROVIDER,), BreakerOptions(), Transport(), {}).seat("a")
    return call, call.begin(seat, PERMIT, 100.5)


def test_the_intent_names_what_is_reserved_and_how_long_the_prompt_is() -> None:
    call, flight = begun()
    requested = call.requested(77, 5)
    assert (requested.reserved_usd_micros, requested.tokens_in_estimate, requested.tokens_max) == (77, 5, 50)
    assert (call.deadline_s, call.estimate(flight.seat), call.attempts) == (109.0, 105, 1)


def test_a_failed_attempt_is_remembered_with_its_round() -> None:
    call, flight = begun()
    call.round = 1
    failed = call.attempt_failed(flight, Failure(ErrorClass.TIMEOUT, "no reply", 4, 1.5))
    assert (failed.error, failed.cost_usd_micros, failed.elapsed_s) == ("timeout", 4, 1.5)
    assert (call.attempted, call.lines, call.flights) == (
        [Attempted("a", ErrorClass.TIMEOUT, 1)],
        ["a: timeout: no reply"],
        {},
    )


def test_an_answers_cost_is_its_own_and_what_failed_attempts_lost() -> None:
    call, flight = begun()
    call.attempt_failed(call.begin(flight.seat, PERMIT, 100.5, is_hedge=True), Failure(ErrorClass.TIMEOUT, "", 4))
    completed = call.completed(flight, REPLY, Times(1.5, None, 103.0), 7)
    assert (completed.answer_cost_usd_micros, completed.cost_usd_micros) == (120, 124)
    assert (completed.elapsed_s, completed.completed_us) == (3.0, 7)
    answer = call.reply(completed, REPLY)
    assert (answer.text, answer.cost_usd_micros, answer.attempts) == ("Fine.", 124, tuple(call.lines))


def test_a_failed_completion_keeps_what_was_lost() -> None:
    call, flight = begun()
    call.attempt_failed(flight, Failure(ErrorClass.TIMEOUT, "no reply", 9))
    failed = call.failed("timeout", "nobody answered", 7)
    assert (failed.error, failed.reason, failed.cost_usd_micros, failed.agent) == (
        "timeout",
        "nobody answered",
        9,
        "scout",
    )
