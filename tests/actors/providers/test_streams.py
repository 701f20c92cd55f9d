"""An answer on its way to its reader, as a running router hands it out."""

import asyncio

from bus.messages.completions import ROUTER, ReadStream, StreamCompletion
from tests.support.fault_server import TEXT, FaultServer, Sickness
from tests.support.routing import behind, request, routing


async def test_what_came_while_nobody_asked_arrives_as_one_part() -> None:
    async with FaultServer() as well, routing(behind(well.url)) as router:
        begun = await router.system.ask(ROUTER, StreamCompletion(request()))
        async with asyncio.timeout(30.0):
            while (await router.provider()).completed == 0:  # noqa: ASYNC110  # nobody tells who does not read
                await asyncio.sleep(0)
        part = await router.system.ask(ROUTER, ReadStream(begun.completion))
        assert part.outcome is not None
        assert (part.text, part.outcome.text) == (TEXT, TEXT)


async def test_a_reader_may_ask_again_for_what_it_has_lost() -> None:
    async with FaultServer() as well, routing(behind(well.url)) as router:
        begun = await router.system.ask(ROUTER, StreamCompletion(request()))
        while (await router.system.ask(ROUTER, ReadStream(begun.completion, len(TEXT)))).outcome is None:
            pass
        assert (await router.system.ask(ROUTER, ReadStream(begun.completion, 4))).text == TEXT[4:]


async def test_who_asks_twice_at_once_is_answered_on_the_later_question() -> None:
    async with FaultServer(Sickness.STREAM_HELD) as held, routing(behind(held.url)) as router:
        begun = await router.system.ask(ROUTER, StreamCompletion(request()))
        part = await router.system.ask(ROUTER, ReadStream(begun.completion))
        seen = len(part.text)
        first = asyncio.create_task(router.system.ask(ROUTER, ReadStream(begun.completion, seen)))
        await asyncio.sleep(0)
        second = asyncio.create_task(router.system.ask(ROUTER, ReadStream(begun.completion, seen)))
        assert (await first).text == ""
        held.release()
        assert TEXT[seen:].startswith((await second).text)
