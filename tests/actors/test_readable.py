"""Files for people: what is added, what goes, and what is never touched."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.readable import PARTS, ReadableFiles

DAY = "main/scout/2026-01-{:02}.md"


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_texts_of_one_name_stand_in_one_file_in_their_order(tmp_path: Path) -> None:
    files = ReadableFiles(tmp_path, 10_000)
    files.append([(DAY.format(1), "one "), (DAY.format(2), "other"), (DAY.format(1), "two ")])
    files.append([(DAY.format(1), "drei ü")])
    assert (tmp_path / DAY.format(1)).read_text(encoding="utf-8") == "one two drei ü"
    assert names(tmp_path) == [DAY.format(1), DAY.format(2)]


def test_nobody_else_on_this_machine_reads_what_was_said(tmp_path: Path) -> None:
    ReadableFiles(tmp_path, 100).append([("main/zoe/2026-01-01.md", "a")])
    assert (tmp_path / "main" / "zoe").stat().st_mode & 0o777 == 0o700


def test_the_oldest_days_go_first_whoever_wrote_them(tmp_path: Path) -> None:
    files = ReadableFiles(tmp_path, 100)
    files.append([("main/zoe/2026-01-01.md", "a" * 40)])
    files.append([("main/abe/2026-01-02.md", "b" * 40)])
    assert len(names(tmp_path)) == 2
    files.append([("other/abe/2026-01-03.md", "c" * 40)])
    assert names(tmp_path) == ["main/abe/2026-01-02.md", "other/abe/2026-01-03.md"]
    assert not (tmp_path / "main" / "zoe").exists(), "an empty folder goes with its last file"


def test_a_busy_day_loses_its_beginning_and_keeps_its_end(tmp_path: Path) -> None:
    files = ReadableFiles(tmp_path, 1_000)
    for number in range(200):
        files.append([(DAY.format(1), f"<{number:08}>")])
        assert size(tmp_path) <= 1_000
    kept = sorted((tmp_path / "main" / "scout").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    parts = sorted((path for path in kept if path.stem.count(".")), key=lambda path: int(path.stem.split(".")[1]))
    text = "".join(path.read_text(encoding="utf-8") for path in [*parts, tmp_path / DAY.format(1)])
    assert text == "".join(f"<{number:08}>" for number in range(200 - len(text) // 10, 200))
    assert len(text) > 1_000 * (PARTS - 2) // PARTS


def test_what_stood_there_before_counts_and_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "main" / "scout"
    folder.mkdir(parents=True)
    (folder / "2026-01-01.md").write_text("a" * 90)
    (folder / "notes.md").write_text("mine" * 100)
    (tmp_path / "2026-01-01.md").write_text("mine" * 100)
    ReadableFiles(tmp_path, 100).append([(DAY.format(2), "b" * 50)])
    assert names(tmp_path) == ["2026-01-01.md", DAY.format(2), "main/scout/notes.md"]


def test_what_is_longer_than_the_bound_is_not_kept_at_all(tmp_path: Path) -> None:
    files = ReadableFiles(tmp_path, 10)
    files.append([(DAY.format(1), "a" * 11)])
    assert names(tmp_path) == []
    files.append([(DAY.format(1), "a" * 10)])
    assert names(tmp_path) == [DAY.format(1)]


def test_files_of_days_before_one_go_with_all_their_parts(tmp_path: Path) -> None:
    files = ReadableFiles(tmp_path, 80)
    for day in (1, 2):
        files.append([(DAY.format(day), "a" * 8)])
        files.append([(DAY.format(day), "b" * 8)])
    assert len(names(tmp_path)) == 4
    files.drop_before("2026-01-02")
    assert names(tmp_path) == ["main/scout/2026-01-02.1.md", DAY.format(2)]
    files.drop_before("2026-01-03")
    assert list(tmp_path.rglob("*.md")) == []


def test_a_disk_that_takes_nothing_is_the_callers_to_know(tmp_path: Path) -> None:
    (tmp_path / "main").write_text("a file in the way")
    with pytest.raises(OSError, match="main"):
        ReadableFiles(tmp_path, 100).append([(DAY.format(1), "a")])


@given(
    added=st.lists(st.tuples(st.integers(1, 9), st.sampled_from("ab"), st.integers(1, 60)), max_size=40),
    bytes_max=st.integers(1, 300),
)
def test_whatever_is_written_the_bound_holds_and_no_newer_day_goes_before_an_older_one(
    tmp_path_factory: pytest.TempPathFactory, added: list[tuple[int, str, int]], bytes_max: int
) -> None:
    directory = tmp_path_factory.mktemp("readable")
    files, seen = ReadableFiles(directory, bytes_max), set[str]()
    for day, agent, length in added:
        name = f"main/{agent}/2026-01-{day:02}.md"
        files.append([(name, "x" * length)])
        seen.add(f"2026-01-{day:02}")
        assert size(directory) <= bytes_max
        kept = {path.name[:10] for path in directory.rglob("*.md")}
        assert kept <= seen
        assert all(gone < min(kept) for gone in seen - kept if kept)
        seen = kept
