"""`agora serve`: run the society and its pages until a signal says stop."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn

import anyio

from actors import supervised
from actors.commands import presence
from actors.commands.console import ExitCode, Shell, end_at_next_signal
from actors.commands.presence import Presence
from actors.composition import Running, running
from actors.logs import Log
from bus.messages.routing import SETTINGS, ReloadSettings

log = Log("serve")
SUPERVISED: Final = "--supervised"


def supervise(shell: Shell, arguments: Sequence[str]) -> NoReturn:
    """Become the small process above a server that is started with these arguments."""
    tree = Path(supervised.__file__).parents[1]
    shell.data.mkdir(parents=True, exist_ok=True)
    paths = (str(tree), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    server = (sys.executable, "-P", "-m", "actors.main", *(word for word in arguments if word != SUPERVISED))
    command = (sys.executable, "-I", str(Path(supervised.__file__)), str(shell.data.absolute()), *server)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    os.execve(sys.executable, command, environment)


async def serve(shell: Shell) -> ExitCode:
    """Serve until SIGTERM or SIGINT: then finish what is queued and end with 0. A second signal ends at once.

    SIGUSR1 asks the process above it, if there is one, to start it again.

    Raises:
        AgoraError: the start failed, or what the journal stands on failed while it ran.
    """
    # Heard from the first moment on: a stop that comes while the journal is read is a stop too.
    heard = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    with anyio.open_signal_receiver(*heard) as signals:
        async with running(shell.config, os.environ, web=True, reread=shell.reread) as society:
            async with _announced(shell, society):
                _welcome(shell, society)
                stopped_by = await _until_stopped(society, signals)
            log.info("stopping", signal=stopped_by.name, position=society.system.log.head)
            end_at_next_signal()
    if stopped_by is signal.SIGUSR1:
        shell.say("Stopped to start again; everything is on disk.")
        return ExitCode.RESTART
    shell.say("Stopped; everything is on disk.")
    return ExitCode.DONE


@asynccontextmanager
async def _announced(shell: Shell, society: Running) -> AsyncIterator[None]:
    here = Presence(url=society.url, pid=os.getpid(), token_path=str(society.token_path))
    await anyio.to_thread.run_sync(presence.announce, shell.data, here)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(presence.withdraw, shell.data, here)


async def _until_stopped(society: Running, signals: AsyncIterator[signal.Signals]) -> signal.Signals:
    """The signal that asks for a stop; SIGHUP has the settings read again. Raises what ended the society by itself."""
    async with anyio.create_task_group() as tasks:

        async def fail_with_the_society() -> None:
            raise await society.system.failed()

        tasks.start_soon(fail_with_the_society)
        while (number := await anext(signals)) is signal.SIGHUP:
            society.system.tell(SETTINGS, ReloadSettings(asked_by=number.name))
        tasks.cancel_scope.cancel()
    return number


def _welcome(shell: Shell, society: Running) -> None:
    if not society.url:
        shell.say(f"Agora runs headless on {shell.data}; there is no page.")
    else:
        shell.say(f"Agora serves {society.url}")
        shell.say(f"  page with all rights, good once: {society.link()}")
    position = society.system.log.head
    shell.say(f"  data: {shell.config.data} (position {position}, {society.replayed} events replayed)")
    shell.say(f"  agents: {', '.join(persona.name for persona in shell.config.society)}")
    shell.say(f"  providers, in this order: {', '.join(_provider_words(society))}")
    if all(provider.dialect == "extractive" for provider in society.providers):
        shell.say(
            "  no model was found: briefs quote the documents' own sentences. Start Ollama, set OPENAI_API_KEY or "
            "ANTHROPIC_API_KEY, or add [[router.providers]] to the config."
        )
    shell.say("  stop: Ctrl-C")


def _provider_words(society: Running) -> list[str]:
    return [f"{one.name} ({one.model})" if one.model else one.name for one in society.providers]
