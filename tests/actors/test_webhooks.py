"""The webhooks' shell: a real receiver, a journal in memory, restarts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio.lowlevel
import msgspec
import pytest
from aiohttp import web

from actors.monitor import Monitor, MonitorOptions
from actors.rules import webhooks
from actors.rules.webhooks import WebhookOptions
from actors.runtime import Actor, ActorSystem, ChildSpec, PersistentActor
from actors.runtime.simulation import MemoryJournal
from actors.webhooks import Webhooks, keys_of
from bus.address import Address
from bus.errors import ConfigError
from bus.messages.base import Command, Done, Event, Position
from bus.messages.monitor import MONITOR, AlertCleared, AlertRaised
from bus.messages.system import JOURNAL, EventPage, ReadEvents
from bus.messages.webhooks import WEBHOOKS, WebhookAdded, WebhookDelivered, WebhookOwed, WebhookUndelivered
from bus.switch import Switch

SOURCE = Address("source")
UNTIL_MAX_S = 30.0
ALERT = AlertRaised("disk", "disk", "full", 5)


class Say(Command[Done], frozen=True):
    """Asked of the source: record an alert, or its end."""

    wire_name = "say"

    is_raised: bool = True


class Nothing(msgspec.Struct):
    """No state."""


class Source(PersistentActor[Nothing]):
    """Records what webhooks are told of."""

    state_type = Nothing

    def initial(self) -> Nothing:
        return Nothing()

    def apply(self, event: Event) -> None:
        pass

    def on_say(self, say: Say) -> Done:
        self.persist(ALERT if say.is_raised else AlertCleared("disk"))
        return Done()


class Reader(Actor):
    """Reads events from the memory journal, unless they were pruned."""

    def __init__(self, place: "Place") -> None:
        self._place = place

    def on_read_events(self, query: ReadEvents) -> EventPage:
        stored = self._place.journal.stored
        found = tuple(event for event in stored if query.after < event.position < query.before)
        return EventPage(() if self._place.is_pruned else found, Position(query.before - 1), Position(len(stored)))


class Hook:
    """A receiver that answers as a test wants."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.calls: list[tuple[dict[str, str], bytes]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append((headers, await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    @property
    def told(self) -> list[str]:
        """The types of what was posted, in order."""
        return [msgspec.json.decode(body)["type"] for _, body in self.calls]


class Place:
    """The webhooks, a source of events, and the journal."""

    def __init__(self, *hooks: WebhookOptions, journal: MemoryJournal | None = None, has_monitor: bool = False) -> None:
        self.journal = journal or MemoryJournal()
        self.is_pruned = False
        self._has_monitor = has_monitor
        self._hooks = hooks

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ActorSystem]:
        async with ActorSystem(log=self.journal.log, history=self.journal) as system:
            await system.start(
                ChildSpec(JOURNAL, lambda: Reader(self)),
                ChildSpec(SOURCE, Source),
                ChildSpec(WEBHOOKS, lambda: Webhooks(self._hooks, {"SECRET": "shared"})),
            )
            if self._has_monitor:
                await system.start(ChildSpec(MONITOR, lambda: Monitor(MonitorOptions(), Switch())))
            yield system

    async def until(self, condition: Callable[[list[Event]], bool]) -> list[Event]:
        """The recorded events, once they are as wanted."""
        async with asyncio.timeout(UNTIL_MAX_S):
            while not condition(events := [record.event for record in self.journal.events]):
                await anyio.lowlevel.checkpoint()
        return events


def outcomes(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, WebhookDelivered | WebhookUndelivered)]


def hook_at(url: str, **changes: float | int | str) -> WebhookOptions:
    return msgspec.structs.replace(WebhookOptions(url, "desk", secret_env="SECRET", wait_s=0.001, tries=3), **changes)


async def say(system: ActorSystem, *, is_raised: bool = True) -> None:
    await system.ask(SOURCE, Say(is_raised), timeout_s=5.0)


async def test_an_event_reaches_the_webhook_signed_with_time_and_id_and_is_tried_until_it_is_taken() -> None:
    hook = Hook(500, 302, 200)
    async with hook.open() as url:
        place = Place(hook_at(url))
        async with place.open() as system:
            await say(system)
            (taken,) = outcomes(await place.until(lambda events: bool(outcomes(events))))
    assert isinstance(taken, WebhookDelivered)
    assert taken.tries == 3
    assert len({body for _, body in hook.calls}) == 1
    for headers, body in hook.calls:
        name, at = headers[webhooks.ID_HEADER], headers[webhooks.TIME_HEADER]
        assert headers[webhooks.SIGNATURE_HEADER] == webhooks.signature(name, at, body, b"shared")
        assert headers["idempotency-key"] == name == "1-2"
    told = msgspec.json.decode(hook.calls[0][1])
    assert (told["type"], told["data"]["cause"]) == ("alert.raised", "full")


