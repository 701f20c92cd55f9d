"""A running router over real sockets, on a journal in memory and a clock that stands still unless it is moved."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TypeVar

import msgspec

from actors.providers import ProviderOptions
from actors.providers.options import DialectName
from actors.providers.settings import RouterOptions
from actors.router import Neighbours, Router
from actors.rules.cascade import CascadeOptions
from actors.rules.recordings import Recordings
from actors.runtime import Actor, ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from bus.clock import VirtualClock
from bus.messages.base import AgentId, Done, Event
from bus.messages.completions import (
    ROUTER,
    ChatMessage,
    Complete,
    Completion,
    ProviderView,
    ReadRouter,
    ReadStream,
    RouterView,
    StreamCompletion,
)
from bus.messages.system import JOURNAL, SaveCheckpoint
from bus.switch import Switch

E = TypeVar("E", bound=Event)

DOCUMENT = "Agora runs a society of agents. It keeps every event in one journal. Nothing acknowledged is ever lost."
FIRST = "primary"
QUICK = CascadeOptions(round_delay_s=0.01)


class Checkpoints(Actor):
    """Stands where the journal is, and notes who wants a checkpoint."""

    def __init__(self, wanted: list[SaveCheckpoint]) -> None:
        self._wanted = wanted

    def on_save_checkpoint(self, wanted: SaveCheckpoint) -> Done:
        self._wanted.append(wanted)
        return Done()


class Routing:
    """A running router and its journal."""

    def __init__(self, system: ActorSystem, journal: MemoryJournal, clock: VirtualClock) -> None:
        self.system = system
        self.journal = journal
        self.clock = clock
        self.checkpoints: list[SaveCheckpoint] = []

    async def complete(self, *, deadline_s: float = 5.0, agent: str = "scout", model: str = "") -> Completion:
        asked = request(deadline_s=deadline_s, agent=agent, model=model)
        return await self.system.ask(ROUTER, asked, timeout_s=10)

    async def stream(self, asked: Complete, heard: list[str] | None = None) -> Completion:
        """Read a stream to its end; `heard` takes the parts as they come."""
        begun = await self.system.ask(ROUTER, StreamCompletion(asked))
        seen, restarts = 0, 0
        while True:
            part = await self.system.ask(ROUTER, ReadStream(begun.completion, seen, restarts), timeout_s=10)
            if part.restarts != restarts:
                seen, restarts = 0, part.restarts
                if heard is not None:
                    heard.clear()
            seen += len(part.text)
            if heard is not None and part.text:
                heard.append(part.text)
            if part.outcome is not None:
                return part.outcome

    async def view(self) -> RouterView:
        return await self.system.ask(ROUTER, ReadRouter())

    async def provider(self, name: str = FIRST) -> ProviderView:
        return next(provider for provider in (await self.view()).providers if provider.name == name)

    def events(self, kind: type[E]) -> list[E]:
        return [record.event for record in self.journal.events if isinstance(record.event, kind)]

    def state(self) -> bytes:
        return self.system.snapshots()[ROUTER].state


def request(
    text: str = DOCUMENT, *, deadline_s: float = 5.0, agent: str = "scout", model: str = "", tokens_max: int = 100
) -> Complete:
    messages = (ChatMessage("user", text),)
    return Complete(messages, tokens_max=tokens_max, deadline_s=deadline_s, agent=AgentId(agent), model=model)


def behind(
    url: str,
    name: str = FIRST,
    *,
    price: str = "0",
    timeout_s: float = 5.0,
    key_env: str = "",
    concurrency_max: int = 100,
    models: tuple[str, ...] = (),
    dialect: DialectName = "openai",
    stall_s: float = 5.0,
) -> ProviderOptions:
    return ProviderOptions(
        name=name,
        dialect=dialect,
        base_url=f"{url}/v1" if dialect == "openai" else url,
        first_token_timeout_s=stall_s,
        stall_timeout_s=stall_s,
        model="tiny",
        models=models,
        key_env=key_env,
        price_in=Decimal(price),
        price_out=Decimal(price),
        timeout_s=timeout_s,
        concurrency_max=concurrency_max,
    )


def able(options: ProviderOptions) -> ProviderOptions:
    """The same provider, which declares all that a model can do."""
    return msgspec.structs.replace(options, capabilities=("tools", "vision", "json"))


@asynccontextmanager
async def routing(
    *providers: ProviderOptions,
    journal: MemoryJournal | None = None,
    clock: VirtualClock | None = None,
    environment: Mapping[str, str] | None = None,
    options: RouterOptions | None = None,
    neighbours: Neighbours | None = None,
    recordings: Recordings | None = None,
    switch: Switch | None = None,
    others: Sequence[ChildSpec] = (),
) -> AsyncIterator[Routing]:
    journal, clock = journal or MemoryJournal(), clock or VirtualClock()
    options = msgspec.structs.replace(options or RouterOptions(cascade=QUICK), providers=providers)
    async with ActorSystem(log=journal.log, history=journal, clock=clock) as system:
        routing = Routing(system, journal, clock)
        await system.start(
            ChildSpec(JOURNAL, lambda: Checkpoints(routing.checkpoints)),
            *others,
            ChildSpec(
                ROUTER,
                lambda: Router(options, environment or {}, switch, neighbours=neighbours, recordings=recordings),
            ),
        )
        yield routing
