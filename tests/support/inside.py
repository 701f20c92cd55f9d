"""A whole society inside the test's own process, and a shell whose commands reach it."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import msgspec

from actors.commands import presence
from actors.commands.console import Shell
from actors.commands.presence import Presence
from actors.composition import Running, running
from actors.config import Config
from actors.providers.options import ProviderOptions
from actors.router import RouterOptions
from web.options import WebOptions

EXTRACTIVE = ProviderOptions(name="extractive", dialect="extractive")


def config_at(data: Path, router: RouterOptions | None = None) -> Config:
    """Settings of a society on a free port that asks nobody outside."""
    return Config(data=str(data), web=WebOptions(port=0), router=router or RouterOptions(providers=(EXTRACTIVE,)))


def shell_at(data: Path, *, is_json: bool = False, router: RouterOptions | None = None) -> Shell:
    """A call of the command line on that data directory."""
    return Shell(config_at(data, router), is_json=is_json)


@asynccontextmanager
async def serving(data: Path, router: RouterOptions | None = None) -> AsyncIterator[Running]:
    """A society that commands find, as `serve` makes it."""
    environment: Mapping[str, str] = {}
    async with running(config_at(data, router), environment, web=True) as society:
        here = Presence(url=society.url, pid=os.getpid(), token_path=str(society.token_path))
        await anyio.to_thread.run_sync(presence.announce, data, here)
        try:
            yield society
        finally:
            await anyio.to_thread.run_sync(presence.withdraw, data, here)


def decoded(text: str) -> dict[str, object]:
    """One JSON document that a command printed."""
    return msgspec.json.decode(text, type=dict[str, object])
