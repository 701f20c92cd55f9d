"""`agora serve`: run the society and its pages until a signal says stop."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from actors.commands import presence
from actors.commands.console import ExitCode, Shell, end_at_next_signal
from actors.commands.presence import Presence
from actors.composition import Running, running
from actors.logs import Log

log = Log("serve")


async def serve(shell: Shell) -> ExitCode:
    """Serve until SIGTERM or SIGINT: then finish what is queued and end with 0. A second signal ends at once.

    Raises:
        AgoraError: the start failed, or what the journal stands on failed while it ran.
    """
    # Heard from the first moment on: a stop that comes while the journal is read is a stop too.
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with running(shell.config, os.environ, web=True) as society:
            async with _announced(shell, society):
                _welcome(shell, society)
                stopped_by = await _until_stopped(society, signals)
            log.info("stopping", signal=stopped_by.name, position=society.system.log.head)
            end_at_next_signal()
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
    """The signal that asks for a stop. Raises what ended the society by itself."""
    async with anyio.create_task_group() as tasks:

        async def fail_with_the_society() -> None:
            raise await society.system.failed()

        tasks.start_soon(fail_with_the_society)
        number = await anext(signals)
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
