"""A few threads that read, each with the files that it has opened."""

import sqlite3
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio

from storage.database import Database
from storage.keyring import KeyedFiles

T = TypeVar("T")
Read = Callable[[KeyedFiles], T]


class Readers:
    """A fixed number of threads that only read; who finds none free waits for one."""

    def __init__(self, path: Path, count: int) -> None:
        self._all = [(Database(path, is_read_only=True), KeyedFiles()) for _ in range(count)]
        self._free = list(self._all)
        self._room = anyio.Semaphore(count, fast_acquire=True)
        self._count = count
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for database, files in self._all:
                await stack.enter_async_context(database)
                stack.push_async_callback(database.run, _closing(files))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run(self, read: Read[T]) -> T:
        """The result of `read(files)` on one of the threads. Raises StorageError."""
        async with self._room:
            database, files = self._free.pop()
            try:
                return await database.run(lambda _: read(files))
            finally:
                self._free.append((database, files))

    async def forget(self, paths: Collection[Path]) -> None:
        """Let go of files, and of what is remembered of them, on every thread, after what it reads just now."""
        async with anyio.create_task_group() as tasks:
            for database, files in self._all:
                tasks.start_soon(database.run, _forgetting(files, paths))


def _closing(files: KeyedFiles) -> Callable[[sqlite3.Connection], None]:
    return lambda _: files.close()


def _forgetting(files: KeyedFiles, paths: Collection[Path]) -> Callable[[sqlite3.Connection], None]:
    return lambda _: files.forget(paths)
