"""What the whole market needs around it in virtual time: a slow disk, the journal's blobs, and a scripted model.

What they see at the edge of the process is checked there and then: a model that costs money is asked only for an intent
that is on disk.
"""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal

from actors.providers import ModelReply, Prompt, Provider, ProviderFault, ProviderOptions
from actors.providers.provider import Say
from actors.providers.settings import RouterOptions
from actors.router import Router
from actors.rules.cascade import ErrorClass
from actors.runtime import Actor
from actors.runtime.log import Blobs
from actors.runtime.simulation import MemoryJournal
from bus.clock import Clock
from bus.dice import Dice
from bus.envelope import EncodedEvent, Recorded, StoredEvent
from bus.messages.base import CompletionId, TaskId
from bus.messages.completions import CompletionCompleted, CompletionFailed, CompletionRequested, CompletionUnknown
from bus.messages.system import Blob, ReadBlob
from bus.messages.tasks import TaskCreated
from bus.refusals import NotFound

WRITE_S_MAX = 0.4
"""The slowest commit: much is in flight when a process crashes."""
ANSWER_S_MAX = 4.0
"""The slowest answer of a model."""
TOKENS = 50
FAULTS = (ErrorClass.SERVER, ErrorClass.TIMEOUT, ErrorClass.TRUNCATED, ErrorClass.EMPTY, ErrorClass.THROTTLED)
MODELS = ("first", "second")


class Disk(MemoryJournal):
    """A journal whose commits take their time."""

    def __init__(self, dice: Dice, clock: Clock) -> None:
        self._decoded_events: list[Recorded] = []
        super().__init__(clock=clock)
        self._dice = dice
        self._wall = clock

    @property
    def events(self) -> list[Recorded]:
        """All events; each is decoded once."""
        self._decoded_events.extend(self._decoded(stored) for stored in self.stored[len(self._decoded_events) :])
        return self._decoded_events

    async def write(self, events: Sequence[EncodedEvent], blobs: Blobs) -> tuple[StoredEvent, ...]:
        await asyncio.sleep(self._dice.uniform(0, WRITE_S_MAX))
        return await super().write(events, blobs)

    def left_by_crash(self) -> "Disk":
        """What is on it now: what was committed, and the checkpoints of that."""
        left = Disk(self._dice, self._wall)
        left._keep(left.encode(self.events))
        left.blobs.update(self.blobs)
        left.snapshots.update(self.snapshots)
        return left


class Shelf(Actor):
    """Reads blobs, as the journal's actor does."""

    def __init__(self, disk: MemoryJournal) -> None:
        self._disk = disk

    def on_read_blob(self, query: ReadBlob) -> Blob:
        content = self._disk.blobs.get(query.blob)
        if content is None:
            raise NotFound("blob", query.blob)
        return Blob(query.blob, content)


class ScriptedModel:
    """A provider that answers late, or not, as the dice say."""

    def __init__(self, disk: MemoryJournal, dice: Dice) -> None:
        self._disk = disk
        self._dice = dice
        self.calls = 0
        self.is_healthy = False
        """Whether it answers always."""

    async def complete(self, prompt: Prompt, *, limit_s: float) -> ModelReply:
        """Answer, or raise `ProviderFault`."""
        self.calls += 1
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

    def _check_intent(self, prompt: Prompt) -> None:
        """An intent for this prompt's task must be on disk, and not its end."""
        begun: set[CompletionId] = set()
        tasks: set[TaskId] = set()
        for record in self._disk.events:
            match record.event:
                case TaskCreated() as created if created.spec.title == _title(prompt):
                    tasks.add(created.task)
                case CompletionRequested() as requested if requested.task in tasks:
                    begun.add(requested.completion)
                case CompletionCompleted() | CompletionFailed() | CompletionUnknown() as ended:
                    begun.discard(ended.completion)
                case _:
                    pass
        assert begun, f"a model is asked about {_title(prompt)!r}, and the intent is not on disk"


class ScriptedRouter(Router):
    """The router, with scripted models in its seats."""

    def __init__(self, models: Mapping[str, Provider]) -> None:
        # Both cost money: what is free need not wait for the commit of its intent.
        options = tuple(
            ProviderOptions(
                name,
                "openai",
                base_url=f"http://{name}.test/v1",
                model=f"{name}-1",
                price_in=Decimal(1),
                price_out=Decimal(1),
                timeout_s=10.0,
            )
            for name in models
        )
        super().__init__(RouterOptions(providers=options), {})
        for name, model in models.items():
            self._seats.seat(name).provider = model


def _title(prompt: Prompt) -> str:
    return prompt.messages[-1].content.splitlines()[0]
