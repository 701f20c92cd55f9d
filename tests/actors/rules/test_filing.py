"""Pages and patches: where a result would stand, and what git is told."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.rules import filing
from actors.rules.filing import FilingOptions, Page
from bus.refusals import ChangeRefused
from tests.support.repositories import ENVIRONMENT, Sandbox

LIBRARIAN = FilingOptions("librarian", "library")
TEXTS = st.text(st.sampled_from("ab \t\r\f\n"), max_size=30)


def applied(repository: Path, patch: str) -> None:
    subprocess.run(["git", "apply", "-"], cwd=repository, env=ENVIRONMENT, input=patch.encode(), check=True)


def test_where_a_page_stands_follows_from_the_title_alone() -> None:
    found = filing.page(LIBRARIAN, title=" Brief: anyio 4.1 ", text="../../etc/passwd", source="a-1", by="Librarian")
    assert found == Page("briefs/brief-anyio-4-1.md", found.text)
    assert found.text == "# Brief: anyio 4.1\n\n../../etc/passwd\n\n---\n\nLibrarian, from a-1.\n"


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Über Größe", "uber-groe"),
        ("../../etc/passwd", "etc-passwd"),
        ("日本", "page"),
        ("", "page"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_name_is_letters_digits_and_dashes_whatever_the_title(title: str, name: str) -> None:
    assert filing.name_of(title) == name


@given(st.text(max_size=300))
def test_no_title_leads_out_of_the_folder(title: str) -> None:
    found = filing.page(LIBRARIAN, title=title, text="x", source="", by="L")
    filing.check_declared(LIBRARIAN, [found.path])
    assert found.path.count("/") == 1


@pytest.mark.parametrize("path", ["other.md", "briefs", "briefs/../x", "/briefs/x", "briefs/.git/x", "briefsx/y"])
def test_what_is_not_declared_is_refused(path: str) -> None:
    with pytest.raises(ChangeRefused):
        filing.check_declared(LIBRARIAN, [path])


def test_without_a_folder_there_are_no_pages() -> None:
    with pytest.raises(ChangeRefused, match="no folder"):
        filing.page(FilingOptions("librarian", "r", paths=("README.md",)), title="x", text="x", source="", by="L")


def test_what_is_as_it_shall_be_needs_no_patch() -> None:
    assert filing.patch([Page("a.md", "x\n")], {"a.md": "x\n"}) == ""


def test_a_patch_is_bounded_and_carries_no_odd_paths() -> None:
    with pytest.raises(ChangeRefused, match="longer than"):
        filing.patch([Page("a.md", "x\n" * filing.PATCH_CHARACTERS_MAX)], {"a.md": None})
    with pytest.raises(ChangeRefused, match="cannot carry"):
        filing.patch([Page('a"b.md', "x\n")], {'a"b.md': None})


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(before=st.none() | TEXTS, after=TEXTS.filter(bool))
def test_git_makes_of_a_patch_exactly_the_text_that_was_meant(
    tmp_path_factory: pytest.TempPathFactory, before: str | None, after: str
) -> None:
    sandbox = Sandbox(tmp_path_factory.mktemp("r") / "r")
    file = sandbox.path / "briefs" / "x.md"
    if before is not None:
        file.parent.mkdir()
        file.write_bytes(before.encode())
    patch = filing.patch([Page("briefs/x.md", after)], {"briefs/x.md": before})
    if patch:
        applied(sandbox.path, patch)
    assert file.read_bytes() == after.encode()
