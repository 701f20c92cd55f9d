"""The SDK's part for the memory, against the real application."""

from bus.messages.memory import (
    CorrectFact,
    EndFact,
    FactHistory,
    FactId,
    FactPage,
    FactView,
    ListFacts,
    ReadFact,
    Recall,
    Remember,
)
from tests.web.support import TOKEN, World, served
from web.client import AgoraClient

F1 = FactId("f-1")
VIEW = FactView(F1, "the key", "hangs behind the clock", "operator", "operator", "everyone", (), 7, 0, 7)
PAGE = FactPage((VIEW,), F1, 1)


async def test_facts_are_remembered_recalled_listed_corrected_and_ended() -> None:
    world = World()
    world.gateway.replies |= {
        Remember: VIEW,
        CorrectFact: VIEW,
        EndFact: VIEW,
        Recall: PAGE,
        ListFacts: PAGE,
        ReadFact: FactHistory((VIEW,)),
    }
    async with served(world) as url, AgoraClient(url, token=TOKEN) as agora:
        assert await agora.memory.remember("the key", "hangs", audience="named", readers=["ann"], key="k") == VIEW
        assert await agora.memory.recall("the key", limit=3) == PAGE
        assert await agora.memory.all(which="all", after="f-9") == PAGE
        assert (await agora.memory.history("f-1")).versions == (VIEW,)
        assert await agora.memory.correct("f-1", "moved", reason="why", key="l") == VIEW
        assert await agora.memory.end("f-1", reason="gone") == VIEW
    asked = [request for _, request in world.gateway.asked]
    assert asked == [
        Remember("the key", "hangs", "operator", "named", ("ann",), idempotency_key="k"),
        Recall("the key", "operator", 3, is_operator=True),
        ListFacts("operator", 50, FactId("f-9"), which="all", is_operator=True),
        ReadFact(F1, "operator", is_operator=True),
        CorrectFact(F1, "moved", "operator", "why", is_operator=True, idempotency_key="l"),
        EndFact(F1, "operator", "gone", is_operator=True),
    ]
