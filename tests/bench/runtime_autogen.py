"""autogen-core beside the runtime, in its own words: its single-threaded runtime, with sends that return the reply.

It has no tell: `send_message` is an ask, and `publish_message` starts a task per subscriber.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler

from tests.bench.harness import Figure, Sample, Scale, compare_rates, stopwatch
from tests.bench.runtime import our_asks

ASKS = 2_000


@dataclass
class Number:
    """What is asked and answered."""

    number: int


class AutogenCounter(RoutedAgent):
    """Gives numbers back."""

    def __init__(self) -> None:
        super().__init__("a counter")

    @message_handler
    async def on_number(self, message: Number, ctx: MessageContext) -> Number:
        return message


async def figures(scale: Scale) -> AsyncIterator[Figure]:
    """The same asks, ours and autogen-core's."""
    asks = scale.count(ASKS)

    async def mine() -> Sample:
        return await our_asks(asks)

    async def theirs() -> Sample:
        return await _asks(asks)

    async for figure in compare_rates("ask, beside autogen-core", "replies", mine, theirs, scale=scale):
        yield figure


async def _asks(count: int) -> Sample:
    runtime = SingleThreadedAgentRuntime()
    await AutogenCounter.register(runtime, "counter", AutogenCounter)
    counter = AgentId("counter", "default")
    runtime.start()
    with stopwatch() as watch:
        for number in range(count):
            reply = await runtime.send_message(Number(number), counter)
            assert reply.number == number
    await runtime.stop_when_idle()
    return watch.sample(count)
