"""Find and read the documents that a person names: files as they are, folders by what they hold.

Rules: a folder is searched through and through for `*.txt`, `*.md`, `*.rst` and the `METADATA` of installed packages
(`*.dist-info`), in the order of their paths; hidden folders below it and links to folders are left out. A document that
cannot be read is not an error of the whole: it comes with its reason. Blocking; called in a thread.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bus.errors import BadUsage
from bus.messages.artifacts import CONTENT_BYTES_MAX

SUFFIXES = frozenset({".txt", ".md", ".rst"})
DOCUMENTS_MAX = 10_000
"""More at once is a mistake in the path rather than a wish."""


class Document(msgspec.Struct, frozen=True):
    """A document with its text, or with the reason why it has none."""

    path: Path
    name: str
    text: str = ""
    problem: str = ""

    @property
    def media_type(self) -> str:
        return "text/markdown" if self.path.suffix.lower() == ".md" else "text/plain"


def found(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The documents that the paths name, each once.

    Raises:
        BadUsage: a path does not exist, or there is no document.
    """
    documents: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise BadUsage(f"{path}: there is no such file or folder")
        for document in _below(path) if path.is_dir() else (path,):
            documents.setdefault(document)
            if len(documents) > DOCUMENTS_MAX:
                raise BadUsage(f"{path}: there are more than {DOCUMENTS_MAX} documents; name a smaller folder")
    if not documents:
        where = ", ".join(str(path) for path in paths)
        raise BadUsage(f"{where}: no document found; looked for *.txt, *.md, *.rst and *.dist-info/METADATA")
    return tuple(documents)


def read(path: Path) -> Document:
    """A document's text, or what is wrong with it."""
    name = name_of(path)
    try:
        with path.open("rb") as file:
            content = file.read(CONTENT_BYTES_MAX + 1)
    except OSError as error:
        return Document(path, name, problem=f"cannot be read: {error.strerror or error}")
    if len(content) > CONTENT_BYTES_MAX:
        return Document(path, name, problem=f"too large: more than {CONTENT_BYTES_MAX // 1024 // 1024} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Document(path, name, problem="binary: it is not UTF-8 text")
    if "\0" in text:
        return Document(path, name, problem="binary: it holds zero bytes")
    if not text.strip():
        return Document(path, name, problem="empty: it holds no text")
    return Document(path, name, text)


def name_of(path: Path) -> str:
    """How a document is called: a package by its name and version, everything else by its file."""
    if path.name == "METADATA" and path.parent.suffix == ".dist-info":
        return path.parent.stem.replace("-", " ", 1)
    return path.name


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        is_package = Path(here).suffix == ".dist-info"
        folders[:] = [] if is_package else sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            # Beside its description a package holds lists and licences, which nobody wants a brief of.
            if name == "METADATA" if is_package else Path(name).suffix.lower() in SUFFIXES:
                yield Path(here, name)
