"""`agora export | agora import` of a journal that has everything a journal can have."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from actors.commands.brief import brief
from actors.commands.console import ExitCode, Shell
from actors.commands.journal import prune
from actors.commands.redact import Target, redact
from actors.commands.replay import Replayed
from actors.composition import running
from actors.journal_options import JournalOptions
from bus.codec import EVENT_BYTES_MAX
from bus.messages.system import PruneReport
from bus.messages.tasks import TaskSpec, TaskState
from storage.segments import read_layout
from tests.house.tree import ROOT
from tests.support.inside import DOCUMENT, decoded, shell_at
from tests.support.served import OFFLINE, ran, served
from web.client import AgoraClient

pytestmark = pytest.mark.slow

SEGMENT_EVENTS = 30
SECRET = "Quintessence"
LONG = DOCUMENT * 500
PIPE_MAX_S = 60.0
RUN_MAX_S = 60.0


def _shell(data: Path) -> Shell:
    shell = shell_at(data, is_json=True)
    journal = JournalOptions(segment_events=SEGMENT_EVENTS, checkpoint_keep=2)
    return Shell(msgspec.structs.replace(shell.config, journal=journal), is_json=True)


async def _with_everything(data: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lives of a society in files of few events; old ones are pruned, a task is redacted, an auction is open."""
    await anyio.Path(folder).mkdir()
    for number in range(4):
        document = folder / f"{number}.txt"
        await anyio.Path(document).write_text(f"Document {number}. {LONG}")
        assert await brief(_shell(data), [document], reward_msat=1_000, sentences=1) is ExitCode.DONE
    capsys.readouterr()
    assert await prune(_shell(data), 1_000_000) is ExitCode.DONE
    assert msgspec.json.decode(capsys.readouterr().out, type=PruneReport).events
    async with running(_shell(data).config, {}, web=True) as society:
        token = (await anyio.Path(society.token_path).read_text()).strip()
        async with AgoraClient(society.url, token=token) as agora:
            spoken = await agora.create_task(TaskSpec(title=f"find {SECRET}", instructions=f"It is about {SECRET}."))
            while (await agora.task(spoken.task)).state != TaskState.COMPLETED:
                pass
            await _open_auction(agora)
    capsys.readouterr()
    assert await redact(_shell(data), Target(task=spoken.task), reason="asked", by="ana") is ExitCode.DONE
    assert decoded(capsys.readouterr().out)["events"]


async def _open_auction(agora: AgoraClient) -> None:
    """Two have bid, and a third could."""
    workers = [agora.worker(name) for name in ("early", "quick", "silent")]
    for worker in workers:
        await worker.register(["greet"])
    spec = TaskSpec(title="wait for bids", capability="greet", reward_msat=1_000, bid_window_s=600.0)
    task = (await agora.create_task(spec)).task
    while (await agora.task(task)).state != TaskState.BIDDING:
        pass
    for number, worker in enumerate(workers[:2]):
        await worker.bid(task, 100 + number)


def _look(data: Path) -> Mapping[str, int]:
    """How much there is of all that makes an export hard."""
    with closing(sqlite3.connect(data / "journal.sqlite")) as catalogue:
        layout = read_layout(catalogue, data / "journal.sqlite")
    with closing(sqlite3.connect(data / "blobs.sqlite")) as blobs:
        (large,) = blobs.execute("SELECT count(*) FROM blobs WHERE length(content) > ?", (EVENT_BYTES_MAX,)).fetchone()
    return {
        "pruned": layout.pruned_to,
        "closed": sum(segment.state == "closed" for segment in layout.segments),
        "large": large,
    }


async def _piped(data: Path, into: Path) -> str:
    """What the import at the end of the pipe says."""
    agora = "$PYTHON -m actors.main"
    process = await asyncio.create_subprocess_shell(
        f'set -o pipefail; {agora} export - --sealed --data "$DATA" | {agora} import - --json --data "$INTO"',
        executable="/bin/bash",
        cwd=ROOT,
        env={**os.environ, **OFFLINE, "PYTHON": sys.executable, "DATA": str(data), "INTO": str(into)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PIPE_MAX_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def _replayed(data: Path) -> Replayed:
    ended = await ran("replay", "--json", "--data", str(data))
    assert ended.code == 0, ended
    return msgspec.json.decode(ended.out, type=Replayed)


async def test_what_was_pruned_redacted_sealed_and_large_goes_through_a_pipe_and_has_the_same_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, into = tmp_path / "data", tmp_path / "into"
    with anyio.fail_after(RUN_MAX_S):
        await _with_everything(data, tmp_path / "documents", capsys)
    had = await anyio.to_thread.run_sync(_look, data)
    assert had["pruned"] >= SEGMENT_EVENTS
    assert min(had["closed"], had["large"]) > 1
    told = decoded(await _piped(data, into))
    assert (told["problems_count"], told["left_out"]) == (0, 0)
    before, after = await _replayed(data), await _replayed(into)
    assert (after.state_hash, after.position) == (before.state_hash, before.position)
    assert (after.actors, after.differences) == (before.actors, ())
    assert (await ran("verify", "--data", str(into))).code == 0
    came = await anyio.to_thread.run_sync(_look, into)
    assert (came["pruned"], came["large"]) == (had["pruned"], had["large"])
    async with served(into) as server, server.client() as agora:
        tasks = {task.spec.title: task for task in (await agora.tasks()).tasks}
        assert tasks["[redacted]"].state == TaskState.COMPLETED
        assert tasks["wait for bids"].state == TaskState.BIDDING
        bids = (await agora.events(task=tasks["wait for bids"].task, type="bid.submitted")).events
        assert len(bids) > 1
        assert not [bid for bid in bids if b"price" in bytes(bid.data)]
