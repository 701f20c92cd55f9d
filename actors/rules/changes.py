"""Which files a change may touch, and how.

Rules: nothing outside the declared paths; no `.git` anywhere in a path; no submodule; a symlink that is added or
changed points inside the tree; at most `FILES_MAX` files.

Pure: it is given what git lists.
"""

from collections.abc import Sequence
from posixpath import normpath
from typing import Final

import msgspec

from bus.refusals import ChangeRefused

FILES_MAX = 5_000
SYMLINK: Final = "120000"
SUBMODULE: Final = "160000"


class Touched(msgspec.Struct, frozen=True):
    """One file of a change. `mode` and `blob` are those after it; a removed file has the mode `000000`."""

    path: str
    mode: str
    blob: str


def parse_raw(listing: bytes) -> tuple[Touched, ...]:
    """What `git diff-tree -r --raw -z --no-renames` lists. Raises ChangeRefused for what is not in UTF-8."""
    fields = listing.split(b"\0")
    found: list[Touched] = []
    for head, name in zip(fields[0::2], fields[1::2], strict=False):
        try:
            path = name.decode()
        except UnicodeDecodeError as error:
            raise ChangeRefused(f"the name {name!r} is not in UTF-8") from error
        _, mode, _, blob, _ = head.decode("ascii").split(" ")
        found.append(Touched(path, mode, blob))
    return tuple(found)


def check_touched(touched: Sequence[Touched], paths: Sequence[str]) -> None:
    """Refuse a change that touches what it must not. Raises ChangeRefused."""
    if not touched:
        raise ChangeRefused("it changes nothing")
    if len(touched) > FILES_MAX:
        raise ChangeRefused(f"it touches more than {FILES_MAX} files")
    for one in touched:
        parts = one.path.split("/")
        if one.path.startswith("/") or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
            raise ChangeRefused(f"the path {one.path!r} leads out of the tree")
        if one.mode == SUBMODULE:
            raise ChangeRefused(f"{one.path} is a submodule")
        if paths and not any(one.path == path or (path.endswith("/") and one.path.startswith(path)) for path in paths):
            raise ChangeRefused(f"{one.path} is outside the declared paths")


def check_symlink(path: str, target: str) -> None:
    """Refuse a symlink that leads out of the tree. Raises ChangeRefused."""
    place = normpath("/".join((*path.split("/")[:-1], target)))
    if target.startswith("/") or place == ".." or place.startswith("../") or ".git" in place.lower().split("/"):
        raise ChangeRefused(f"the symlink {path} leads out of the tree, to {target!r}")
