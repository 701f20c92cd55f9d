"""`agora view`: the pages over a journal or a mirror file, with nothing running.

Rules: the journal stays as it is, and nothing can be changed through the pages. A file of JSON Lines is
first made into a journal in a temporary place; lines that cannot be read are told, and what stands before is shown.
Sealed fields that a file does not tell are shown as nothing.
"""

import signal
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread
import msgspec

from actors.commands.console import ExitCode, Shell, end_at_next_signal
from actors.commands.lookout import Lookout
from actors.commands.progress import progress
from actors.config import Config
from actors.journal_options import CHECKPOINTS_NAME
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.errors import BadUsage
from bus.messages.base import MAIN_RUN
from bus.messages.catalogue import EVENTS
from bus.refusals import NotFound
from storage.exchange import import_lines
from storage.jsonlines import EventLine
from storage.migration import JOURNAL_NAME
from storage.past import Past
from web.app import build_app
from web.auth import Keyring
from web.edge import Edge
from web.hub import Hub
from web.ring import Ring
from web.server import bound, listen, serving, url_of

KINDS = {kind.wire_name: kind for kind in EVENTS}
SQLITE, GZIP, TAR = b"SQLite format 3\0", b"\x1f\x8b", b"ustar"
"""How files of other kinds begin; a tar file says so further on."""
TAR_AT = 257
PLAIN: dict[object, object] = {int: 0, float: 0.0, bool: False}


async def view(shell: Shell, what: Path) -> ExitCode:
    """Serve the pages of a directory or a file until a signal says stop."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with viewing(shell, what) as url:
            shell.say(f"Agora shows {what} at {url}; nothing runs, and nothing can be changed")
            shell.say("  stop: Ctrl-C")
            await anext(signals)
            end_at_next_signal()
    return ExitCode.DONE


@asynccontextmanager
async def viewing(shell: Shell, what: Path) -> AsyncIterator[str]:
    """The address of the pages, for as long as the block runs.

    Raises NotFound, BadUsage, CannotListen, StorageError.
    """
    if what.name == JOURNAL_NAME:
        what = what.parent  # one of the files of a journal stands for all
    path = anyio.Path(what)
    if await path.is_dir():
        async with _served(shell.config, what, shell) as url:
            yield url
    elif await path.is_file():
        async with anyio.TemporaryDirectory(prefix="agora-view-") as place:
            await _unfold(shell, what, Path(place))
            # Where checkpoints of the configured directory lie is nothing to a file.
            journal = msgspec.structs.replace(shell.config.journal, checkpoint_directory="")
            async with _served(msgspec.structs.replace(shell.config, journal=journal), Path(place), shell) as url:
                yield url
    else:
        raise NotFound("journal or mirror", str(what))


async def _unfold(shell: Shell, file: Path, into: Path) -> None:
    if other := await anyio.to_thread.run_sync(_other_kind, file):
        raise BadUsage(f"{file} {other}")
    with await anyio.to_thread.run_sync(_open, file) as source, progress(shell, "lines") as step:
        imported = await import_lines(
            source,
            into,
            checkpoints=into / CHECKPOINTS_NAME,
            catalogue=Catalogue(EVENTS),
            clock=SystemClock(),
            progress=step,
            amend=completed,
        )
    for problem in imported.problems:
        shell.say(f"{file}, line {problem.line}: {problem.reason}")
    if imported.left_out:
        shell.say(f"{imported.left_out} events after that are not shown")


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _other_kind(path: Path) -> str:
    """What a file is that has no lines, and what to do with it; empty where it may have some."""
    with path.open("rb") as file:
        beginning = file.read(tarfile.BLOCKSIZE)
    if beginning.startswith(SQLITE):
        return "is one file of a data directory; view the directory"
    if beginning.startswith(GZIP):
        return "is packed; unpack it with gunzip and view that"
    if beginning[TAR_AT:].startswith(TAR):
        return "is a backup; unpack it with `mkdir DIR && tar -xf FILE -C DIR` and view DIR"
    return ""


def completed(line: EventLine) -> EventLine:
    """An event with something in the place of the sealed fields that its line does not tell."""
    kind = KINDS.get(line.type)
    if not line.is_sealed or kind is None:
        return line
    fields = {field.name: PLAIN.get(field.type, "") for field in msgspec.structs.fields(kind)}
    sealed = msgspec.json.encode({name: fields[name] for name in kind.sealed if name in fields})
    return msgspec.structs.replace(line, sealed=msgspec.Raw(sealed))


@asynccontextmanager
async def _served(settings: Config, data: Path, shell: Shell) -> AsyncIterator[str]:
    config: Config = msgspec.structs.replace(settings, data=str(data))
    clock = SystemClock()
    with listen(config.web) as listener:
        async with (
            anyio.TemporaryDirectory(prefix="agora-view-") as texts,
            Past.inspect(data, Catalogue(EVENTS), clock) as past,
        ):
            lookout = Lookout(past, config, Path(texts), clock)
            with progress(shell, "events") as step:
                await lookout.fold(step)
            ring = Ring(past.epoch, MAIN_RUN, events_max=config.web.events_cached, bytes_max=config.web.bytes_cached)
            hub = Hub(epoch=past.epoch, ring=ring, clock=clock, clients_max=config.web.sockets_max)
            hub.attach(lookout)
            options = bound(listener, config.web)
            edge = Edge(gateway=lookout, hub=hub, keyring=Keyring(clock), options=options, clock=clock)
            async with serving(build_app(edge), hub, listener):
                yield url_of(listener, config.web)
