"""Which files a change may touch."""

import pytest

from actors.rules.changes import FILES_MAX, Touched, check_path, check_plain, check_symlink, check_touched, parse_raw
from bus.refusals import ChangeRefused

BLOB = "a" * 40


def touched(path: str, mode: str = "100644") -> Touched:
    return Touched(path, mode, BLOB)


def test_what_git_lists_is_read() -> None:
    head = b":100644 120000 " + b"0" * 40 + b" " + BLOB.encode() + b" M"
    assert parse_raw(head + b"\0docs/a b.txt\0") == (Touched("docs/a b.txt", "120000", BLOB, "100644"),)
    assert parse_raw(b"") == ()


def test_a_name_that_is_no_text_is_refused() -> None:
    head = b":000000 100644 " + b"0" * 40 + b" " + BLOB.encode() + b" A"
    with pytest.raises(ChangeRefused, match="not in UTF-8"):
        parse_raw(head + b"\0\xff.txt\0")


@pytest.mark.parametrize("path", ["../x", "a/../b", "/etc/x", ".git/config", "sub/.GIT/hooks/x", "a//b", "./a"])
def test_paths_that_lead_out_of_the_tree_are_refused(path: str) -> None:
    with pytest.raises(ChangeRefused, match="leads out of the tree"):
        check_touched([touched(path)], ())


@pytest.mark.parametrize(
    ("path", "is_inside"),
    [("docs/a.md", True), ("README.md", True), ("docs", False), ("docsx/a", False), ("README.md.x", False)],
)
def test_declared_paths_are_files_and_folders_with_a_slash(path: str, is_inside: bool) -> None:
    if is_inside:
        check_touched([touched(path)], ("docs/", "README.md"))
    else:
        with pytest.raises(ChangeRefused, match="outside the declared paths"):
            check_touched([touched(path)], ("docs/", "README.md"))


def test_submodules_and_nothing_and_too_many_files_are_refused() -> None:
    with pytest.raises(ChangeRefused, match="is a submodule"):
        check_touched([touched("sub", "160000")], ())
    with pytest.raises(ChangeRefused, match="changes nothing"):
        check_touched([], ())
    with pytest.raises(ChangeRefused, match="more than"):
        check_touched([touched(f"f{number}") for number in range(FILES_MAX + 1)], ())


@pytest.mark.parametrize("target", ["/etc/passwd", "../..", "../../x", "sub/../../../x", "../.git/config"])
def test_symlinks_out_of_the_tree_are_refused(target: str) -> None:
    with pytest.raises(ChangeRefused, match="leads out of the tree"):
        check_symlink("docs/link", target)


@pytest.mark.parametrize("target", ["a.md", "../README.md", "./b/../c", "sub/../a"])
def test_symlinks_inside_the_tree_are_fine(target: str) -> None:
    check_symlink("docs/link", target)


@pytest.mark.parametrize(
    ("old_mode", "mode", "words"),
    [
        ("000000", "120000", "is a symlink"),
        ("120000", "000000", "is a symlink"),
        ("120000", "100644", "is a symlink"),
        ("000000", "100755", "the mode of run.sh would be 100755"),
        ("100644", "100755", "the mode of run.sh would be 100755"),
        ("100755", "100644", "the mode of run.sh would be 100644"),
    ],
)
def test_a_patch_makes_no_symlinks_and_changes_no_modes(old_mode: str, mode: str, words: str) -> None:
    with pytest.raises(ChangeRefused, match=words):
        check_plain([Touched("run.sh", mode, BLOB, old_mode)])


@pytest.mark.parametrize(("old_mode", "mode"), [("000000", "100644"), ("100755", "100755"), ("100755", "000000")])
def test_a_patch_adds_changes_and_removes_plain_files(old_mode: str, mode: str) -> None:
    check_plain([Touched("run.sh", mode, BLOB, old_mode)])


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", ".git/config", "a/.Git/x", "a\0b"])
def test_a_path_of_a_file_stays_in_the_tree(path: str) -> None:
    with pytest.raises(ChangeRefused, match="leads out of the tree"):
        check_path(path)
    assert check_path("docs/a b.md") == "docs/a b.md"
