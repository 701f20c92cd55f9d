"""`agora backup` beside a server that is loaded as hard as it goes: it makes a prefix of what the server has."""

import tarfile
from collections import Counter
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
import pytest

from actors.commands.replay import Replayed
from bus.messages.tasks import TaskSpec
from storage.backup import BackedUp
from storage.jsonlines import EventLine
from tests.support.served import ran, served
from web.client import AgoraClient
from web.live_feed import RequestFailed

pytestmark = pytest.mark.slow

POSTERS = 32
BEFORE = 300
"""Tasks that are there when the copy is begun."""
LOAD = {
    "AGORA_WEB__COMMANDS_PER_S": "100000",
    "AGORA_WEB__COMMANDS_BURST": "100000",
    "AGORA_JOURNAL__SEGMENT_EVENTS": "1000",
    "AGORA_JOURNAL__CHECKPOINT_EVERY_EVENTS": "1000",
}
"""Files are closed and begun, and checkpoints saved, while they are copied."""
RUN_MAX_S = 120.0


async def _post(agora: AgoraClient, done: Counter[str]) -> None:
    """Post for as long as it is let."""
    while True:
        spec = TaskSpec(title="a moon of Saturn", instructions="x" * 2_000, reward_msat=1_000)
        try:
            await agora.create_task(spec)
        except RequestFailed as refusal:
            if refusal.problem != "deadline_passed":  # the load is what the machine can bear, and more
                raise
        done["posts"] += 1


async def _until(done: Counter[str], posts: int) -> None:
    while done["posts"] < posts:
        await anyio.lowlevel.checkpoint()


def _unpacked(file: Path, into: Path) -> None:
    with tarfile.open(file) as archive:
        archive.extractall(into, filter="data")


async def _events(data: Path) -> list[EventLine]:
    """The events of a directory, from an export that has everything."""
    file = data.with_suffix(".jsonl")
    ended = await ran("export", str(file), "--sealed", "--data", str(data))
    assert ended.code == 0, ended
    lines = (await anyio.Path(file).read_bytes()).splitlines()
    return [msgspec.json.decode(line, type=EventLine) for line in lines if line.startswith(b'{"position":')]


async def _replayed(data: Path, to: int) -> Replayed:
    ended = await ran("replay", "--to", str(to), "--json", "--data", str(data))
    assert ended.code == 0, ended
    return msgspec.json.decode(ended.out, type=Replayed)


async def test_a_backup_of_a_loaded_server_is_proved_and_a_prefix_of_it_and_can_be_served(tmp_path: Path) -> None:
    data, file, copy = tmp_path / "data", tmp_path / "backup.tar", tmp_path / "copy"
    done = Counter[str]()
    with anyio.fail_after(RUN_MAX_S):
        async with (
            served(data, env=LOAD) as server,
            AgoraClient(server.url, token=server.token, timeout_s=RUN_MAX_S) as agora,
            anyio.create_task_group() as tasks,
        ):
            for _ in range(POSTERS):
                tasks.start_soon(_post, agora, done)
            await _until(done, BEFORE)
            before = (await agora.events(limit="1")).head, done["posts"]
            ended = await ran("backup", str(file), "--json", "--data", str(data))
            after = (await agora.events(limit="1")).head, done["posts"]
            assert ended.code == 0, ended
            tasks.cancel_scope.cancel()
            server.terminate()
            assert (await server.ended()).code == 0
    made = msgspec.json.decode(ended.out, type=BackedUp)
    assert before[0] <= made.position <= after[0], "it is of a moment of its making"
    assert after[1] > before[1] + POSTERS, "the load went on meanwhile"
    await anyio.to_thread.run_sync(_unpacked, file, copy)
    segments = await anyio.to_thread.run_sync(lambda: len(list((copy / "segments").glob("*[0-9].sqlite"))))
    assert segments > 1, "it has more than one file of events"
    verified = await ran("verify", "--data", str(copy))
    assert verified.code == 0, verified
    assert made.checkpoints
    copied, whole = await _events(copy), await _events(data)
    assert (len(copied), made.events) == (made.position, made.position)
    assert copied == whole[: made.position]
    assert len(whole) > len(copied)
    theirs, ours = await _replayed(copy, made.position), await _replayed(data, made.position)
    assert (theirs.state_hash, theirs.actors) == (ours.state_hash, ours.actors)
    assert (theirs.differences, ours.differences) == ((), ())
    async with served(copy) as server, server.client() as agora:
        assert (await agora.check_ledger()).is_conserved
        posted = await agora.create_task(TaskSpec(title="one more", instructions="Name it."))
        assert posted.position > made.position
