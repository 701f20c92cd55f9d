"""`agora checkpoints` with and without a server."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from actors.commands import checkpoints, forks
from actors.commands.console import ExitCode
from actors.proving import time_us_of
from bus.errors import BadUsage, NotServing
from bus.refusals import NotFound
from tests.support.inside import briefed, decoded, serving, shell_at


def _file(data: Path) -> Path:
    return checkpoints.directory_of(shell_at(data)) / "checkpoints.sqlite"


def _problems(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [each["problem"] for each in msgspec.json.decode(capsys.readouterr().out, type=list[dict[str, str]])]


async def test_a_checkpoint_is_saved_by_the_server_and_listed_and_proved_with_or_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path, is_json=True)
    async with serving(tmp_path):
        assert await checkpoints.create(shell, "by hand") is ExitCode.DONE
        saved = decoded(capsys.readouterr().out)
        assert saved["label"] == "by hand"
        assert await checkpoints.list_(shell) is ExitCode.DONE
        assert str(saved["checkpoint"]) in capsys.readouterr().out
    assert await checkpoints.list_(shell_at(tmp_path)) is ExitCode.DONE
    assert "by hand" in capsys.readouterr().out
    assert await checkpoints.verify(shell_at(tmp_path), "") is ExitCode.DONE
    assert f"{saved['checkpoint']}: sound\n" in capsys.readouterr().out


async def test_a_sound_checkpoint_and_then_a_damaged_one_is_told_and_another_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path):
        pass
    shell = shell_at(tmp_path, is_json=True)
    assert await checkpoints.verify(shell, "") is ExitCode.DONE
    assert _problems(capsys) == [""]
    with pytest.raises(NotFound, match="c-999"):
        await checkpoints.verify(shell, "c-999")
    with closing(sqlite3.connect(_file(tmp_path), isolation_level=None)) as connection:
        connection.execute("UPDATE chunks SET content = zeroblob(40)")
    assert await checkpoints.verify(shell, "") is ExitCode.FAILED
    (problem,) = _problems(capsys)
    assert "chunk" in problem


async def test_one_whose_manifest_is_damaged_is_listed_as_such_with_why_and_the_newest_is_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path):
        await checkpoints.create(shell_at(tmp_path), "first")
        await checkpoints.create(shell_at(tmp_path), "second")
    with closing(sqlite3.connect(_file(tmp_path), isolation_level=None)) as connection:
        (name,) = connection.execute("SELECT name FROM checkpoints ORDER BY id DESC").fetchone()
        connection.execute("UPDATE checkpoints SET hash = zeroblob(32) WHERE name = ?", (name,))
    capsys.readouterr()
    assert await checkpoints.list_(shell_at(tmp_path)) is ExitCode.DONE
    assert f"{name} is damaged, and nothing goes on from it: " in capsys.readouterr().out
    assert await checkpoints.list_(shell_at(tmp_path, is_json=True)) is ExitCode.DONE
    *sound, damaged = msgspec.json.decode(capsys.readouterr().out, type=list[dict[str, object]])
    assert damaged["checkpoint"] == name
    assert damaged["problem"]
    assert all(view["checkpoint"] != name for view in sound)
    assert await checkpoints.verify(shell_at(tmp_path), "newest") is ExitCode.DONE
    assert name not in capsys.readouterr().out
    with pytest.raises(BadUsage, match=f"{name} is damaged: .*choose another, or a position"):
        await forks.fork(shell_at(tmp_path), name, tmp_path / "into")
    assert not (tmp_path / "into").exists()


async def test_without_a_data_directory_there_is_nothing_to_list_and_nobody_to_save(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="checkpoint file"):
        await checkpoints.list_(shell_at(tmp_path / "none"))
    with pytest.raises(NotServing):
        await checkpoints.create(shell_at(tmp_path / "none"), "")


async def test_one_is_pinned_and_the_others_pruned_beside_a_server_and_without_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path, is_json=True)
    async with serving(tmp_path):
        await checkpoints.create(shell, "first")
        await checkpoints.create(shell, "second")
        await checkpoints.create(shell, "third")
        capsys.readouterr()
        assert await checkpoints.pin(shell, "first", is_pinned=True) is ExitCode.DONE
        assert decoded(capsys.readouterr().out)["is_pinned"] is True
        assert await checkpoints.prune(shell, 1) is ExitCode.DONE
        assert len(msgspec.json.decode(capsys.readouterr().out, type=dict[str, list[str]])["removed"]) == 1
    assert await _labels(tmp_path, capsys) == ["", "third", "first"]
    assert await checkpoints.prune(shell, 1) is ExitCode.DONE
    assert await _labels(tmp_path, capsys) == ["", "first"]
    assert await checkpoints.pin(shell_at(tmp_path), "first", is_pinned=False) is ExitCode.DONE
    assert await checkpoints.prune(shell_at(tmp_path), 1) is ExitCode.DONE
    assert await _labels(tmp_path, capsys) == [""]
    with pytest.raises(NotFound):
        await checkpoints.pin(shell, "first", is_pinned=True)


async def test_the_difference_of_two_is_told_actor_by_actor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1)
    await briefed(data, tmp_path / "documents", 2)
    capsys.readouterr()
    assert await checkpoints.diff(shell_at(data, is_json=True), "1000", "newest") is ExitCode.DONE
    assert msgspec.json.decode(capsys.readouterr().out) == []
    assert await checkpoints.diff(shell_at(data), "step:1", "newest") is ExitCode.DONE
    said = capsys.readouterr().out
    assert "tasks.t-2" in said
    assert "transfers.hold/t-2" in said


async def _labels(data: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    await checkpoints.list_(shell_at(data, is_json=True))
    found = msgspec.json.decode(capsys.readouterr().out, type=list[dict[str, object]])
    return [str(view["label"]) for view in found]


@pytest.mark.parametrize("wanted", ["c-2020", "12", "newest", "2020", "a-label", "2020-13-01", "label:2020-01-01"])
def test_what_is_no_time_is_not_taken_for_one(wanted: str) -> None:
    assert time_us_of(wanted) is None


def test_a_time_is_taken_as_it_is_written() -> None:
    assert time_us_of("2026-01-31T12:00:00+00:00") == 1_769_860_800_000_000
