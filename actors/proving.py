"""What is asked of checkpoints while a server runs: whether one is sound, and what changed between two.

Rules: everything is read through a connection of its own, so that no save waits for it. A few proofs run at once, each
with a deadline; more are told to come back. Nothing is written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from actors.rules.differences import Difference, difference
from bus.errors import DeadlinePassed
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
                    (finding,) = await store.verify(await _name(store, query.checkpoint))
                elapsed_ms = (anyio.current_time() - began_s) * 1_000
                return CheckpointProof(finding.checkpoint, finding.problem, elapsed_ms)
        raise DeadlinePassed(f"the proof of {query.checkpoint}", PROOF_TIMEOUT_S)

    async def compare(self, query: CompareCheckpoints) -> CheckpointDifferences:
        """Tell two apart. Raises NotFound, Overloaded, DeadlinePassed, StorageError."""
        with self._turn():
            with anyio.move_on_after(PROOF_TIMEOUT_S):
                async with CheckpointStore.inspect(self._directory) as store:
                    before, after = [await _name(store, wanted) for wanted in (query.before, query.after)]
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


async def _name(store: CheckpointStore, wanted: str) -> str:
    if wanted != "newest":
        return wanted
    views = await store.list()
    if not views:
        raise NotFound("checkpoint", wanted)
    return views[0].checkpoint
