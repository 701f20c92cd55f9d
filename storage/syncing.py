"""Making a file, or the names in a directory, last through a loss of power."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """On return what was written there is on the disk. Blocking. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
