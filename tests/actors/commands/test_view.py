"""`agora view`: the pages over a journal or a mirror, with nothing running."""

from pathlib import Path

import aiohttp
import anyio
import msgspec
import pytest

from actors.commands.exchange import export
from actors.commands.view import completed, viewing
from bus.messages.base import Position
from bus.refusals import NotFound
from storage.jsonlines import EventLine
from tests.support.inside import briefed, shell_at
from web.client import AgoraClient, EventsAnswer
from web.live_feed import RequestFailed


@pytest.mark.parametrize("kind", ["journal", "mirror"])
async def test_the_pages_show_what_was_and_refuse_what_would_change_it(tmp_path: Path, kind: str) -> None:
    data = what = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1, 2)
    if kind == "mirror":
        what = tmp_path / "mirror.jsonl"
        await export(shell_at(data), str(what), has_sealed=False)
    before = await _contents(data)
    async with viewing(shell_at(tmp_path / "elsewhere"), what) as url, AgoraClient(url) as client:
        assert [task.state.value for task in (await client.tasks()).tasks] == ["completed", "completed"]
        state = await client.state()
        head = msgspec.json.decode(state["position"], type=int)
        assert (await client.events(limit="5")).head == head
        assert (await client.check_ledger()).is_conserved
        assert len((await client.checkpoints.all()).checkpoints) == (1 if kind == "journal" else 0)
        with pytest.raises(RequestFailed, match="nothing runs here"):
            await client.cascade.show()
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{url}/api/events/search", params={"text": "brief"}) as answer:
                found = msgspec.json.decode(await answer.read(), type=EventsAnswer).events
            async with http.get(f"{url}/api/events/{found[0].position}/chain") as answer:
                assert (answer.status, b'"causes"' in await answer.read()) == (200, True)
        feed = client.feed(("task.*",), after=Position(0))
        assert (await anext(aiter(feed))).type == "task.created"
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{url}/") as page:
                assert page.status == 200
            async with http.get(f"{url}/api/artifacts/a-2/content") as content:
                assert (content.status, bool(await content.text())) == (200, True)
            async with http.post(f"{url}/api/tasks", data=b'{"title": "x"}') as refusal:
                assert refusal.status in (401, 403)
    assert await _contents(data) == before


async def _contents(data: Path) -> dict[str, bytes]:
    """All files but those in which SQLite keeps track of who reads."""
    paths = [path async for path in anyio.Path(data).rglob("*") if await path.is_file()]
    return {path.name: await path.read_bytes() for path in paths if not path.name.endswith(("-shm", "-wal"))}


async def test_what_is_not_there_cannot_be_viewed(tmp_path: Path) -> None:
    for what in (tmp_path / "none", tmp_path):
        with pytest.raises(NotFound):
            async with viewing(shell_at(tmp_path), what):
                pass


def test_sealed_fields_that_are_not_told_are_shown_as_nothing() -> None:
    line = EventLine(Position(1), 0, "bid.submitted", 1, "coordinator", msgspec.Raw(b"{}"), "", is_sealed=True)
    assert msgspec.json.decode(completed(line).sealed)["price_msat"] == 0
    told = msgspec.structs.replace(line, is_sealed=False)
    assert completed(told) is told
