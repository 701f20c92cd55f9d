"""What stands around the router: the log of its completions, recordings that it answers from, and who reads its
settings again.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import msgspec

from actors.completion_log import CompletionLog, CompletionLogOptions, Store
from actors.config import Config
from actors.providers import ProviderOptions
from actors.providers.settings import redactor_of
from actors.reloader import Fresh, Reloader
from actors.router import Reconfigure
from actors.rules.recordings import Recordings
from actors.rules.routing import AT_NEXT_START
from actors.rules.settings import is_tree, leaves, shown
from actors.runtime import ChildSpec
from bus.address import Address
from bus.errors import ConfigError
from bus.messages.base import RunId
from bus.messages.completions import ROUTER
from bus.messages.routing import SETTINGS
from bus.messages.transcripts import COMPLETION_LOG, Transcript
from bus.refusals import NotFound
from storage.transcripts import TRANSCRIPTS_NAME, TranscriptStore, kept

OWN_LOG = "log"
"""What `router.replay` says for the completions of the same directory."""
LINES_MAX = 1_000_000
"""Recorded completions that are read at most: some gigabytes."""

Reread = Callable[[], Config]
"""Reads the settings again, from where they came. Raises ConfigError."""


class Around(msgspec.Struct, frozen=True):
    """What stands around the router, where it does."""

    before: tuple[ChildSpec, ...] = ()
    """Who starts before it."""
    after: tuple[ChildSpec, ...] = ()
    """Who starts after all others."""
    log: Address | None = None
    recordings: Recordings | None = None


ALONE = Around()


@asynccontextmanager
async def surroundings(
    config: Config,
    environment: Mapping[str, str],
    providers: tuple[ProviderOptions, ...],
    run: RunId,
    reread: Reread,
) -> AsyncIterator[Around]:
    """All of it, for a data directory. Raises ConfigError, StorageError."""
    found = await recordings(config)
    async with TranscriptStore.open(Path(config.data)) as store:
        log = log_spec(store, config, environment, run)
        yield Around((log,), (reloader(config, providers, reread),), log.address, found)


def log_spec(store: Store, config: Config, environment: Mapping[str, str], run: RunId) -> ChildSpec:
    """The actor over an open log."""
    router = config.router
    options = CompletionLogOptions(
        keeps=router.log,
        days=router.log_days,
        bytes_max=router.log_bytes_max,
        is_local_kept=router.log_local,
        directory=router.log_dir,
        directory_bytes_max=router.log_dir_bytes_max,
    )
    redactor = redactor_of(router, environment)
    return ChildSpec(COMPLETION_LOG, lambda: CompletionLog(store, options, redactor, run))


def reloader(config: Config, providers: tuple[ProviderOptions, ...], reread: Reread) -> ChildSpec:
    """Who reads the settings again. Providers that were found rather than configured stay as they were found."""

    def fresh() -> Fresh:
        found = reread()
        router = found.router
        if not router.providers:
            router = msgspec.structs.replace(router, providers=providers)
        return Fresh(router, _waiting(config, found))

    return ChildSpec(SETTINGS, lambda: Reloader(fresh, ROUTER, Reconfigure))


async def recordings(config: Config) -> Recordings | None:
    """What the router answers from, if it replays. Raises ConfigError."""
    replay = config.router.replay
    if not replay:
        return None
    found = await (_own(Path(config.data)) if replay == OWN_LOG else _exported(Path(replay)))
    options = config.router
    return Recordings(found, asks_on=options.replay_miss == "ask", takes_time=options.replay_takes_time)


async def recorded(data: Path) -> AsyncGenerator[bytes]:
    """All completions that a data directory keeps, oldest first, each as JSON. Raises NotFound, StorageError."""
    if not await anyio.Path(data / TRANSCRIPTS_NAME).is_file():
        raise NotFound("completion log", str(data / TRANSCRIPTS_NAME))
    async with aclosing(kept(data)) as lines:
        async for one in lines:
            yield one


async def _own(data: Path) -> list[Transcript]:
    async with aclosing(recorded(data)) as lines:
        return [msgspec.json.decode(line, type=Transcript) async for line in lines]


async def _exported(file: Path) -> list[Transcript]:
    found: list[Transcript] = []
    try:
        async with await anyio.open_file(file, "rb") as lines:
            async for line in lines:
                if line.strip():
                    found.append(msgspec.json.decode(line, type=Transcript))
                if len(found) > LINES_MAX:
                    raise ConfigError("router.replay", str(file), f"it has more than {LINES_MAX} completions")
    except OSError as error:
        raise ConfigError("router.replay", str(file), f"cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise ConfigError("router.replay", str(file), f"line {len(found) + 1} is no completion: {error}") from error
    return found


def _waiting(before: Config, after: Config) -> tuple[str, ...]:
    """The settings that differ and are read once."""
    one, other = msgspec.to_builtins(before), msgspec.to_builtins(after)
    assert is_tree(one), "settings are a table"
    assert is_tree(other), "settings are a table"
    old, new = dict(leaves(one)), dict(leaves(other))
    return tuple(
        shown(path)
        for path, value in new.items()
        if old.get(path) != value and (path[0] != "router" or str(path[1]).startswith(AT_NEXT_START))
    )
