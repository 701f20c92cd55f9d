"""Libraries that stand between a process and its disk, for a process that is started with one in LD_PRELOAD."""

import shutil
import subprocess
from pathlib import Path

import pytest

needs_a_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="the failing disk is written in C")


def shim(directory: Path, name: str = "faults") -> Path:
    """The library of a name, compiled into a directory."""
    library = directory / f"{name}.so"
    source = Path(__file__).parent / f"{name}.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library
