"""The page's half of the live socket: pure rules, run where they will run."""

from collections.abc import Sequence

import msgspec
import pytest

from tests.browser.chrome import SCRIPTED, serve_files, window

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WELCOME = {"id": 1, "result": {"epoch": 7, "head": 12, "oldest": 1, "limits": {}, "scopes": ["read"]}}
PLAY = """
async (frames) => {
  const { Session } = await import("/static/protocol.js");
  const session = new Session();
  const said = session.open().map(JSON.parse);
  for (const frame of frames) {
    if (frame === "reconnect") { said.push(...session.open().map(JSON.parse)); continue; }
    const { send, outputs } = session.receive(JSON.stringify(frame));
    said.push(...outputs, ...send.map(JSON.parse));
  }
  return said;
}
"""


class Said(msgspec.Struct):
    """What the session sent or told the page; fields that the tests do not look at are left out."""

    kind: str = ""
    method: str = ""
    params: dict[str, object] = {}
    events: tuple[dict[str, object], ...] = ()
    state: dict[str, object] = {}
    from_: int = msgspec.field(default=0, name="from")
    to: int = 0


async def play(*frames: object) -> Sequence[Said]:
    """Play frames of a server to a fresh session; what it sent and told, in order."""
    async with window() as opened:
        await serve_files(opened.page)
        await opened.page.goto(f"{SCRIPTED}/static/protocol.js")
        return msgspec.convert(await opened.page.evaluate(PLAY, list(frames)), tuple[Said, ...])


def batch(first: int, last: int, *positions: int) -> dict[str, object]:
    return {
        "t": "batch",
        "sub": "feed",
        "first": first,
        "last": last,
        "events": [{"position": position} for position in positions],
    }


async def test_a_first_visit_says_hello_then_asks_for_the_state_and_the_last_events() -> None:
    hello, welcome, state, feed = await play(WELCOME)
    assert (hello.method, hello.params) == ("hello", {})
    assert welcome.kind == "welcome"
    assert state.params == {"sub": "state", "topics": "state"}
    assert feed.params == {"sub": "feed", "topics": ["#"], "from": {"last": 200}}


async def test_after_a_break_the_feed_goes_on_from_the_last_position_scanned() -> None:
    welcome_again = WELCOME | {"id": 4}
    said = await play(WELCOME, batch(1, 9, 3, 5), "reconnect", welcome_again)
    assert said[-4].params == {"resume": {"epoch": 7, "position": 9}}
    assert said[-1].params == {"sub": "feed", "topics": ["#"], "from": {"position": 9, "epoch": 7}}


async def test_events_that_were_seen_already_are_dropped() -> None:
    said = await play(WELCOME, batch(1, 3, 1, 2, 3), batch(2, 5, 2, 3, 4, 5))
    assert [event["position"] for event in said[-1].events] == [4, 5]


async def test_a_hole_between_batches_is_reported_as_a_gap() -> None:
    said = await play(WELCOME, batch(1, 3, 1), batch(7, 8, 8))
    assert [(each.kind, each.from_, each.to) for each in said[-2:]] == [("gap", 4, 6), ("events", 0, 0)]


async def test_another_epoch_gives_up_what_was_held() -> None:
    other = {"id": 4, "result": {"epoch": 8, "head": 2, "oldest": 1, "limits": {}, "scopes": []}}
    said = await play(WELCOME, batch(1, 9, 3), "reconnect", other)
    assert said[-4].kind == "reset"
    assert said[-1].params == {"sub": "feed", "topics": ["#"], "from": {"last": 200}}


async def test_a_refused_resume_begins_anew() -> None:
    refused = {"id": 4, "error": {"code": "stale_epoch", "message": "", "data": {"retryable": False}}}
    said = await play(WELCOME, batch(1, 9, 3), "reconnect", refused, "reconnect", WELCOME | {"id": 5})
    assert [each.params for each in said if each.method == "hello"][-1] == {}
    assert "reset" in [each.kind for each in said]


async def test_a_patch_changes_what_it_names_and_removes_what_is_null() -> None:
    whole = {"t": "state", "sub": "state", "state": {"tasks": {"a": {"n": 1, "m": 2}, "b": 1}, "run": "r"}}
    change = {"t": "change", "sub": "state", "patch": {"tasks": {"a": {"n": 3}, "b": None}}}
    said = await play(WELCOME, whole, change)
    assert said[-1].state == {"tasks": {"a": {"n": 3, "m": 2}}, "run": "r"}


async def test_frames_of_a_newer_server_are_passed_over() -> None:
    said = await play(WELCOME, {"t": "surprise", "sub": "feed"}, batch(1, 1, 1))
    assert said[-1].kind == "events"
