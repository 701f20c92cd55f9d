"""Cohorts: one cursor for all, and a way out for who does not keep up."""

from bus.messages.base import Position
from tests.web.support import World
from web.cohort import Cohort
from web.frames import Limits, Subscription
from web.options import WebOptions
from web.wire import Filter


class Listener:
    """A member that takes so many frames, and then none."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.heard: list[str] = []
        self.place: Subscription | None = None

    def deliver(self, cohort: Cohort) -> None:
        for step in cohort.steps:
            if len(self.heard) == self.patience:
                cohort.part(self, step)
                return
            self.heard.append(step.frame.text)

    def leave(self, cohort: Cohort, place: Subscription) -> None:
        cohort.drop(self)
        self.place = place


def gathered(world: World, *members: Listener, batch_events: int = 10) -> Cohort:
    cursor = Subscription("feed", Filter(), Position(world.hub.horizon.head + 1))
    cohort = Cohort(cursor, Limits(batch_events=batch_events))
    cohort.members = dict.fromkeys(members)
    return cohort


def tick(world: World, cohort: Cohort) -> None:
    """What the hub does at a tick."""
    world.hub.attach(world.overview)
    world.hub.horizon = world.hub.horizon.__class__(world.hub.head, world.hub.ring.first, Position(1))
    cohort.advance(world.hub)
    while cohort.waiting:
        member, _ = cohort.waiting.popitem()
        member.deliver(cohort)


def test_all_are_sent_the_same_frames_and_share_the_cursor() -> None:
    world = World()
    one, other = Listener(9), Listener(9)
    cohort = gathered(world, one, other)
    world.chat(25)
    tick(world, cohort)
    assert one.heard == other.heard
    assert [frame[:43] for frame in one.heard] == [
        f'{{"t":"batch","sub":"feed","first":{first},"last":{last}'[:43]
        for first, last in ((1, 10), (11, 20), (21, 25))
    ]
    assert cohort.cursor.next == 26
    assert (world.hub.frames_built, world.hub.frames_shared) == (3, 3)


def test_who_does_not_take_a_frame_goes_on_alone_from_in_front_of_it() -> None:
    world = World()
    quick, slow = Listener(9), Listener(1)
    cohort = gathered(world, quick, slow)
    world.chat(25)
    tick(world, cohort)
    assert slow.place is not None
    assert slow.place.next == 11
    assert slow.place is not cohort.cursor
    assert list(cohort.members) == [quick]
    assert len(quick.heard) == 3


def test_who_takes_nothing_leaves_at_the_place_where_all_stood() -> None:
    world = World()
    stuck = Listener(0)
    cohort = gathered(world, stuck)
    world.chat(5)
    tick(world, cohort)
    assert stuck.place is not None
    assert (stuck.place.next, stuck.heard) == (1, [])


def test_when_the_ring_has_let_go_of_what_is_due_everyone_goes_on_alone() -> None:
    world = World(WebOptions(port=0, events_cached=5))
    member = Listener(9)
    cohort = gathered(world, member)
    world.chat(50)
    tick(world, cohort)
    assert member.place is not None
    assert (member.place.next, cohort.members, cohort.waiting) == (1, {}, {})


def test_a_quiet_tick_sends_nothing() -> None:
    world = World()
    member = Listener(9)
    cohort = gathered(world, member)
    tick(world, cohort)
    assert (cohort.steps, cohort.waiting, member.heard) == ([], {}, [])
