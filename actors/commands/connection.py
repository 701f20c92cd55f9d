"""How commands reach a society: through the server that runs on the data directory, or through one of their own.

Both are reached over HTTP with the same client, so that there is one path to test. The admin token comes from the file
that only the data directory's owner can read. A server that goes away is waited for, since it may be starting again;
after `GONE_MAX_S` the command gives up.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from actors.commands import presence
from actors.commands.console import Shell
from actors.commands.presence import Presence
from actors.composition import Running, running
from bus.errors import BadUsage, ConfigError, NotServing
from bus.messages.base import Position
from web.client import AgoraClient
from web.wire import WireEvent

GONE_MAX_S = 30.0
"""How long a server may be away: a restart that reads a long journal takes seconds."""
TICK_EVENTS = 1_000
"""The feed rises in ticks of some milliseconds: a position told elsewhere may be ahead of it by what one tick holds."""
LOOK_S = 1.0
"""Between two looks at whether it is there; another process tells nobody that it ended."""


@asynccontextmanager
async def joined(shell: Shell) -> AsyncIterator[AgoraClient]:
    """A client of the server that runs on the data directory. Raises NotServing when there is none, or it goes."""
    found = await anyio.to_thread.run_sync(presence.find, shell.data)
    if found is None:
        raise NotServing(str(shell.data))
    token = await anyio.to_thread.run_sync(_token, Path(found.token_path))
    async with AgoraClient(found.url, token=token) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, shell.data)
        yield client
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def joined_or_own(shell: Shell) -> AsyncIterator[AgoraClient]:
    """As `joined`; without a server, a society of this process's own for as long as the block runs."""
    found = await anyio.to_thread.run_sync(presence.find, shell.data)
    if found is not None:
        async with joined(shell) as client:
            yield client
        return
    # A port of its own: the configured one may be another society's, and nobody else needs to know this one.
    web = msgspec.structs.replace(shell.config.web, enabled=True, host="127.0.0.1", port=0, socket_path="")
    config = msgspec.structs.replace(shell.config, web=web)
    async with running(config, os.environ, web=True) as society:
        token = await anyio.to_thread.run_sync(_token, society.token_path)
        async with AgoraClient(society.url, token=token) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(_fail_with, society)
            yield client
            tasks.cancel_scope.cancel()


async def start_of(client: AgoraClient) -> Position:
    """A position from which the feed misses nothing that happens from now on."""
    position = msgspec.json.decode((await client.state())["position"], type=int)
    return Position(max(0, position - TICK_EVENTS))


def fields_of(event: WireEvent) -> Mapping[str, object]:
    """An event's fields."""
    return msgspec.json.decode(event.data, type=dict[str, object])


def time_us_of(event: WireEvent) -> int:
    """When an event was recorded, in microseconds."""
    return round(datetime.fromisoformat(event.time).timestamp() * 1e6)


def link_of(url: str, code: str) -> str:
    """The address that opens the page with all rights, once. A fragment never leaves the browser."""
    return f"{url}/#token={code}"


async def _watch(data: Path) -> None:
    gone_s = 0.0
    while gone_s < GONE_MAX_S:
        await anyio.sleep(LOOK_S)
        is_there: Presence | None = await anyio.to_thread.run_sync(presence.find, data)
        gone_s = 0.0 if is_there is not None else gone_s + LOOK_S
    raise NotServing(str(data))


async def _fail_with(society: Running) -> None:
    raise await society.system.failed()


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError as error:
        raise BadUsage(f"{path}: the token of this server belongs to another user") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "admin token", "cannot be read") from error
