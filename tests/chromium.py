"""The real browser of the browser tests: where it is, and how it gets onto a Debian machine.

Nothing is downloaded from anywhere but the machine's own package sources, and each command is shown before it runs.
"""

import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS_PATH = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")
"""Debian's browser, and a font: without one every page is blank boxes."""
INSTALL_TIMEOUT_S = 600.0
"""Some 120 MB from a mirror; ten minutes cover a slow one."""


class ChromiumError(Exception):
    """There is no browser and none can be installed here; the message says what to do."""


def find_chromium() -> Path | None:
    """The first Chromium or Chrome on the path, if there is one."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    return MACOS_PATH if MACOS_PATH.exists() else None


def ensure_chromium() -> Path:
    """The browser, installed by apt-get if it is missing. Raises ChromiumError."""
    if found := find_chromium():
        return found
    root = _root_prefix()
    for command in (("update",), ("install", "-y", "--no-install-recommends", *PACKAGES)):
        _apt_get(root, command)
    if found := find_chromium():
        return found
    raise ChromiumError(f"apt-get installed {' and '.join(PACKAGES)}, yet no {' or '.join(NAMES)} is on the path")


def _root_prefix() -> tuple[str, ...]:
    if shutil.which("apt-get") is None:
        raise ChromiumError(
            "the browser tests need Chromium; install it with this system's packages and run them again"
        )
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") and _succeeds(("sudo", "-n", "true")):
        return ("sudo", "-n")
    raise ChromiumError(f"the browser tests need Chromium; as root, run: apt-get install {' '.join(PACKAGES)}")


def _succeeds(command: tuple[str, ...]) -> bool:
    return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0


def _apt_get(root: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    command = (*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", *arguments)
    print("chromium is missing:", " ".join(command), flush=True)
    try:
        status = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, timeout=INSTALL_TIMEOUT_S).returncode
    except subprocess.TimeoutExpired as error:
        raise ChromiumError(f"apt-get {arguments[0]} took longer than {INSTALL_TIMEOUT_S:g} s") from error
    if status != 0:
        raise ChromiumError(f"apt-get {arguments[0]} ended with status {status}; the lines above say why")
