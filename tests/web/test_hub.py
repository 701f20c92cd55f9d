"""The hub: ticks, bells, and frames that are built once."""

import anyio
import msgspec
import pytest

from bus.messages.base import Position
from bus.messages.system import SystemInfo
from bus.refusals import Overloaded
from tests.web.support import World, stored, virtual
from web.frames import ReadRing, ReadState, Subscription
from web.hub import FRAMES_CACHED_MAX, GAUGES_MAX
from web.options import WebOptions
from web.wire import Filter

PLENTY = 1 << 20


def due(first: int, last: int, name: str = "feed", wanted: Filter | None = None) -> ReadRing:
    wanted = wanted or Filter()
    return ReadRing(Subscription(name, wanted, Position(first)), wanted, Position(first), Position(last))


def state_due(after: int) -> ReadState:
    return ReadState(Subscription("s", None, Position(after)), after)


async def test_clients_see_the_head_rise_in_ticks() -> None:
    world = World()
    rung = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(world.hub.run)
        with world.hub.client(rung.set):
            world.chat(3)
            assert world.hub.horizon.head == 0
            with anyio.fail_after(30.0):
                await rung.wait()
            assert world.hub.horizon.head == 3
        group.cancel_scope.cancel()


async def test_what_comes_within_a_tick_is_told_in_one() -> None:
    world = World()
    heads: list[int] = []
    done = anyio.Event()

    def ring_bell() -> None:
        heads.append(world.hub.horizon.head)
        if heads[-1] == 50:
            done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(world.hub.run)
        with world.hub.client(ring_bell):
            world.chat(1)
            await anyio.wait_all_tasks_blocked()
            for _ in range(49):
                world.chat(1)
                await anyio.lowlevel.checkpoint()
            with anyio.fail_after(30.0):
                await done.wait()
        group.cancel_scope.cancel()
    assert heads[0] <= 1
    assert len(heads) <= 4


def test_equal_subscriptions_share_one_frame() -> None:
    world = World()
    world.chat(5)
    first, last = world.hub.batch_frame(due(1, 5), PLENTY)
    second, _ = world.hub.batch_frame(due(1, 5), PLENTY)
    assert first is second
    assert last == 5
    other, _ = world.hub.batch_frame(due(1, 5, wanted=Filter(topics=("task.*",))), PLENTY)
    assert msgspec.json.decode(other.payload)["events"] == []
    assert (world.hub.frames_built, world.hub.frames_shared) == (2, 1)


def test_a_batch_frame_names_its_positions_first() -> None:
    world = World()
    world.chat(2)
    frame, _ = world.hub.batch_frame(due(1, 2), PLENTY)
    assert frame.text.startswith('{"t":"batch","sub":"feed","first":1,"last":2,"events":[{"position":1,')


def test_kept_frames_are_bounded() -> None:
    world = World()
    world.chat(FRAMES_CACHED_MAX + 10)
    frames = [world.hub.batch_frame(due(n, n), PLENTY)[0] for n in range(1, FRAMES_CACHED_MAX + 10)]
    again, _ = world.hub.batch_frame(due(1, 1), PLENTY)
    assert again.payload == frames[0].payload
    assert again is not frames[0]


def test_the_state_is_whole_first_then_patched_and_whole_again_for_who_is_too_far_behind() -> None:
    world = World()
    world.chat(2)
    whole, at = world.hub.state_frame(state_due(-1))
    decoded = msgspec.json.decode(whole.payload)
    assert (decoded["t"], decoded["epoch"], decoded["position"], at) == ("state", 1, 2, 2)
    world.chat(1)
    change = msgspec.json.decode(world.hub.state_frame(state_due(2))[0].payload)
    assert (change["t"], change["position"], change["patch"]["position"]) == ("change", 3, 3)
    assert "now_us" in change["patch"]
    assert msgspec.json.decode(world.hub.state_frame(state_due(99))[0].payload)["t"] == "state"


def test_a_state_frame_is_not_shared_for_longer_than_its_clock_is_right() -> None:
    clock = virtual()
    world = World(clock=clock)
    world.chat(1)
    first, _ = world.hub.state_frame(state_due(-1))
    assert world.hub.state_frame(state_due(-1))[0] is first
    clock.advance(60.0)
    later, _ = world.hub.state_frame(state_due(-1))
    told = [msgspec.json.decode(frame.payload)["state"]["now_us"] for frame in (first, later)]
    assert told[1] - told[0] == 60_000_000


def test_clients_are_bounded() -> None:
    world = World(WebOptions(sockets_max=1))
    with world.hub.client(lambda: None):
        assert world.hub.clients == 1
        with pytest.raises(Overloaded), world.hub.client(lambda: None):
            pass
    assert world.hub.clients == 0


def test_an_overview_that_was_built_again_goes_on_where_it_stands() -> None:
    world = World()
    world.chat(3)
    world.hub.attach(world.overview)
    assert (world.hub.ring.first, world.hub.head) == (1, 3)


def test_an_event_that_the_overview_has_not_taken_is_a_bug() -> None:
    world = World()
    with pytest.raises(AssertionError, match="go together"):
        world.hub.commit([stored(1, SystemInfo("x"))])


def test_gauges_are_bounded() -> None:
    world = World()
    for number in range(GAUGES_MAX + 5):
        world.hub.set_gauge(f"g{number}", 1.0)
    world.hub.set_gauge("g0", 2.0)
    assert len(world.hub.gauges) == GAUGES_MAX
    assert world.hub.gauges["g0"] == 2.0


async def test_goodbye_waits_for_the_last_client() -> None:
    world = World()
    rung = anyio.Event()
    async with anyio.create_task_group() as group:
        with world.hub.client(rung.set):
            group.start_soon(world.hub.say_goodbye)
            await rung.wait()
            assert world.hub.is_closing
