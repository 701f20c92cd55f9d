"""What models are saying at this moment."""

import anyio

from bus.messages.base import AgentId, CompletionId, TaskId
from bus.messages.routing import WordsSaid
from web.words import SPEAKERS_MAX, Words


def said(name: str, tail: str = "x", *, is_over: bool = False) -> WordsSaid:
    return WordsSaid(CompletionId(name), AgentId("scout"), TaskId("t-1"), "a", tail, len(tail), is_over)


def test_only_the_newest_state_of_a_completion_is_kept_and_told_to_who_has_not_seen_it() -> None:
    words = Words()
    words.say(said("m-1", "All"))
    words.say(said("m-2", "No"))
    seen = words.count
    words.say(said("m-1", "All is"))
    assert [one.tail for one in words.after(0)] == ["No", "All is"]
    assert [one.tail for one in words.after(seen)] == ["All is"]
    assert words.after(words.count) == []


def test_an_end_is_told_to_who_was_there_and_not_to_who_comes_late() -> None:
    words = Words()
    words.say(said("m-1"))
    seen = words.count
    words.say(said("m-1", is_over=True))
    assert [one.is_over for one in words.after(seen)] == [True]
    assert words.after(0) == []


def test_so_many_speak_at_once_and_who_was_heard_longest_ago_goes_first() -> None:
    words = Words()
    for number in range(SPEAKERS_MAX + 2):
        words.say(said(f"m-{number}"))
    assert [one.completion for one in words.after(0)][:1] == ["m-2"]
    assert len(words.after(0)) == SPEAKERS_MAX


async def test_every_watcher_wakes_up_for_a_newer_state() -> None:
    words = Words()
    with anyio.fail_after(30.0):
        async with anyio.create_task_group() as watchers:
            for _ in range(3):
                watchers.start_soon(words.wait, 0)
            await anyio.lowlevel.checkpoint()
            words.say(said("m-1"))
        await words.wait(0)
