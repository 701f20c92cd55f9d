"""What the whole market needs around it in virtual time: a slow disk, the journal's blobs, and a scripted model.

What they see at the edge of the process is checked there and then: a model that costs money is asked only for an intent
that is on disk.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from actors.approvals import Approvals
from actors.memory import Memory
from actors.providers import ModelReply, Prompt, Provider, ProviderFault, ProviderOptions
from actors.providers.dialect import HttpReply
from actors.providers.embeddings import Texts
from actors.providers.provider import Say
from actors.providers.transport import Transport
from actors.router import Router
from actors.rules.cascade import ErrorClass
from actors.runtime import Actor, ChildSpec
from actors.runtime.log import Blobs
from actors.runtime.simulation import MemoryJournal
from bus.clock import Clock
from bus.dice import Dice
from bus.envelope import Batch, Recorded, StoredEvent
from bus.messages.base import CompletionId, Position, TaskId
from bus.messages.completions import CompletionCompleted, CompletionFailed, CompletionRequested, CompletionUnknown
from bus.messages.routing import AllowanceDrawn, AllowanceLost, AllowanceReturned
from bus.messages.system import Blob, EventPage, ReadBlob, ReadEvents
from bus.messages.tasks import TaskCreated
from bus.refusals import NotFound
from bus.topics import matches_any

WRITE_S_MAX = 0.4
"""The slowest commit: much is in flight when a process crashes."""
ANSWER_S_MAX = 4.0
"""The slowest answer of a model."""
TOKENS = 50
FAULTS = (ErrorClass.SERVER, ErrorClass.TIMEOUT, ErrorClass.TRUNCATED, ErrorClass.EMPTY, ErrorClass.THROTTLED)
MODELS = ("first", "second")
PROVIDERS = tuple(
    ProviderOptions(
        name,
        "openai",
        base_url=f"http://{name}.test/v1",
        model=f"{name}-1",
        price_in=Decimal(1),
        price_out=Decimal(1),
        timeout_s=10.0,
    )
    for name in MODELS
)
"""Both cost money: what is free need not wait for the commit of its intent."""


class Disk(MemoryJournal):
    """A journal whose commits take their time."""

    def __init__(self, dice: Dice, clock: Clock) -> None:
        self._decoded_events: list[Recorded] = []
        self.committed_s: dict[Position, float] = {}
        """When each event was committed, on the monotonic side of the clock."""
        super().__init__(clock=clock)
        self._dice = dice
        self._wall = clock

    @property
    def events(self) -> list[Recorded]:
        """All events; each is decoded once."""
        self._decoded_events.extend(self._decoded(stored) for stored in self.stored[len(self._decoded_events) :])
        return self._decoded_events

    async def write(self, batch: Batch, blobs: Blobs) -> None:
        await asyncio.sleep(self._dice.uniform(0, WRITE_S_MAX))
        await super().write(batch, blobs)
        now_s = self._wall.monotonic_s()
        self.committed_s.update({event.position: now_s for event in batch.events})

    def left_by_crash(self) -> "Disk":
        """What is on it now: what was committed, and the checkpoints of that."""
        left = Disk(self._dice, self._wall)
        left.keep(self.events)
        left.blobs.update(self.blobs)
        left.snapshots.update(self.snapshots)
        left.committed_s.update(self.committed_s)
        return left


class Shelf(Actor):
    """The journal's actor, without a disk: it reads events and blobs."""

    def __init__(self, disk: MemoryJournal) -> None:
        self._disk = disk

    def on_read_events(self, query: ReadEvents) -> EventPage:
        head = self._disk.head
        last = min(head, query.before - 1) if query.before else head
        found = [event for event in self._disk.stored[query.after : last] if _is_wanted(event, query)]
        if query.is_newest_first:
            found.reverse()
        page = tuple(found[: query.limit])
        end = Position(query.after + 1) if query.is_newest_first else Position(last)
        return EventPage(page, page[-1].position if len(found) > query.limit else end, head)

    def on_read_blob(self, query: ReadBlob) -> Blob:
        content = self._disk.blobs.get(query.blob)
        if content is None:
            raise NotFound("blob", query.blob)
        return Blob(query.blob, content)


