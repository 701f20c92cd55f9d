"""The mirror of a server that is killed, again and again, in the middle of a write to it."""

import random
import signal
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from bus.messages.tasks import TaskSpec
from storage.jsonlines import EventLine, Head
from tests.storage.shims import needs_a_compiler, shim
from tests.support.ports import free_port
from tests.support.served import ran, served, started
from web.client import AgoraClient, Unreachable

pytestmark = pytest.mark.slow

SEED = 20_240_608
KILLS = 6
WRITES_PER_LIFE_MAX = 24
"""A write holds what was committed since the last one; a start alone makes three or four."""
POSTERS = 4
LIFE_MAX_S = 60.0
QUICK = {"AGORA_WEB__COMMANDS_PER_S": "100000", "AGORA_WEB__COMMANDS_BURST": "100000"}


async def _post(url: str, token: str) -> None:
    """Post until nobody is there any more."""
    async with AgoraClient(url, token=token) as client:
        while True:
            try:
                await client.create_task(TaskSpec(title="a moon of Saturn", instructions="Name it.", reward_msat=1_000))
            except Unreachable:
                return


async def _killed(data: Path, port: int, token: str, env: dict[str, str]) -> None:
    """A server that works until it ends itself in the middle of a write to the mirror."""
    process = await started("serve", "--data", str(data), "--port", str(port), env=env)
    assert process.stdout is not None
    with anyio.fail_after(LIFE_MAX_S):
        is_up = False
        while not is_up and (line := await process.stdout.readline()):
            is_up = line.startswith(b"  stop:")
        async with anyio.create_task_group() as tasks:
            if is_up:
                for _ in range(POSTERS):
                    tasks.start_soon(_post, f"http://127.0.0.1:{port}", token)
            _, said = await process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


async def _mirrored(path: Path, head: int) -> list[bytes]:
    """The lines of the mirror, once it tells of a position."""
    lines = [b""]
    with anyio.fail_after(LIFE_MAX_S):
        while not lines[-1].endswith(b"\n") or _position(lines[-1]) < head:
            lines = (await anyio.Path(path).read_bytes()).splitlines(keepends=True)
    return lines


def _position(line: bytes) -> int:
    return msgspec.json.decode(line, type=EventLine).position if line.startswith(b'{"position":') else 0


async def _exported(data: Path) -> list[bytes]:
    """The events' lines in an export, but for what proves their hashes, which a mirror does not tell."""
    ended = await ran("export", "-", "--data", str(data))
    assert ended.code == 0, ended
    return [_bare(line) for line in ended.out.encode().splitlines() if line.startswith(b'{"position":')]


def _bare(line: bytes) -> bytes:
    """Without the box and its key, which stand last."""
    told, is_boxed, _ = line.rpartition(b',"stored":')
    return told + b"}\n" if is_boxed else line + b"\n"


@needs_a_compiler
async def test_killed_in_the_middle_of_its_writes_it_tells_each_committed_event_once_as_an_export_does(
    tmp_path: Path,
) -> None:
    dice = random.Random(SEED)
    library = await anyio.to_thread.run_sync(shim, tmp_path)
    data, mirror, port = tmp_path / "data", tmp_path / "mirror.jsonl", free_port()
    async with served(data) as first:
        token = first.token
        first.terminate()
        await first.ended()
    env = {**QUICK, "AGORA_JOURNAL__MIRROR": str(mirror), "FAULT_FILE": mirror.name, "LD_PRELOAD": str(library)}
    torn = []
    for kill in (1, 2, *(dice.randint(3, WRITES_PER_LIFE_MAX) for _ in range(KILLS - 2))):
        await _killed(data, port, token, {**env, "FAULT": f"kill:{kill}"})
        content = await anyio.Path(mirror).read_bytes()
        torn.append(not content.endswith(b"\n"))
    assert sum(torn) >= KILLS - 1, "half a write ends within a line, but for once in a hundred"
    async with served(data, env=env) as server, server.client() as agora:
        head = (await agora.events(limit="1")).head
        lines = await _mirrored(mirror, head)
        server.terminate()
        assert (await server.ended()).code == 0
    assert msgspec.json.decode(lines[0], type=Head).format == 1
    assert lines[1:] == (await _exported(data))[: len(lines) - 1]
    assert [_position(line) for line in lines[1:]] == list(range(1, len(lines)))
    assert len(lines) > head > KILLS * 20
