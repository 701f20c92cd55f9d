"""Keep the mirror of the journal up to date for as long as a system runs.

Rules: the mirror follows what is committed, so that no writer waits for it. One that cannot be written, or for which
the journal cannot be read at the moment, is said once and tried again; it holds nothing else up.
"""

from collections.abc import Callable
from pathlib import Path

import anyio

from actors.runtime import GroupCommitLog, Job
from bus.errors import StorageError, SystemStopping
from storage.events import EventStore
from storage.mirror import follow

RETRY_S = 10.0


async def keep_mirror(
    job: Job,
    path: Path,
    *,
    events: EventStore,
    log: GroupCommitLog,
    warn: Callable[[str], None],
    retry_s: float = RETRY_S,
) -> None:
    """A job of the journal actor's. Ends when the log has ended."""
    is_told = False
    while True:
        try:
            await follow(
                path, epoch=log.epoch, head=log.watermark, read=events.read, committed=log.committed, warn=warn
            )
        except SystemStopping:
            return
        except (OSError, StorageError) as error:
            if log.has_failed:
                return  # why is said elsewhere
            if not is_told:
                reason = error.strerror if isinstance(error, OSError) else None
                warn(f"the mirror {path} cannot be written: {reason or error}; it is tried again")
            is_told = True
        await anyio.sleep(retry_s)
