"""The bus: who hears what, and that one subscriber is never another's trouble."""

from bus.bus import Bus, BusSubscription
from bus.envelope import Origin
from bus.mailbox import Overflow
from bus.messages.base import Event, Message
from tests.support.virtual import Added, Echoed, Tell


def pulled(subscription: BusSubscription) -> list[Message]:
    messages = []
    while (envelope := subscription.pull()) is not None:
        messages.append(envelope[0])
    return messages


def ignore(subscription: BusSubscription) -> None:
    return


def test_a_subscription_is_to_a_class_and_what_is_below_it() -> None:
    bus = Bus()
    events, added = bus.subscribe(Event, ignore), bus.subscribe(Added, ignore)
    assert [bus.publish((message, Origin())) for message in (Added(1), Echoed(2), Tell(3))] == [2, 1, 0]
    assert (pulled(events), pulled(added)) == ([Added(1), Echoed(2)], [Added(1)])


def test_a_subscription_is_to_a_pattern_over_wire_names() -> None:
    bus = Bus()
    matching, other = bus.subscribe("test.*", ignore), bus.subscribe("ledger.*", ignore)
    bus.publish((Tell(1), Origin()))
    assert (pulled(matching), pulled(other)) == ([Tell(1)], [])


def test_one_subscriber_that_does_not_pull_loses_its_own_oldest_and_nobody_elses() -> None:
    bus = Bus()
    slow, quick = bus.subscribe(Tell, ignore, size_max=2), bus.subscribe(Tell, ignore, size_max=10)
    for number in range(5):
        bus.publish((Tell(number), Origin()))
    assert slow.lag == 2
    assert pulled(slow) == [Tell(3), Tell(4)]
    assert pulled(quick) == [Tell(number) for number in range(5)]


def test_a_subscription_that_drops_the_new_says_that_it_did_not_take_it() -> None:
    bus = Bus()
    bus.subscribe(Tell, ignore, size_max=1, overflow=Overflow.DROP_NEW)
    assert [bus.publish((Tell(number), Origin())) for number in range(2)] == [1, 0]


def test_the_owner_is_woken_once_until_it_has_pulled_everything() -> None:
    bus = Bus()
    woken: list[BusSubscription] = []
    subscription = bus.subscribe(Tell, woken.append)
    for number in range(3):
        bus.publish((Tell(number), Origin()))
    assert len(woken) == 1
    pulled(subscription)
    bus.publish((Tell(4), Origin()))
    assert woken == [subscription, subscription]


def test_an_ended_subscription_hears_nothing_more() -> None:
    bus = Bus()
    subscription = bus.subscribe(Tell, ignore)
    bus.publish((Tell(1), Origin()))
    bus.unsubscribe(subscription)
    assert bus.publish((Tell(2), Origin())) == 0


def test_a_late_subscription_hears_what_is_published_from_then_on() -> None:
    bus = Bus()
    bus.publish((Tell(1), Origin()))
    subscription = bus.subscribe(Tell, ignore)
    bus.publish((Tell(2), Origin()))
    assert pulled(subscription) == [Tell(2)]
