"""A completion that is read at the edge."""

import pytest

from actors.providers.discovery import EXTRACTIVE
from bus.clock import SystemClock
from bus.refusals import StreamBroken
from tests.support.fault_server import TEXT, FaultServer, Sickness
from tests.support.routing import DOCUMENT, Routing, behind, request, routing
from tests.web.support import World
from web.answers import Answer
from web.edge import Edge


def edge(router: Routing) -> Edge:
    world = World()
    return Edge(gateway=router.system, hub=world.hub, keyring=world.keyring, options=world.options, clock=SystemClock())


async def test_what_is_read_word_by_word_comes_in_parts_that_make_up_the_answer() -> None:
    async with FaultServer(Sickness.STREAM_HELD) as held, routing(behind(held.url)) as router:
        answer = await Answer.begin(edge(router), request(), is_streamed=True)
        part = await answer.more()
        heard = [part.text]
        held.release()
        while part.outcome is None:
            part = await answer.more()
            heard.append(part.text)
        assert ("".join(heard), part.outcome.text) == (TEXT, TEXT)
        answer.end()
        assert (await router.provider()).in_flight == 0


async def test_what_is_read_word_by_word_ends_with_the_stream_that_breaks() -> None:
    async with FaultServer(Sickness.BREAKS) as sick, routing(behind(sick.url), EXTRACTIVE) as router:
        answer = await Answer.begin(edge(router), request(), is_streamed=True)
        first = await answer.more()
        assert first.text
        assert TEXT.startswith(first.text)
        with pytest.raises(StreamBroken):
            await answer.more()


async def test_what_is_read_as_a_whole_begins_anew_and_its_parts_too() -> None:
    async with FaultServer(Sickness.BREAKS) as sick, routing(behind(sick.url), EXTRACTIVE) as router:
        answer = await Answer.begin(edge(router), request(), is_streamed=False)
        part = await answer.more()
        while part.outcome is None:
            part = await answer.more()
        assert (part.outcome.text, part.restarts) == (DOCUMENT, 1)


async def test_who_leaves_early_ends_the_call() -> None:
    async with FaultServer(Sickness.STALLS) as stalling, routing(behind(stalling.url, stall_s=60.0)) as router:
        answer = await Answer.begin(edge(router), request(deadline_s=60.0), is_streamed=True)
        await answer.more()
        answer.end()
        await stalling.all_closed()
        assert (await router.provider()).in_flight == 0
