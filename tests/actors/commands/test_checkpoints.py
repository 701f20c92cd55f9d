"""`agora checkpoints` with and without a server."""

from pathlib import Path

import msgspec
import pytest

from actors.commands import checkpoints
from actors.commands.console import ExitCode
from bus.errors import NotFound, NotServing
from tests.support.inside import decoded, serving, shell_at


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


async def test_a_damaged_checkpoint_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path):
        pass
    shell = shell_at(tmp_path, is_json=True)
    assert await checkpoints.verify(shell, "") is ExitCode.DONE
    assert msgspec.json.decode(capsys.readouterr().out, type=list[dict[str, str]])[0]["problem"] == ""
    with pytest.raises(NotFound, match="c-999"):
        await checkpoints.verify(shell, "c-999")


async def test_without_a_data_directory_there_is_nothing_to_list_and_nobody_to_save(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="checkpoint file"):
        await checkpoints.list_(shell_at(tmp_path / "none"))
    with pytest.raises(NotServing):
        await checkpoints.create(shell_at(tmp_path / "none"), "")
