"""The cascade as it lives: permits, candidates and views."""

from decimal import Decimal
from typing import Literal

import msgspec
import pytest

from actors.providers.calls import Call
from actors.providers.options import ProviderOptions
from actors.providers.seats import Seat, Seats
from actors.providers.transport import Transport
from actors.rules.breaker import BreakerOptions, Outcome, gate
from actors.rules.cascade import Attempted, ErrorClass
from actors.rules.records import Cascade, Standing
from bus.messages.base import Event
from bus.messages.completions import BreakerOpened, BreakerState, ChatMessage, Complete, Privacy
from bus.refusals import NotFound

BREAKER = BreakerOptions(refusals_max=2, window=4, calls_min=4)
NOW = (10.0, 5_000_000)
DEAR = ProviderOptions(
    name="dear",
    dialect="openai",
    base_url="http://x/v1",
    model="m",
    models=("n",),
    price_out=Decimal(2),
    concurrency_max=1,
)
FREE = ProviderOptions(name="free", dialect="extractive")


def asked(privacy: Privacy = "any", tokens_max: int = 1) -> Call:
    return Call(Complete((ChatMessage("user", "x"),), tokens_max, 1.0, privacy=privacy), 0.0)


def seats() -> Seats:
    return Seats((DEAR, FREE), BREAKER, Transport(), {})


def fail(seat: Seat) -> list[Event]:
    permit, _ = seat.take(1, *NOW)
    return list(seat.give_back(permit, Outcome.REFUSED, "refused", NOW, 0.0))


def test_a_place_that_is_taken_makes_a_provider_busy_until_it_is_given_back() -> None:
    seat = seats().seat("dear")
    permit, events = seat.take(1, *NOW)
    assert (seat.in_flight, events, seat.candidate(Cascade(), asked(), 10.0).is_busy) == (1, (), True)
    assert seat.give_back(permit, Outcome.OK, "ok", NOW, 0.0) == ()
    assert (seat.in_flight, seat.candidate(Cascade(), asked(), 10.0).is_busy) == (0, False)


def test_a_transition_of_the_breaker_is_returned_to_be_recorded() -> None:
    seat = seats().seat("dear")
    assert fail(seat) == []
    assert fail(seat) == [BreakerOpened("dear", "2 connections in a row were refused", 1.0, 6_000_000, 1)]
    assert not seat.candidate(Cascade(), asked(), 10.9).is_admitted
    view = seat.view(Cascade(), 10.25)
    assert (view.breaker, view.reopens_in_s, view.outcomes) == (BreakerState.OPEN, 0.75, ("refused", "refused"))


def test_the_reservation_is_that_of_the_dearest_enabled_provider() -> None:
    state = Cascade()
    assert seats().dearest(state, asked(tokens_max=1_000)) == 2_000
    state.providers["dear"] = Standing(is_enabled=False)
    assert seats().dearest(state, asked(tokens_max=1_000)) == 0


def test_breakers_are_restored_and_whom_the_router_disabled_is_told() -> None:
    restored = seats()
    state = Cascade(
        {
            "dear": Standing(breaker=BreakerState.OPEN, wait_s=4.0, reopens_us=7_000_000, generation=3, openings=2),
            "free": Standing(is_enabled=False, is_disabled_by_router=True),
            "gone": Standing(is_enabled=False, is_disabled_by_router=True),
        }
    )
    assert restored.restore(state, *NOW) == ("free",)
    breaker = restored.seat("dear").breaker
    assert (breaker.reopens_s, breaker.generation, breaker.openings) == (12.0, 3, 2)


def test_who_was_not_tried_and_could_not_be_is_told_why() -> None:
    state = Cascade({"free": Standing(is_enabled=False), "dear": Standing(is_enabled=False)})
    call = asked()
    call.attempted.append(Attempted("dear", ErrorClass.UNAUTHORISED))
    assert seats().why_skipped(state, call, 0.0) == ("free: disabled",)