class ScriptedModel:
    """A provider that answers late, or not, as the dice say."""

    def __init__(self, disk: MemoryJournal, dice: Dice, problems: list[str]) -> None:
        self._disk = disk
        self._dice = dice
        self._problems = problems
        """What must not be; raised here it would be the router's fault, and no more."""
        self.is_healthy = False
        """Whether it answers always."""

    async def complete(self, prompt: Prompt, *, limit_s: float) -> ModelReply:
        """Answer, or raise `ProviderFault`."""
        self._check_intent(prompt)
        drawn = 1.0 if self.is_healthy else self._dice.random()
        if drawn < 0.05:
            await asyncio.sleep(limit_s)
            raise ProviderFault(ErrorClass.TIMEOUT, "no whole reply in time")
        await asyncio.sleep(min(limit_s, self._dice.uniform(0, ANSWER_S_MAX)))
        if drawn < 0.25:
            raise ProviderFault(self._dice.choice(FAULTS), "the script says so", retry_after_s=1.0)
        return ModelReply(f"Said of {_title(prompt)}", prompt.model, TOKENS, TOKENS, "stop")

    async def stream(self, prompt: Prompt, say: Say, *, limit_s: float) -> ModelReply:
        """Answer in one piece."""
        reply = await self.complete(prompt, limit_s=limit_s)
        say(reply.text)
        return reply

    async def embed(self, asked: Texts, *, limit_s: float) -> ModelReply:
        """Nobody here asks for vectors."""
        raise ProviderFault(ErrorClass.SERVER, "the script has no vectors")

    def release(self) -> None:
        """It has started nothing."""

    async def close(self) -> None:
        """As above."""

    def _check_intent(self, prompt: Prompt) -> None:
        """On disk must be an intent for this prompt's task, and not its end; or the money that such calls run on."""
        begun: set[CompletionId] = set()
        tasks: set[TaskId] = set()
        is_covered = False
        for record in self._disk.events:
            match record.event:
                case TaskCreated() as created if created.spec.title == _title(prompt):
                    tasks.add(created.task)
                case CompletionRequested() as requested if requested.task in tasks:
                    begun.add(requested.completion)
                case CompletionCompleted() | CompletionFailed() | CompletionUnknown() as ended:
                    begun.discard(ended.completion)
                case AllowanceDrawn() | AllowanceReturned() | AllowanceLost() as allowance:
                    is_covered = isinstance(allowance, AllowanceDrawn)
                case _:
                    pass
        if not (begun or is_covered):
            self._problems.append(f"a model is asked about {_title(prompt)!r}, and nothing on disk says so")


class Net(Transport):
    """The net as the health checks of providers see it: it answers, or not, as the dice say."""

    def __init__(self, dice: Dice) -> None:
        super().__init__()
        self._dice = dice

    async def get(self, url: str, *, limit_s: float) -> HttpReply:
        await asyncio.sleep(self._dice.uniform(0, 1))
        if self._dice.random() < 0.5:
            raise ProviderFault(ErrorClass.CONNECT, "the script says so")
        return HttpReply(200, {}, b"{}")


def scripted(spec: ChildSpec, models: Mapping[str, Provider], net: Transport) -> ChildSpec:
    """A spec whose actor meets scripted models and a scripted net, and no repositories."""

    def make() -> Actor:
        actor = spec.factory()
        if isinstance(actor, Router):
            actor._transport = net
            for name, model in models.items():
                actor._seats.seat(name).provider = model
        elif isinstance(actor, Approvals):
            actor._git._repositories.clear()
        elif isinstance(actor, Memory):
            actor._make_key = lambda: "5" * 64  # the same in every run of a seed
        return actor

    return msgspec.structs.replace(spec, factory=make)


def _is_wanted(event: StoredEvent, query: ReadEvents) -> bool:
    return (
        (not query.types or matches_any(query.types, event.type))
        and (not query.source or event.source == query.source)
        and (not query.task or event.task == query.task)
        and (not query.agent or event.agent == query.agent)
        and event.time_us >= query.since_us
    )


def _title(prompt: Prompt) -> str:
    return prompt.messages[-1].content.splitlines()[0]
