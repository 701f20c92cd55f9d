"""HTTP for the memory: who asks decides what is read, and the words go through as they are."""

import msgspec
import pytest

from bus.messages.base import TaskId
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
from bus.refusals import MemoryFull, NotFound
from tests.web.support import READER, World, bearer, call

VIEW = FactView(FactId("f-1"), "the key", "hangs behind the clock", "operator", "operator", "everyone", (), 7, 0, 7)
PAGE = FactPage((VIEW,), FactId(""), 1)
AGENT = "agora_a-token-of-an-agent-0123456789abcdef"


def world() -> World:
    found = World()
    found.keyring.add_token(AGENT, "agents/scout", frozenset(("read", "agent")))
    found.gateway.replies |= {
        Remember: VIEW,
        CorrectFact: VIEW,
        EndFact: VIEW,
        Recall: PAGE,
        ListFacts: PAGE,
        ReadFact: FactHistory((VIEW,)),
    }
    return found


async def test_facts_are_remembered_with_key_readers_and_times() -> None:
    here = world()
    body = {
        "subject": "the key",
        "text": "hangs behind the clock",
        "audience": "named",
        "readers": ["agents/editor"],
        "valid_from": "2027-01-01T00:00:00Z",
        "valid_to": "2027-01-02T00:00:00Z",
        "task": "t-1",
    }
    headers = {**bearer(AGENT), "idempotency-key": "k"}
    made = await call(here.app, "POST", "/api/memory", headers=headers, body=msgspec.json.encode(body))
    assert made.status == 201
    assert made.json()["position"] == 0
    assert here.gateway.asked[-1][1] == Remember(
        "the key",
        "hangs behind the clock",
        "agents/scout",
        "named",
        ("agents/editor",),
        1_798_761_600_000_000,
        1_798_848_000_000_000,
        TaskId("t-1"),
        "k",
    )


async def test_corrections_and_ends_say_who_and_whether_it_is_the_operator() -> None:
    here = world()
    body = msgspec.json.encode({"text": "is lost", "reason": "nobody has it"})
    assert (await call(here.app, "POST", "/api/memory/f-1/correct", headers=bearer(AGENT), body=body)).status == 200
    f1 = FactId("f-1")
    assert (await call(here.app, "POST", "/api/memory/f-1/end", headers=bearer(), body=b'{"reason":"x"}')).status == 200
    assert [request for _, request in here.gateway.asked] == [
        CorrectFact(f1, "is lost", "agents/scout", "nobody has it"),
        EndFact(f1, "operator", "x", is_operator=True),
    ]


async def test_a_reader_is_who_the_token_names_and_nobody_without_one() -> None:
    here = world()
    for headers, name, is_operator in (
        ({}, "anonymous", False),
        (bearer(READER), "reader", False),
        (bearer(AGENT), "agents/scout", False),
        (bearer(), "operator", True),
    ):
        assert (await call(here.app, "GET", "/api/memory?query=key&limit=3", headers=headers)).status == 200
        assert (await call(here.app, "GET", "/api/memory/f-1", headers=headers)).status == 200
        assert [request for _, request in here.gateway.asked[-2:]] == [
            Recall("key", name, 3, 0, is_operator),
            ReadFact(FactId("f-1"), name, is_operator),
        ]


async def test_without_words_facts_are_listed_as_of_a_moment_and_from_a_place_on() -> None:
    here = world()
    path = "/api/memory?query=%20&as_of=2027-01-01T00:00:00Z&which=all&limit=7&after=f-9"
    assert (await call(here.app, "GET", path)).status == 200
    wished = ListFacts("anonymous", 7, FactId("f-9"), 1_798_761_600_000_000, "all")
    assert here.gateway.asked[-1][1] == wished


@pytest.mark.parametrize("query", ["which=some", "as_of=yesterday", "limit=0", "words=key"])
async def test_a_query_that_makes_no_sense_is_refused(query: str) -> None:
    assert (await call(world().app, "GET", f"/api/memory?{query}")).status == 422


async def test_whoever_only_reads_changes_nothing() -> None:
    here = world()
    for path in ("/api/memory", "/api/memory/f-1/correct", "/api/memory/f-1/end"):
        assert (await call(here.app, "POST", path, headers=bearer(READER), body=b"{}")).status == 403
        assert (await call(here.app, "POST", path, body=b"{}")).status == 401
    assert here.gateway.asked == []


async def test_refusals_are_problems_with_their_codes() -> None:
    here = world()
    here.gateway.replies |= {Remember: MemoryFull("agents/scout", "2 facts"), ReadFact: NotFound("fact", "f-9")}
    body = msgspec.json.encode({"subject": "a", "text": "b"})
    full = await call(here.app, "POST", "/api/memory", headers=bearer(AGENT), body=body)
    assert (full.status, full.json()["code"]) == (422, "memory_full")
    assert (await call(here.app, "GET", "/api/memory/f-9")).status == 404
