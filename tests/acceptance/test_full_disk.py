"""A disk that is full or cannot be written to, for real: the data lie on a small file system of their own (tmpfs)."""

from pathlib import Path

import anyio
import pytest

from bus.codec import Catalogue
from bus.messages.catalogue import EVENTS
from bus.messages.tasks import TaskSpec
from storage import integrity
from tests.support.served import Served, ran, served
from tests.support.small_disk import BY_ROOT, fill, small_disk
from web.client import AgoraClient
from web.live_feed import RequestFailed

pytestmark = [pytest.mark.slow, BY_ROOT]

TEXT = "x" * 8_000
"""A task's instructions: a few thousand fill the disk."""
PATIENCE_S = 60.0
ALERT = {"AGORA_MONITOR__DISK_FREE_BYTES_MIN": str(4 * 2**20), "AGORA_MONITOR__LOOK_EVERY_S": "0.2"}


async def post_until_refused(agora: AgoraClient, posted: dict[str, str]) -> RequestFailed:
    """Post tasks one after another; those that were acknowledged are in `posted`. The first clear refusal."""
    number = len(posted)
    while True:
        number += 1
        title = f"task {number}"
        try:
            answer = await agora.create_task(TaskSpec(title=title, instructions=TEXT), key=title)
        except RequestFailed as refusal:
            if refusal.problem == "intake_paused":
                return refusal
            if refusal.problem != "deadline_passed":  # which says that its commit is still awaited
                raise
        else:
            posted[answer.task] = title


async def until_ready(agora: AgoraClient) -> None:
    while not (await agora.ready()).ready:
        pass


async def alerts(server: Served) -> str:
    """The events about alerts and warnings, as `agora tail` would show them."""
    async with server.client() as agora:
        pages = [await agora.events(type=kind) for kind in ("alert.raised", "system.warning")]
    return " ".join(bytes(event.data).decode() for page in pages for event in page.events)


async def test_a_full_disk_pauses_the_intake_and_room_opens_it_again_and_nothing_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    posted: dict[str, str] = {}
    with small_disk(tmp_path / "disk") as disk, anyio.fail_after(PATIENCE_S):
        async with served(disk / "data", env=ALERT) as server, server.client() as agora:
            ballast = fill(disk, but_bytes=3 * 2**20)
            refusal = await post_until_refused(agora, posted)
            assert "disk full" in str(refusal)
            assert "nothing that was acknowledged is lost" in str(refusal)
            ready = await agora.ready()
            assert not ready.ready
            assert any("the intake is paused" in reason for reason in ready.reasons), ready.reasons
            ballast.unlink()
            await until_ready(agora)
            before = len(posted)
            answer = await agora.create_task(TaskSpec(title="after", instructions=TEXT), key="after")
            posted[answer.task] = "after"
            assert len(posted) == before + 1
            told = await alerts(server)
            assert "the intake was paused for" in told
            assert "MiB are free" in told
            server.kill()
            said = (await server.ended()).err
            assert said.count("the intake is paused until the journal can be written") == 1, said
            assert said.count("the journal is written again; the intake is open") == 1, said
        found = await integrity.verify(disk / "data", Catalogue(EVENTS))
        assert found.problem == ""
        async with served(disk / "data", env=ALERT) as server, server.client() as agora:
            for task, title in posted.items():
                assert (await agora.task(task)).spec.title == title
            server.terminate()
            assert (await server.ended()).code == 0
        assert (await ran("verify", "--data", str(disk / "data"))).code == 0


async def test_a_read_only_disk_is_said_in_a_line_and_what_lies_on_it_can_be_proved_and_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        data = disk / "data"
        async with served(data) as server, server.client() as agora:
            await agora.create_task(TaskSpec(title="a task", instructions=TEXT))
            server.terminate()
            assert (await server.ended()).code == 0
        await anyio.run_process(["mount", "-o", "remount,ro", str(disk)])
        ended = await ran("serve", "--data", str(data), "--port", "0")
        said = [line for line in ended.err.splitlines() if line.startswith("agora: ")]
        assert (ended.code, len(said), ended.has_traceback) == (1, 1, False), ended
        assert f"{data} cannot be written to" in said[0]
        for command in ("verify", "replay"):
            ended = await ran(command, "--data", str(data))
            assert ended.code == 0, ended
        assert (await ran("checkpoints", "list", "--json", "--data", str(data))).out.count('"checkpoint"') == 1
        assert (await ran("export", str(tmp_path / "all.jsonl"), "--sealed", "--data", str(data))).code == 0
        assert (await ran("import", str(tmp_path / "all.jsonl"), "--data", str(tmp_path / "other"))).code == 0
        assert (await ran("backup", str(tmp_path / "backup.tar"), "--data", str(data))).code == 0