@pytest.mark.parametrize(
    ("location", "url", "is_asked"),
    [
        ("auto", "http://127.0.0.1:1/v1", True),
        ("auto", "http://localhost/v1", True),
        ("auto", "http://[::1]/v1", True),
        ("auto", "http://127.0.0.1.example.org/v1", False),
        ("auto", "http://10.0.0.1/v1", False),
        ("local", "http://10.0.0.1/v1", True),
        ("remote", "http://127.0.0.1/v1", False),
    ],
)
def test_what_is_marked_local_is_only_for_those_who_are(
    location: Literal["auto", "local", "remote"], url: str, is_asked: bool
) -> None:
    options = msgspec.structs.replace(DEAR, base_url=url, location=location)
    seat = Seats((options,), BREAKER, Transport(), {}).seat("dear")
    assert (seat.unfit(asked("local")) == "") is is_asked
    assert seat.unfit(asked("any")) == ""


def test_a_request_that_is_too_long_for_a_context_is_not_for_its_provider() -> None:
    options = msgspec.structs.replace(DEAR, context_tokens=100)
    seat = Seats((options,), BREAKER, Transport(), {}).seat("dear")
    assert (seat.unfit(asked()), seat.unfit(asked(tokens_max=100))) == (
        "",
        "at least 103 tokens do not fit into its 100",
    )


def test_an_operators_order_comes_before_the_configured_one() -> None:
    assert seats().order(Cascade(order=("free", "gone"))) == ("free", "dear")


def test_a_prompt_names_the_wanted_model_only_where_the_provider_has_it() -> None:
    seat = seats().seat("dear")
    models = [
        seat.prompt(Complete((ChatMessage("user", "x"),), 1, 1.0, model=model)).model for model in ("m", "n", "o", "")
    ]
    assert models == ["m", "n", "m", "m"]


def test_latencies_are_shown_as_quantiles() -> None:
    seat = seats().seat("dear")
    assert seat.view(Cascade(), 0.0).latency_p50_s == 0.0
    for hundredth in range(1, 101):
        seat.judge(hundredth / 100, 0.0, 60.0)
    view = seat.view(Cascade(), 0.0)
    assert (view.latency_p50_s, view.latency_p90_s, view.latency_p99_s) == (0.51, 0.91, 1.0)


def test_a_change_of_the_cascades_own_settings_is_no_reason_to_open_a_provider_again() -> None:
    cascade_ = seats()
    before = cascade_.seat("dear").provider
    changes = {"weight": 3.0, "enabled": False, "breaker_mode": "disabled", "price_in": Decimal(1), "needed_s": 1.0}
    own = msgspec.structs.replace(DEAR, requests_per_minute=9, tokens_per_minute=9, **changes)
    cascade_.reconfigure((own, FREE), BREAKER)
    seat = cascade_.seat("dear")
    assert (seat.provider is before, seat.options, seat.view(Cascade(), 0.0).mode) == (True, own, "disabled")
    cascade_.reconfigure((msgspec.structs.replace(own, model="n"), FREE), BREAKER)
    assert cascade_.seat("dear").provider is not before


def test_the_view_tells_for_how_long_a_provider_is_throttled_by_itself_or_by_its_limits() -> None:
    narrow = msgspec.structs.replace(DEAR, requests_per_minute=1)
    seat = Seats((narrow, FREE), BREAKER, Transport(), {}).seat("dear")
    assert seat.view(Cascade(), 10.0).throttled_for_s == 0.0
    seat.take(1, *NOW)
    assert seat.view(Cascade(), 20.0).throttled_for_s == pytest.approx(50.0)
    gate(seat.breaker, 100.0)
    assert seat.view(Cascade(), 20.0).throttled_for_s == pytest.approx(80.0)


def test_an_unknown_provider_is_not_found() -> None:
    with pytest.raises(NotFound):
        seats().seat("nobody")
