"""What a power cut may leave of the files that a process wrote, made from the record that `trace.c` has of it.

Rules: what was synced before the cut is there. Of each file, whatever was written since its last sync may be there or
not, in any order, and a write may be torn between two sectors. Names made, changed and taken away in a directory since
its last sync are there up to some point of their order; a sync of a file says nothing of its name. That is less than
any file system in use keeps.
"""

import struct
from pathlib import Path
from random import Random
from typing import NamedTuple

SECTOR_BYTES = 512
_ENTRY = struct.Struct("=c3xIIIQQ")


class Operation(NamedTuple):
    """An entry of the record: `c`reated, `w`ritten, cu`t`, `s`ynced, `d`irectory synced, `u`nlinked, `m`ade,
    `r`enamed, `l`inked, or `a`cknowledged."""

    kind: str
    file: int
    offset: int
    data: bytes
    to: str

    @property
    def path(self) -> str:
        """Of what changes a name."""
        return self.data.decode()


def read_record(path: Path) -> list[Operation]:
    """All operations, in order."""
    content, found, at = path.read_bytes(), list[Operation](), 0
    while at < len(content):
        kind, first, second, _, file, offset = _ENTRY.unpack_from(content, at)
        at += _ENTRY.size
        data, to = content[at : at + first], content[at + first : at + first + second]
        at += first + second
        found.append(Operation(kind.decode(), file, offset, data, to.decode()))
    return found


class _File:
    """A file: what is on the disk for sure, and what was done to it since."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.since: list[Operation] = []

    def sync(self) -> None:
        for operation in self.since:
            _do(self.synced, operation)
        self.since.clear()

    def after_a_cut(self, dice: Random) -> bytes:
        content = bytearray(self.synced)
        share = dice.choice((0.0, 0.5, 0.9, 1.0))
        for operation in self.since:
            if dice.random() < share:
                _do(content, operation if dice.random() < 0.5 else _torn(operation, dice))
        return bytes(content)


class _Change(NamedTuple):
    """What was done to a name, and the file that a new one stands for."""

    operation: Operation
    file: _File | None

    def make(self, names: dict[str, _File | None]) -> None:
        done = self.operation
        match done.kind:
            case "c" | "m":
                names[done.path] = self.file
            case "u":
                names.pop(done.path, None)
            case "l" if done.path in names:
                names[done.to] = names[done.path]
            case "r" if done.path in names:
                names[done.to] = names.pop(done.path)


class Disk:
    """The files below a directory, as operations make them. Files are told apart by number, which names share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: list[_File] = []
        self._of_number: dict[int, _File] = {}
        self._lasting: dict[str, _File | None] = {str(root): None}
        """Names that a cut leaves for sure; None stands for a directory."""
        self._unsure: dict[str, list[_Change]] = {}
        """By directory: what was done to its names since its last sync."""
        self.acknowledged = 0
        """The last number that was told."""

    def do(self, operation: Operation) -> None:
        """Take the next operation."""
        match operation.kind:
            case "a" if operation.data.isspace():
                pass
            case "a":
                self.acknowledged = int(operation.data.split()[-1])
            case "w" | "t":
                if operation.file in self._of_number:
                    self._of_number[operation.file].since.append(operation)
            case "s":
                if operation.file in self._of_number:
                    self._of_number[operation.file].sync()
            case "d":
                for done in self._unsure.pop(operation.path, ()):
                    done.make(self._lasting)
            case _:
                file = _File() if operation.kind == "c" else None
                if file is not None:
                    self._of_number[operation.file] = file  # numbers of files that are gone are used again
                self._unsure.setdefault(str(Path(operation.path).parent), []).append(_Change(operation, file))

    def cut(self, into: Path, dice: Random) -> None:
        """Write what a power cut at this moment leaves into a new directory."""
        into.mkdir()
        names = dict(self._lasting)
        for done in self._unsure.values():
            for change in done[: dice.choice((0, dice.randint(0, len(done)), len(done)))]:
                change.make(names)
        contents: dict[int, bytes] = {}
        for name, file in sorted(names.items()):
            path = into / Path(name).relative_to(self._root)
            if not path.parent.is_dir():
                continue  # its directory did not last
            if file is None:
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(contents.setdefault(id(file), file.after_a_cut(dice)))


def _do(content: bytearray, operation: Operation) -> None:
    if operation.kind == "t":
        del content[operation.offset :]
    end = operation.offset + len(operation.data)
    content.extend(bytes(max(0, end - len(content))))
    content[operation.offset : end] = operation.data


def _torn(operation: Operation, dice: Random) -> Operation:
    """A part of a write: up to a sector's end, or from there on."""
    first = operation.offset // SECTOR_BYTES + 1
    last = (operation.offset + len(operation.data) - 1) // SECTOR_BYTES
    if operation.kind != "w" or first > last:
        return operation
    at = dice.randint(first, last) * SECTOR_BYTES
    if dice.random() < 0.5:
        return operation._replace(data=operation.data[: at - operation.offset])
    return operation._replace(offset=at, data=operation.data[at - operation.offset :])
