"""Which documents a path names, and what is wrong with those that cannot be read."""

from pathlib import Path

import pytest

from actors.commands import documents
from bus.errors import BadUsage
from bus.messages.artifacts import CONTENT_BYTES_MAX


def written(path: Path, content: bytes = b"Some text.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_folder_is_searched_for_texts_and_package_descriptions_only(tmp_path: Path) -> None:
    wanted = [
        written(tmp_path / "a.md"),
        written(tmp_path / "lib" / "deep" / "b.RST"),
        written(tmp_path / "lib" / "one-1.0.dist-info" / "METADATA"),
        written(tmp_path / "lib" / "z.txt"),
    ]
    for other in ("c.py", "METADATA", "lib/one-1.0.dist-info/top_level.txt", ".hidden/d.md", "lib/.git/e.txt"):
        written(tmp_path / other)
    written(tmp_path / "lib" / "one-1.0.dist-info" / "licenses" / "LICENSE.txt")
    assert sorted(documents.found([tmp_path])) == sorted(wanted)


def test_a_named_file_is_taken_whatever_it_is_called_and_each_one_once(tmp_path: Path) -> None:
    one, two = written(tmp_path / "notes.log"), written(tmp_path / "b.md")
    assert documents.found([one, one, tmp_path]) == (one, two)


def test_a_path_that_is_not_there_and_a_folder_without_documents_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="none: there is no such file or folder"):
        documents.found([tmp_path / "none"])
    with pytest.raises(BadUsage, match="no document found; looked for"):
        documents.found([tmp_path])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x89PNG\r\n\xff", "binary: it is not UTF-8 text"),
        (b"a\0b", "binary: it holds zero bytes"),
        (b" \n\t ", "empty: it holds no text"),
        (b"", "empty: it holds no text"),
        (b"x" * (CONTENT_BYTES_MAX + 1), "too large: more than 4 MiB"),
        ("\ufeffGrüße".encode(), ""),
    ],
)
def test_what_cannot_be_read_comes_with_its_reason(tmp_path: Path, content: bytes, problem: str) -> None:
    document = documents.read(written(tmp_path / "a.txt", content))
    assert document.problem == problem
    assert document.text == ("" if problem else "Grüße")


def test_a_folder_instead_of_a_file_cannot_be_read(tmp_path: Path) -> None:
    assert documents.read(tmp_path).problem == "cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("path", "name", "media_type"),
    [
        ("lib/aiohttp-3.12.1.dist-info/METADATA", "aiohttp 3.12.1", "text/plain"),
        ("a/METADATA", "METADATA", "text/plain"),
        ("a/read.me.md", "read.me.md", "text/markdown"),
    ],
)
def test_a_package_is_called_by_name_and_version(path: str, name: str, media_type: str) -> None:
    document = documents.Document(Path(path), documents.name_of(Path(path)))
    assert (document.name, document.media_type) == (name, media_type)
