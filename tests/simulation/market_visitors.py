"""Programs of others that work in the simulated market: they hear of auctions over a socket, bid, work, fall silent.

A program outlives the server. It knows what it was given, says so until it is heard or has lost patience, and notes
when it last said that it still works: a lease must not run out sooner than its period after that.
"""

import asyncio
from collections.abc import Coroutine

import msgspec

from bus.dice import Dice
from bus.messages.base import AgentId, Position, TaskId
from tests.simulation.market_edge import ANSWER_S_MAX, Client, Frame, Watch
from web.wire import WireEvent

BEAT_S_MAX = 8.0
"""Well within a lease."""
SILENCE_S = 40.0
"""Much longer than a lease."""
BEATS_MAX = 8
TRIES_MAX = 4
"""How often a program says the same before it gives up."""


class Told(msgspec.Struct, frozen=True):
    """What a program reads of the events that it hears."""

    task: TaskId = TaskId("")
    agent: AgentId = AgentId("")
    attempt: int = 0
    capability: str = ""


class Program(Client):
    """One agent of another program."""

    def __init__(
        self, agent: AgentId, capabilities: tuple[str, ...], watch: Watch, dice: Dice, tasks: asyncio.TaskGroup
    ) -> None:
        super().__init__(agent, watch, dice, token=f"a token of {agent}, which only this simulation knows")
        self.agent = agent
        self.renewed: dict[tuple[TaskId, int], float] = {}
        """When it said last that it works, of what was heard; the server heard it then or later."""
        self.lease_s: dict[tuple[TaskId, int], float] = {}
        self._capabilities = capabilities
        self._tasks = tasks
        self._at_work: set[asyncio.Task[None]] = set()

    async def subscribe(self) -> bool:
        """Follow the market, and be an agent in it."""
        wish = {"sub": "work", "topics": ["task.*", "bidder.invited"], **self.beginning}
        if await self.ask("subscribe", wish) is None:
            return False
        registration = {"capabilities": self._capabilities, "concurrency_max": 2}
        return await self.ask("agent.register", registration) is not None

    def hear(self, frame: Frame) -> None:
        if frame.t != "batch":
            return
        self.go_on(frame)
        for one in frame.events:
            event = msgspec.json.decode(one, type=WireEvent)
            self._react(event.type, event.position, msgspec.json.decode(event.data, type=Told))

    def rest(self) -> None:
        """Stop everything that is under way."""
        for task in self._at_work:
            task.cancel()

    def _react(self, type_: str, position: Position, told: Told) -> None:
        match type_:
            case "task.bidding" if told.capability in ("", *self._capabilities):
                self._begin(self._bid(told.task))
            case "bidder.invited" if told.agent == self.agent:
                self._begin(self._bid(told.task))
            case "task.assigned" if told.agent == self.agent:
                self._begin(self._work(told.task, told.attempt))
            case _:
                pass

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = self._tasks.create_task(work, name=f"{self.name} at work")
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _bid(self, task: TaskId) -> None:
        await asyncio.sleep(self.dice.uniform(0, 0.5))
        drawn = self.dice.random()
        if drawn < 0.8:
            await self.ask("bid.submit", {"task": task, "price_msat": self.dice.choice((100, 250, 400))})
        elif drawn < 0.9:
            await self.ask("bid.decline", {"task": task})

    async def _work(self, task: TaskId, attempt: int) -> None:
        """Begin, keep the lease, deliver; or give up, or fall silent for longer than anyone waits."""
        if not await self._insist("work.start", task, attempt):
            return
        for _ in range(self.dice.index(BEATS_MAX)):
            await asyncio.sleep(self.dice.uniform(1, BEAT_S_MAX))
            await self._renew(task, attempt)
        drawn = 1.0 if self.is_calm else self.dice.random()
        if drawn < 0.1:
            return
        if drawn < 0.2:
            await asyncio.sleep(SILENCE_S)
        if drawn < 0.3:
            await self._insist("work.fail", task, attempt, reason="it is too hard")
        else:
            await self._deliver(task, attempt)

    async def _renew(self, task: TaskId, attempt: int) -> None:
        said_s = asyncio.get_running_loop().time()
        answer = await self.ask("work.heartbeat", {"task": task, "attempt": attempt})
        if answer is not None:
            self.renewed[task, attempt] = said_s
            self.lease_s[task, attempt] = answer.lease_s

    async def _insist(self, method: str, task: TaskId, attempt: int, **more: str) -> bool:
        for _ in range(TRIES_MAX):
            if await self.ask(method, {"task": task, "attempt": attempt, **more}) is not None:
                return True
            await asyncio.sleep(self.dice.uniform(0, ANSWER_S_MAX))
        return False

    async def _deliver(self, task: TaskId, attempt: int) -> None:
        """Over HTTP, where a text becomes an artifact; the same again is the same."""
        body = {"attempt": attempt, "text": f"What {self.agent} made of {task}.", "summary": "done"}
        for _ in range(TRIES_MAX):
            door = self.door
            if door is not None and not door.is_shut:
                response = await door.request("POST", f"/api/tasks/{task}/complete", self.token, body)
                self.check(response is None or response.status != 500, "the server has a fault")
                if response is not None and response.status == 200:
                    position = response.json()["position"]
                    assert isinstance(position, int)
                    self.check(position <= self.watch.disk.head, f"an answer of {position} left too early")
                    return
            await asyncio.sleep(self.dice.uniform(0, ANSWER_S_MAX))
