"""What is asked of checkpoints while a server runs: whether one is sound, and what changed between two.

Rules: everything is read through a connection of its own, so that no save waits for it. A few proofs run at once, each
with a deadline; more are told to come back. Nothing is written. A checkpoint is named by its id, a position,
`step:N`, its label, `newest`, or a time such as `2026-01-31T12:00`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread

from actors.rules import checkpoints as rules
from actors.rules.differences import Difference, difference
from bus.errors import DeadlinePassed
from bus.messages.base import Microseconds
from bus.messages.checkpoints import CheckpointDifferences, CheckpointProof, CompareCheckpoints, VerifyCheckpoint
from bus.refusals import NotFound, Overloaded
from storage.checkpoints import CheckpointStore

PROOFS_MAX = 2
"""Each may read all of a large file: more at once would only be slower."""
PROOF_TIMEOUT_S = 45.0
RETRY_AFTER_S = 5.0
DIFFERENCES_MAX = 200
"""Actors that one comparison names."""


class Proving:
    """The proofs of one directory of checkpoints."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running = 0

    async def verify(self, query: VerifyCheckpoint) -> CheckpointProof:
        """Prove one. Raises NotFound, Overloaded, DeadlinePassed, StorageError."""
        began_s = anyio.current_time()
        with self._turn():
            with anyio.move_on_after(PROOF_TIMEOUT_S):
                async with CheckpointStore.inspect(self._directory) as store:
                    (finding,) = await store.verify(await found_name(store, query.checkpoint))
                elapsed_ms = (anyio.current_time() - began_s) * 1_000
                return CheckpointProof(finding.checkpoint, finding.problem, elapsed_ms)
        raise DeadlinePassed(f"the proof of {query.checkpoint}", PROOF_TIMEOUT_S)

    async def compare(self, query: CompareCheckpoints) -> CheckpointDifferences:
        """Tell two apart. Raises NotFound, Overloaded, DeadlinePassed, StorageError."""
        with self._turn():
            with anyio.move_on_after(PROOF_TIMEOUT_S):
                async with CheckpointStore.inspect(self._directory) as store:
                    before, after = [await found_name(store, wanted) for wanted in (query.before, query.after)]
                    found = await differences(store, before, after)
                return CheckpointDifferences(before, after, tuple(found[:DIFFERENCES_MAX]), len(found))
        raise DeadlinePassed(f"the comparison of {query.before}", PROOF_TIMEOUT_S)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._running >= PROOFS_MAX:
            raise Overloaded("proving checkpoints", RETRY_AFTER_S)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def differences(store: CheckpointStore, before: str, after: str) -> list[Difference]:
    """The actors whose states are not the same in both. Raises NotFound, StorageError."""
    names = (before, after)
    old, new = [(await store.manifest(name)).actors for name in names]
    found: list[Difference] = []
    for address in sorted(old.keys() | new.keys()):
        held = [manifests.get(address) for manifests in (old, new)]
        first, second = held
        if first is not None and second is not None and first.chunks == second.chunks:
            continue
        states = [
            await store.state(name, address) if manifest is not None else b""
            for name, manifest in zip(names, held, strict=True)
        ]
        found.append(await anyio.to_thread.run_sync(difference, address, states[0], states[1]))
    return found


async def found_name(store: CheckpointStore, wanted: str) -> str:
    """The id of the checkpoint that is meant. Raises NotFound, StorageError."""
    try:
        return rules.find(await store.list(), wanted, time_us_of(wanted)).checkpoint
    except NotFound:
        if not wanted.startswith("c-"):
            raise
        manifest = await store.manifest(wanted)  # a damaged one is in no list, but has a name
        return manifest.view.checkpoint


def time_us_of(wanted: str) -> Microseconds | None:
    """The time that is meant, if one is; without a zone it is this machine's."""
    if "-" not in wanted[1:] or wanted.startswith("c-") or not wanted[:4].isdecimal():
        return None
    try:
        return round(datetime.fromisoformat(wanted).astimezone(UTC).timestamp() * 1e6)
    except ValueError:
        return None
