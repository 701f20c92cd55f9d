"""What webhooks are owed, and how it is signed."""

import msgspec
import pytest

from actors.rules import webhooks
from actors.rules.webhooks import OWED_MAX, Outbox, WebhookOptions
from bus.envelope import StoredEvent
from bus.messages.base import Event, Position
from bus.messages.webhooks import WebhookAdded, WebhookDelivered, WebhookOwed, WebhookRemoved, WebhookUndelivered

HOOK = WebhookOptions("https://example.org/hook", "desk", topics=("proposal.*",))
OTHER = WebhookOptions("https://example.org/other", topics=("alert.raised", "#"))


def folded(*events: Event) -> Outbox:
    state = Outbox()
    for event in events:
        webhooks.apply(state, event)
    return state


def added(*hooks: WebhookOptions, since: int = 0) -> Outbox:
    return folded(*webhooks.decide_hooks(Outbox(), hooks, Position(since)))


def test_a_webhook_is_added_once_and_removed_when_it_is_gone_or_elsewhere() -> None:
    state = added(HOOK, since=7)
    assert webhooks.decide_hooks(state, (HOOK,), Position(9)) == ()
    assert webhooks.decide_hooks(state, (), Position(9)) == (WebhookRemoved("desk"),)
    moved = msgspec.structs.replace(HOOK, url="https://example.org/new")
    assert webhooks.decide_hooks(state, (moved,), Position(9)) == (
        WebhookRemoved("desk"),
        WebhookAdded("desk", "https://example.org/new", Position(9)),
    )


def test_it_is_owed_what_matches_its_topics_and_happened_after_it_was_added() -> None:
    state = added(HOOK, OTHER, since=7)
    hooks = (HOOK, OTHER)
    assert webhooks.decide_fact(state, hooks, "proposal.ready", Position(7)) == ()
    owed = webhooks.decide_fact(state, hooks, "proposal.ready", Position(8))
    assert [event.webhook for event in owed if isinstance(event, WebhookOwed)] == ["desk", OTHER.url]
    assert len(webhooks.decide_fact(state, hooks, "task.created", Position(8))) == 1


def test_nobody_is_told_of_webhooks_whatever_the_pattern() -> None:
    assert webhooks.decide_fact(added(OTHER), (OTHER,), "webhook.undelivered", Position(8)) == ()


def test_the_oldest_is_told_first_and_an_outcome_ends_it_once() -> None:
    state = added(HOOK)
    for number in (1, 2):
        for event in webhooks.decide_fact(state, (HOOK,), "proposal.ready", Position(number)):
            webhooks.apply(state, event)
    first = webhooks.next_owed(state, "desk")
    assert first is not None
    assert first.told == 1
    (taken,) = webhooks.decide_outcome(state, first.delivery, "", 2)
    assert taken == WebhookDelivered("desk", first.delivery, 2)
    webhooks.apply(state, taken)
    assert webhooks.decide_outcome(state, first.delivery, "", 2) == ()
    second = webhooks.next_owed(state, "desk")
    assert second is not None
    (dead,) = webhooks.decide_outcome(state, second.delivery, "x" * 10_000, 6)
    assert isinstance(dead, WebhookUndelivered)
    assert (dead.told, len(dead.reason)) == (2, webhooks.REASON_MAX)


def test_beyond_the_bound_the_newest_is_a_dead_letter_at_once_and_the_others_wait_on() -> None:
    state = added(HOOK)
    for number in range(1, OWED_MAX + 1):
        webhooks.apply(state, WebhookOwed("desk", f"{number}/desk", Position(number), "proposal.ready"))
    (dead,) = webhooks.decide_fact(state, (HOOK,), "proposal.ready", Position(OWED_MAX + 1))
    assert isinstance(dead, WebhookUndelivered)
    webhooks.apply(state, dead)
    assert len(state.owed) == OWED_MAX


def test_what_a_removed_webhook_was_owed_is_forgotten() -> None:
    state = added(HOOK, OTHER)
    for event in webhooks.decide_fact(state, (HOOK, OTHER), "proposal.ready", Position(3)):
        webhooks.apply(state, event)
    webhooks.apply(state, WebhookRemoved("desk"))
    assert [owed.webhook for owed in state.owed.values()] == [OTHER.url]


@pytest.mark.parametrize(
    ("hooks", "where"),
    [
        ((HOOK, HOOK), (1, "name")),
        ((OTHER, OTHER), (1, "url")),
        ((WebhookOptions("http://a", topics=("a b",)),), (0, "topics")),
        ((WebhookOptions("http://a", topics=("webhook.owed",)),), (0, "topics")),
        (tuple(WebhookOptions(f"http://{number}") for number in range(33)), (32, "url")),
    ],
)
def test_webhooks_that_cannot_be_are_named(hooks: tuple[WebhookOptions, ...], where: tuple[int, str]) -> None:
    found = webhooks.problem(hooks)
    assert found is not None
    assert found[:2] == where
    assert webhooks.problem((HOOK, OTHER)) is None


def test_waits_double_up_to_a_bound() -> None:
    hook = WebhookOptions("http://a", wait_s=2.0)
    assert [webhooks.wait_s(hook, tried) for tried in (1, 2, 3, 19)] == [2.0, 4.0, 8.0, webhooks.WAIT_MAX_S]


def test_the_signature_is_the_one_of_the_standard_webhooks_specification() -> None:
    key = webhooks.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = webhooks.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}', key)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_id_time_and_body_are_all_signed() -> None:
    signed = {
        webhooks.headers(name, at_us, content, b"key")[webhooks.SIGNATURE_HEADER]
        for name in ("1-2", "1-3")
        for at_us in (1_000_000, 2_000_000)
        for content in (b"a", b"b")
    }
    assert len(signed) == 8
    assert webhooks.SIGNATURE_HEADER not in webhooks.headers("1-2", 0, b"", b"")


def test_a_secret_is_taken_as_it_is_unless_it_says_that_it_is_base64() -> None:
    assert webhooks.key_of("plain") == b"plain"
    assert webhooks.key_of("whsec_AAEC") == b"\x00\x01\x02"
    with pytest.raises(ValueError, match="base64"):
        webhooks.key_of("whsec_!")


def test_sealed_fields_are_not_told() -> None:
    event = StoredEvent(
        Position(8), 5, "bid.submitted", 1, "coordinator", "t-1", "t-1", "scout", "", "", Position(7), Position(0),
        b'{"task":"t-1"}', b'{"price_msat":7}', b"",
    )  # fmt: skip
    told = msgspec.json.decode(webhooks.body(event, 3))
    assert told == {
        "id": "3-8",
        "type": "bid.submitted",
        "position": 8,
        "time_us": 5,
        "source": "coordinator",
        "subject": "t-1",
        "data": {"task": "t-1"},
    }
