"""Completions as they were, and the cascade's settings and money, over HTTP."""

import asyncio

import aiohttp
import anyio
import msgspec
import pytest

from bus.messages.base import AgentId, CompletionId, Done, Message, TaskId
from bus.messages.completions import CancelCompletion
from bus.messages.routing import (
    Reconciled,
    ReconcileSpending,
    Reloaded,
    ReloadSettings,
    ResetProvider,
    WordsSaid,
)
from bus.messages.transcripts import ListTranscripts, ReadTranscript, TranscriptPage, TranscriptSummary
from bus.refusals import NotFound, SettingsUnusable
from tests.actors.rules.test_recordings import trace, transcript
from tests.web.support import READER, World, bearer, call, served

SUMMARY = TranscriptSummary(CompletionId("m-1"), AgentId("scout"), TaskId("t-1"), 5, 0.5, "answered", "a", 1, 0)


async def test_completions_are_listed_and_one_is_shown_in_full() -> None:
    world = World()
    world.gateway.replies[ListTranscripts] = TranscriptPage((SUMMARY,), "full", 0)
    world.gateway.replies[ReadTranscript] = transcript(trace())
    listed = await call(world.app, "GET", "/api/completions?agent=scout&before=7&limit=3")
    assert listed.status == 200
    shown = (await call(world.app, "GET", "/api/completions/m-1")).json()
    assert shown["completion"] == "m-1"
    asked = [message for _, message in world.gateway.asked]
    assert asked == [ListTranscripts("scout", "", 7, 3), ReadTranscript(CompletionId("m-1"))]
    world.gateway.replies[ReadTranscript] = NotFound("completion in the log", "m-9")
    assert (await call(world.app, "GET", "/api/completions/m-9")).status == 404
    assert (await call(world.app, "GET", "/api/completions?limit=0")).status == 422


@pytest.mark.parametrize(
    ("path", "body", "asked", "answer"),
    [
        ("/api/router/reload", b"{}", ReloadSettings("operator"), Reloaded(("a: 1 -> 2",), ())),
        ("/api/router/reconcile", b'{"unspent_usd_micros":5}', ReconcileSpending("", 0, 5), Reconciled(7)),
        ("/api/router/providers/a/reset", b"{}", ResetProvider("a"), Done()),
        ("/api/completions/m-1/cancel", b"{}", CancelCompletion(CompletionId("m-1")), Done()),
    ],
)
async def test_what_changes_something_needs_the_right_to(
    path: str, body: bytes, asked: Message, answer: Message
) -> None:
    world = World()
    world.gateway.replies[type(asked)] = answer
    assert (await call(world.app, "POST", path, headers=bearer(READER), body=body)).status == 403
    assert (await call(world.app, "POST", path, headers=bearer(), body=body)).status == 200
    assert world.gateway.asked[-1][1] == asked


async def test_settings_that_cannot_be_used_are_a_refusal_with_the_reason() -> None:
    world = World()
    world.gateway.replies[ReloadSettings] = SettingsUnusable("agora.toml:3: no such setting")
    answer = await call(world.app, "POST", "/api/router/reload", headers=bearer(), body=b"{}")
    assert (answer.status, answer.json()["code"]) == (422, "settings_unusable")


def said(tail: str, *, is_over: bool = False) -> WordsSaid:
    return WordsSaid(CompletionId("m-1"), AgentId("scout"), TaskId("t-1"), "a", tail, len(tail), is_over)


async def test_words_come_as_they_are_said_and_a_slow_watcher_misses_only_states_in_between() -> None:
    world = World()
    async with served(world) as url, aiohttp.ClientSession() as http:
        world.hub.words.say(said("All"))
        async with http.get(f"{url}/api/completions/live") as response, asyncio.timeout(10):
            assert response.content_type == "text/event-stream"
            assert await _next(response) == ["All"]
            world.hub.words.say(said("All is"))
            world.hub.words.say(said("All is well."))
            world.hub.words.say(said("All is well.", is_over=True))
            found: list[str] = []
            while not found:
                found = await _next(response)
            assert found == ["All is well."]


async def test_who_watches_no_longer_takes_no_place() -> None:
    world = World()
    async with served(world) as url, aiohttp.ClientSession() as http:
        for _ in range(40):
            async with http.get(f"{url}/api/completions/live") as response:
                assert response.status == 200
            world.hub.words.say(said("x"))
            await anyio.lowlevel.checkpoint()


async def _next(response: aiohttp.ClientResponse) -> list[str]:
    """The words of the next state."""
    while not (line := await response.content.readline()).startswith(b"data: "):
        pass
    return [one.tail for one in msgspec.json.decode(line[6:], type=list[WordsSaid])]
