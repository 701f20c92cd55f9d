"""Which files a change may touch, and how.

Rules: nothing outside the declared paths; no `.git` anywhere in a path; no submodule; a symlink that is added or
changed points inside the tree; at most `FILES_MAX` files. A patch, which is text that somebody wrote, changes plain
files and leaves their modes as they are: what is more than that comes as commits.

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
PLAIN: Final = "100644"
GONE: Final = "000000"


class Touched(msgspec.Struct, frozen=True):
    """One file of a change. `mode` and `blob` are those after it; a removed file has the mode `000000`."""

    path: str
    mode: str
    blob: str
    old_mode: str = GONE
    """The one before it; `000000` for a new file."""


def parse_raw(listing: bytes) -> tuple[Touched, ...]:
    """What `git diff-tree -r --raw -z --no-renames` lists. Raises ChangeRefused for what is not in UTF-8."""
    fields = listing.split(b"\0")
    found: list[Touched] = []
    for head, name in zip(fields[0::2], fields[1::2], strict=False):
        try:
            path = name.decode()
        except UnicodeDecodeError as error:
            raise ChangeRefused(f"the name {name!r} is not in UTF-8") from error
        old_mode, mode, _, blob, _ = head.decode("ascii").split(" ")
        found.append(Touched(path, mode, blob, old_mode.removeprefix(":")))
    return tuple(found)


def check_touched(touched: Sequence[Touched], paths: Sequence[str]) -> None:
    """Refuse a change that touches what it must not. Raises ChangeRefused."""
    if not touched:
        raise ChangeRefused("it changes nothing")
    if len(touched) > FILES_MAX:
        raise ChangeRefused(f"it touches more than {FILES_MAX} files")
    for one in touched:
        check_path(one.path)
        if one.mode == SUBMODULE:
            raise ChangeRefused(f"{one.path} is a submodule")
        if paths and not any(one.path == path or (path.endswith("/") and one.path.startswith(path)) for path in paths):
            raise ChangeRefused(f"{one.path} is outside the declared paths")


def check_symlink(path: str, target: str) -> None:
    """Refuse a symlink that leads out of the tree. Raises ChangeRefused."""
    place = normpath("/".join((*path.split("/")[:-1], target)))
    if target.startswith("/") or place == ".." or place.startswith("../") or ".git" in place.lower().split("/"):
        raise ChangeRefused(f"the symlink {path} leads out of the tree, to {target!r}")


def check_plain(touched: Sequence[Touched]) -> None:
    """Refuse a patch that does more than change the text of plain files. Raises ChangeRefused."""
    for one in touched:
        if SYMLINK in (one.mode, one.old_mode):
            raise ChangeRefused(f"{one.path} is a symlink; a patch changes plain files")
        if one.mode not in (GONE, PLAIN if one.old_mode == GONE else one.old_mode):
            raise ChangeRefused(f"the mode of {one.path} would be {one.mode}; a patch leaves modes as they are")


def check_path(path: str) -> str:
    """A path of a file inside a tree, as it is. Raises ChangeRefused."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) or "\0" in path:
        raise ChangeRefused(f"the path {path!r} leads out of the tree")
    return path
