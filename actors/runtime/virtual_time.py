"""An event loop whose time is made up and whose order is drawn: a seed is a run.

Rules: nothing waits for real; when nothing is ready, time jumps to the next timer. Callbacks that are ready together
run in an order that the seed draws. What would bring in the world outside, such as a thread, a socket or a signal, is
an error. Where nothing is ready and no timer is set, the run is stuck, and that is an error too; so are an exception
that nobody took and a task that is left running at the end.
"""

import asyncio
import contextvars
import heapq
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

from bus.dice import Dice

T = TypeVar("T")
Result = TypeVar("Result", covariant=True)
Ts = TypeVarTuple("Ts")

START_US = 1_750_000_000_000_000
"""The wall clock when a run begins: some day in June 2025."""
CALLBACKS_MAX = 5_000_000
"""A run that needs more than this does not end."""


class NothingLeftToRun(RuntimeError):
    """The run is stuck: it waits for something that nobody will do."""


class LeftBehind(RuntimeError):
    """The run is over, and something goes on or went wrong unseen."""


class VirtualClock:
    """The loop's time as a `Clock`; the wall may be stepped apart from it."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop
        self._wall_us = START_US

    def now_us(self) -> int:
        return self._wall_us + round(self._loop.time() * 1_000_000)

    def monotonic_s(self) -> float:
        return self._loop.time()

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP does; the monotonic side does not notice."""
        self._wall_us += round(seconds * 1_000_000)


class NumberedTask(asyncio.Task[T]):
    """A task with a number of its run, which is its hash and its place among what is ready.

    Task groups and cancel scopes keep their tasks in sets and would go through them by their places in memory, which
    differ from run to run.
    """

    def __init__(
        self,
        number: int,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        loop: "VirtualLoop",
        name: str | None,
        context: contextvars.Context | None,
    ) -> None:
        self.number = number  # first of all, since asyncio puts the task into a set before its `__init__` is over
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.AbstractEventLoop):
    """The loop. What it does not define raises NotImplementedError: the world outside is not there."""

    def __init__(self, dice: Dice) -> None:
        self.clock = VirtualClock(self)
        self.problems: list[str] = []
        """What was reported to the loop because nobody else took it."""
        self._dice = dice
        self._time_s = 0.0
        self._ready: list[tuple[int, asyncio.Handle]] = []
        """What is ready, each with the number of the task that it goes on with, or 0."""
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_made = 0
        self._tasks_made = 0
        self._callbacks_left = CALLBACKS_MAX
        self._is_running = False
        self._is_closed = False

    def time(self) -> float:
        return self._time_s

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        task = getattr(callback, "__self__", None)
        self._ready.append((task.number if isinstance(task, NumberedTask) else 0, handle))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._time_s + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, handle))
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[T]":
        self._tasks_made += 1
        named = str(name) if name is not None else None
        return NumberedTask(self._tasks_made, coro, loop=self, name=named, context=context)

    def get_task_factory(self) -> None:
        """None: tasks are asyncio's own; anyio asks."""

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Run until the main task is done. Raises NothingLeftToRun when it never will be."""
        assert not isinstance(future, Generator), "coroutines of today are awaitable"
        main: asyncio.Future[T] = asyncio.ensure_future(future, loop=self)
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._finish_generator)
        asyncio.events._set_running_loop(self)
        self._is_running = True
        try:
            while not main.done():
                self._step(main)
        finally:
            self._is_running = False
            asyncio.events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
        return main.result()

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True
        self._ready.clear()
        self._timers.clear()

    def allow(self, callbacks: int) -> None:
        """Let the run make so many callbacks from now on."""
        self._callbacks_left = callbacks

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.problems.append(f"{context.get('message')}: {error!r}" if error else str(context.get("message")))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the heap until its time; asyncio's handles tell their loop."""

    def _step(self, main: "asyncio.Future[T]") -> None:
        """Run all that is ready, in an order of the seed's; what becomes ready meanwhile is for the next step."""
        if not self._ready:
            self._jump(main)
        batch, self._ready = sorted(self._ready, key=_number), []
        while batch:
            _, handle = batch.pop(self._dice.index(len(batch)) if len(batch) > 1 else 0)
            if not handle.cancelled():
                self._callbacks_left -= 1
                if self._callbacks_left < 0:
                    raise NothingLeftToRun(f"the run has made {CALLBACKS_MAX} callbacks and does not end")
                handle._run()

    def _jump(self, main: "asyncio.Future[T]") -> None:
        """Let time pass until the next timer, and make all of its moment ready."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            waiting = sorted(task.get_name() for task in asyncio.all_tasks(self))
            raise NothingLeftToRun(f"nothing is ready and no timer is set; these wait: {', '.join(waiting)}")
        self._time_s = max(self._time_s, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._time_s:
            self._ready.append((0, heapq.heappop(self._timers)[2]))

    def _finish_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._is_closed:
            self.create_task(_close(generator), name="an asynchronous generator")


def _number(ready: tuple[int, asyncio.Handle]) -> int:
    return ready[0]


async def _close(generator: AsyncGenerator[Any, Any]) -> None:
    await generator.aclose()


class Build(Protocol[Result]):
    """What is simulated: a coroutine function over the simulation's parts."""

    def __call__(self, simulation: "Simulation", /) -> Coroutine[Any, Any, Result]: ...


class Simulation:
    """The parts of one simulated run: its clock, and dice of its own for what the run draws."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.seed = seed
        self.clock = loop.clock
        self.dice = Dice(f"{seed}/run")
        self.order = Dice(f"{seed}/order")
        """For `ActorSystem(order=...)`: which actor runs next."""

    async def pass_time(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)


def simulate(seed: int, build: "Build[T]") -> T:
    """Run `build` on a virtual-time loop whose order `seed` draws; a failure carries the seed that repeats it.

    Raises what the run raises, NothingLeftToRun when it is stuck, and LeftBehind when it leaves something behind.
    """
    # What the loop lacks is the world outside, and to ask for it shall fail.
    loop = VirtualLoop(Dice(f"{seed}/loop"))  # type: ignore[abstract]
    try:
        result = loop.run_until_complete(build(Simulation(seed, loop)))
        left = sorted(task.get_name() for task in asyncio.all_tasks(loop))
        if left:
            raise LeftBehind(f"still running at the end: {', '.join(left)}")
        if loop.problems:
            raise LeftBehind("; ".join(loop.problems))
    except BaseException as error:
        error.add_note(f"seed {seed}: simulate({seed}, ...) repeats this run")
        raise
    finally:
        loop.allow(CALLBACKS_MAX)
        _cancel_rest(loop)
        loop.close()
    return result


def _cancel_rest(loop: VirtualLoop) -> None:
    """End what a failed run has left, so that its coroutines are not destroyed while they wait."""
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if not rest:
        return

    async def ended() -> None:
        await asyncio.wait(rest, timeout=1.0)

    loop.run_until_complete(ended())
