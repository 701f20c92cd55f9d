"""`agora export`, `import` and `backup`."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from actors.commands.console import ExitCode
from actors.commands.exchange import backup, export, import_
from actors.commands.replay import Replayed, replay
from bus.errors import BadUsage
from tests.support.inside import briefed, decoded, serving, shell_at


async def _state_hash(data: Path, capsys: pytest.CaptureFixture[str], to: int | None = None) -> str:
    capsys.readouterr()
    assert await replay(shell_at(data, is_json=True), to) is ExitCode.DONE
    return msgspec.json.decode(capsys.readouterr().out, type=Replayed).state_hash


async def test_what_is_exported_with_its_sealed_fields_and_imported_has_the_same_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file, other = tmp_path / "data", tmp_path / "all.jsonl", tmp_path / "other"
    await briefed(data, tmp_path / "documents", 1, 2)
    assert await export(shell_at(data), str(file), has_sealed=True) is ExitCode.DONE
    assert await import_(shell_at(other), str(file)) is ExitCode.DONE
    assert await _state_hash(other, capsys) == await _state_hash(data, capsys)
    await briefed(other, tmp_path / "documents", 3)
    with pytest.raises(BadUsage, match="has a journal already"):
        await import_(shell_at(other), str(file))
    with pytest.raises(BadUsage, match="is there already"):
        await export(shell_at(data), str(file), has_sealed=True)


async def test_an_export_without_sealed_fields_is_shown_and_not_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tmp_path / "data", tmp_path / "public.jsonl"
    await briefed(data, tmp_path / "documents", 1)
    assert await export(shell_at(data, is_json=True), str(file), has_sealed=False) is ExitCode.DONE
    lines = [msgspec.json.decode(line, type=dict[str, object]) for line in file.read_bytes().splitlines()]
    assert {line["type"] for line in lines if line.get("is_sealed")} == {"bid.submitted"}
    assert not any("sealed" in line for line in lines)
    with pytest.raises(BadUsage, match="--sealed"):
        await import_(shell_at(tmp_path / "other"), str(file))


async def test_lines_that_cannot_be_taken_are_told_by_number_and_nothing_is_lost_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tmp_path / "data", tmp_path / "all.jsonl"
    await briefed(data, tmp_path / "documents", 1)
    await export(shell_at(data), str(file), has_sealed=True)
    lines = file.read_bytes().splitlines(keepends=True)
    blobs = sum(line.startswith(b'{"blob"') for line in lines)
    broken = blobs + 11  # the line of position 10
    lines[broken - 1] = b"no line\n"
    lines[-1] = lines[-1][:-20]
    file.write_bytes(b"".join(lines))
    capsys.readouterr()
    assert await import_(shell_at(tmp_path / "other", is_json=True), str(file)) is ExitCode.FAILED
    told = decoded(capsys.readouterr().out)
    events = len(lines) - blobs - 1
    assert (told["events"], told["left_out"], told["problems_count"]) == (9, events - 9 - 2, 2)
    assert await import_(shell_at(tmp_path / "third"), str(file)) is ExitCode.FAILED
    said = capsys.readouterr().out
    assert f"line {broken}: " in said
    assert f"line {len(lines)}: the line is torn" in said
    assert "events after that were not imported" in said


async def test_a_backup_is_made_beside_a_server_and_is_a_data_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = tmp_path / "data", tmp_path / "backup.tar"
    await briefed(data, tmp_path / "documents", 1)
    async with serving(data):
        assert await backup(shell_at(data), file) is ExitCode.DONE
    assert "proved" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["tar", "-xf", str(file), "-C", str(other)], check=True)  # noqa: ASYNC221  as a person would
    head = await _head(other, capsys)
    assert await _state_hash(other, capsys) == await _state_hash(data, capsys, head)
    await briefed(other, tmp_path / "documents", 2)
    with pytest.raises(BadUsage, match="is there already"):
        await backup(shell_at(data), file)
    assert await backup(shell_at(data, is_json=True), tmp_path / "second.tar") is ExitCode.DONE


async def _head(data: Path, capsys: pytest.CaptureFixture[str]) -> int:
    capsys.readouterr()
    await replay(shell_at(data, is_json=True), None)
    return msgspec.json.decode(capsys.readouterr().out, type=Replayed).position
