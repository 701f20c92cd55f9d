"""The reloader: it reads the settings again while all runs, and tells those whose settings can change.

Rules: settings that cannot be used change nothing, and the refusal says why. What changes is an event of who changed;
what has changed and counts only from the next start on is told as such.
"""

from collections.abc import Callable

import anyio.to_thread
import msgspec

from actors.providers.settings import RouterOptions
from actors.runtime import Actor
from bus.address import Address
from bus.errors import ConfigError
from bus.messages.base import Command
from bus.messages.routing import Reloaded, ReloadSettings, SettingsRefused
from bus.refusals import SettingsUnusable

TIMEOUT_S = 10.0


class Fresh(msgspec.Struct, frozen=True):
    """Settings as they were read again."""

    router: RouterOptions
    waiting: tuple[str, ...] = ()
    """What else has changed and counts from the next start on."""


Reread = Callable[[], Fresh]
"""Reads the settings again. Raises ConfigError."""


class Reloader(Actor):
    """One per system."""

    def __init__(
        self, reread: Reread, router: Address, reconfigure: Callable[[RouterOptions], Command[Reloaded]]
    ) -> None:
        self._reread = reread
        self._router = router
        self._reconfigure = reconfigure

    async def on_reload_settings(self, command: ReloadSettings) -> Reloaded:
        try:
            fresh = await anyio.to_thread.run_sync(self._reread)
        except ConfigError as error:
            self.record(SettingsRefused(reason=str(error), asked_by=command.asked_by))
            raise SettingsUnusable(str(error)) from error
        changed = await self.ask(self._router, self._reconfigure(fresh.router), timeout_s=TIMEOUT_S)
        return Reloaded(changed.changes, fresh.waiting)
