"""A whole society inside the test's own process, and a shell whose commands reach it."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from actors.approvals import ApprovalsOptions
from actors.commands import presence
from actors.commands.brief import brief
from actors.commands.console import ExitCode, Shell
from actors.commands.presence import Presence
from actors.composition import Running, running
from actors.config import Config
from actors.providers.options import ProviderOptions
from actors.router import RouterOptions
from web.options import WebOptions

DOCUMENT = "Agora is a society of agents. It keeps a journal. Agents bid for tasks. The winner works. " * 3
EXTRACTIVE = ProviderOptions(name="extractive", dialect="extractive")


def config_at(data: Path, router: RouterOptions | None = None, approvals: ApprovalsOptions | None = None) -> Config:
    """Settings of a society on a free port that asks nobody outside."""
    router = router or RouterOptions(providers=(EXTRACTIVE,))
    return Config(data=str(data), web=WebOptions(port=0), router=router, approvals=approvals or ApprovalsOptions())


def shell_at(data: Path, *, is_json: bool = False, router: RouterOptions | None = None) -> Shell:
    """A call of the command line on that data directory."""
    return Shell(config_at(data, router), is_json=is_json)


@asynccontextmanager
async def serving(
    data: Path, router: RouterOptions | None = None, approvals: ApprovalsOptions | None = None
) -> AsyncIterator[Running]:
    """A society that commands find, as `serve` makes it."""
    environment: Mapping[str, str] = {}
    async with running(config_at(data, router, approvals), environment, web=True) as society:
        here = Presence(url=society.url, pid=os.getpid(), token_path=str(society.token_path))
        await anyio.to_thread.run_sync(presence.announce, data, here)
        try:
            yield society
        finally:
            await anyio.to_thread.run_sync(presence.withdraw, data, here)


def decoded(text: str) -> dict[str, object]:
    """One JSON document that a command printed."""
    return msgspec.json.decode(text, type=dict[str, object])


async def briefed(data: Path, folder: Path, *numbers: int) -> None:
    """A society of its own briefs some documents and stops: a history with money, work and artifacts."""
    await anyio.Path(folder).mkdir(exist_ok=True, parents=True)
    documents = []
    for number in numbers:
        document = folder / f"{number}.txt"
        await anyio.Path(document).write_text(f"Document {number}. {DOCUMENT}")
        documents.append(document)
    code = await brief(shell_at(data, is_json=True), documents, reward_msat=1_000, sentences=1)
    assert code is ExitCode.DONE
