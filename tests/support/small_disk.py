"""A disk that is soon full, for real: a small file system of its own (tmpfs)."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a file system is mounted, which only root may do")

SIZE_BYTES = 24 * 2**20


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk: Path, *, but_bytes: int = 0) -> Path:
    """Someone else's file takes what room there is; where it is."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free - but_bytes
    with ballast.open("ab") as file:
        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), max(1, free))
    return ballast
