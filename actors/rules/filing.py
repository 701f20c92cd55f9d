"""What an agent proposes to keep: where it would stand, what it would say, and the patch that says so to git.

Rules: where a page stands follows from the title that the poster gave, never from what a document or a model says. A
patch is made of whole texts, the one that is there and the one that shall be, so nobody writes one by hand.

Pure: no git, no disk.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from typing import Annotated, Final

import msgspec

from actors.rules.changes import check_path
from bus.refusals import ChangeRefused

NAME_CHARACTERS_MAX = 80
PATCH_CHARACTERS_MAX = 512 * 1024
"""More is not written by one agent in one step."""
_NO_NEWLINE: Final = "\\ No newline at end of file\n"


class FilingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent may propose to change, with the tool `propose_change`."""

    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """The persona's name."""
    repository: str
    """The repository's name: `library`, or one of `approvals.changes.repositories`."""
    branch: str = "main"
    """The branch that it would change."""
    paths: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)] = ("briefs/",)
    """Where it may: files, and folders that end in a slash. New pages go to the first folder."""
    capability: str = "file"
    """The tasks whose results it proposes to keep; what it does for others stays an artifact."""


class Page(msgspec.Struct, frozen=True):
    """A file that shall be."""

    path: str
    text: str


def page(options: FilingOptions, *, title: str, text: str, source: str, by: str) -> Page:
    """The page that keeps a result. Raises ChangeRefused when there is no folder for it."""
    folder = next((path for path in options.paths if path.endswith("/")), None)
    if folder is None:
        raise ChangeRefused(f"{options.agent} has no folder to propose pages for")
    words = " ".join(title.split()) or "Untitled"
    said = f"# {words}\n\n{text.strip()}\n\n---\n\n{by}{f', from {source}' if source else ''}.\n"
    return Page(f"{folder}{name_of(words)}.md", said)


def name_of(title: str) -> str:
    """A file name of letters, digits and dashes."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:NAME_CHARACTERS_MAX].strip("-") or "page"


def check_declared(options: FilingOptions, paths: Sequence[str]) -> None:
    """Refuse to touch what the agent has not declared. Raises ChangeRefused."""
    for path in paths:
        check_path(path)
        if not any(path == one or (one.endswith("/") and path.startswith(one)) for one in options.paths):
            raise ChangeRefused(f"{path} is outside the paths that {options.agent} declares")


def patch(pages: Sequence[Page], there: Mapping[str, str | None]) -> str:
    """The patch from what is there to what shall be; empty where nothing changes. Raises ChangeRefused."""
    parts = [_part(one, there[one.path]) for one in pages if there[one.path] != one.text]
    found = "".join(parts)
    if len(found) > PATCH_CHARACTERS_MAX:
        raise ChangeRefused(f"the change is longer than {PATCH_CHARACTERS_MAX} characters")
    return found


def _part(one: Page, before: str | None) -> str:
    path = check_path(one.path)
    if re.search(r'[\x00-\x1f"\\]', path):
        raise ChangeRefused(f"the path {path!r} has characters that a patch cannot carry")
    head = f"diff --git a/{path} b/{path}\n" + ("new file mode 100644\n" if before is None else "")
    old, new = "/dev/null" if before is None else f"a/{path}", f"b/{path}"
    lines = unified_diff(_lines(before or ""), _lines(one.text), old, new, n=3)
    return head + "".join(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}" for line in lines)


def _lines(text: str) -> list[str]:
    """Lines as git sees them: a form feed or a carriage return ends none."""
    found = text.split("\n")
    return [f"{line}\n" for line in found[:-1]] + ([found[-1]] if found[-1] else [])