async def test_what_is_never_taken_is_a_dead_letter_and_the_next_is_told_all_the_same() -> None:
    hook = Hook(500, 500, 500, 200)
    async with hook.open() as url:
        place = Place(hook_at(url))
        async with place.open() as system:
            await say(system)
            await say(system, is_raised=False)
            dead, taken = outcomes(await place.until(lambda events: len(outcomes(events)) == 2))
    assert isinstance(dead, WebhookUndelivered)
    assert (dead.reason, dead.tries, dead.topic) == ("HTTP 500", 3, "alert.raised")
    assert isinstance(taken, WebhookDelivered)
    assert hook.told == ["alert.raised"] * 3 + ["alert.cleared"]


async def test_what_was_owed_when_the_process_ended_is_told_after_the_next_start_and_only_that() -> None:
    hook = Hook()
    async with hook.open() as url:
        away = Place(hook_at(url))
        async with away.open() as system:
            await say(system)
            await away.until(lambda events: len(outcomes(events)) == 1)
            hook.statuses = [500] * 100
            await say(system, is_raised=False)
            await away.until(lambda events: isinstance(events[-1], WebhookOwed))
        owed = next(
            n for n in range(len(away.journal.stored), 0, -1) if away.journal.stored[n - 1].type.endswith("owed")
        )
        hook.statuses, hook.calls = [], []
        again = Place(hook_at(url), journal=away.journal.truncated(Position(owed)))
        async with again.open():
            await again.until(lambda events: len(outcomes(events)) == 2)
    assert hook.told == ["alert.cleared"]


async def test_a_fact_that_a_crash_left_unread_is_told_after_the_start() -> None:
    hook = Hook()
    async with hook.open() as url:
        place = Place(hook_at(url))
        async with place.open() as system:
            await say(system)
            await place.until(lambda events: bool(outcomes(events)))
        hook.calls = []
        kept = place.journal.truncated(Position(2))  # the webhook was added, the alert raised
        again = Place(hook_at(url), journal=kept)
        async with again.open():
            await again.until(lambda events: bool(outcomes(events)))
    assert hook.told == ["alert.raised"]


async def test_a_webhook_hears_nothing_of_what_happened_before_it_was_added() -> None:
    hook = Hook()
    async with hook.open() as url:
        before = Place()
        async with before.open() as system:
            await say(system)
        later = Place(hook_at(url), journal=before.journal)
        async with later.open() as system:
            await say(system, is_raised=False)
            events = await later.until(lambda events: bool(outcomes(events)))
    assert hook.told == ["alert.cleared"]
    assert WebhookAdded("desk", url, Position(1)) in events


async def test_one_webhook_that_hangs_keeps_no_other_waiting() -> None:
    hook = Hook()
    async with hook.open() as url:
        nowhere = hook_at("http://127.0.0.1:9/hook", name="nowhere", wait_s=60.0)
        place = Place(nowhere, hook_at(url))
        async with place.open() as system:
            await say(system)
            (taken,) = outcomes(await place.until(lambda events: bool(outcomes(events))))
    assert isinstance(taken, WebhookDelivered)
    assert taken.webhook == "desk"


async def test_an_event_that_was_pruned_meanwhile_is_a_dead_letter_that_says_so() -> None:
    place = Place(hook_at("http://127.0.0.1:9/hook"))
    place.is_pruned = True
    async with place.open() as system:
        await say(system)
        (dead,) = outcomes(await place.until(lambda events: bool(outcomes(events))))
    assert isinstance(dead, WebhookUndelivered)
    assert (dead.tries, "pruned" in dead.reason) == (0, True)


async def test_a_dead_letter_is_an_alert_of_which_the_others_hear_until_the_next_is_taken() -> None:
    broken, good = Hook(500, 500, 500), Hook()
    async with broken.open() as first, good.open() as second:
        place = Place(hook_at(first), hook_at(second, name="other"), has_monitor=True)
        async with place.open() as system:
            await say(system)
            await place.until(lambda _: good.told.count("alert.raised") == 2)
            await say(system, is_raised=False)
            await place.until(lambda _: good.told.count("alert.cleared") == 2)
    alerts = [msgspec.json.decode(body)["data"]["alert"] for _, body in good.calls]
    assert sorted(alerts) == ["dead_letters/desk", "dead_letters/desk", "disk", "disk"]


def test_a_secret_stands_in_the_environment_and_nowhere_else() -> None:
    hook = WebhookOptions("http://a", secret_env="DESK_SECRET")
    assert keys_of((hook, WebhookOptions("http://b")), {"DESK_SECRET": "s"}) == {"http://a": b"s"}
    with pytest.raises(ConfigError, match=r"webhooks\[0\]\.secret_env"):
        keys_of((hook,), {})
    with pytest.raises(ConfigError, match="base64"):
        keys_of((hook,), {"DESK_SECRET": "whsec_!"})
