"""`agora config`: what is in effect, and where it comes from."""

from pathlib import Path

import pytest

from actors.commands import settings as command
from actors.commands.console import ExitCode
from actors.config import Settings
from tests.support.inside import decoded, shell_at


def test_each_setting_is_shown_with_its_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agora.toml"
    file.write_text("[web]\nport = 9\n")
    settings = Settings(file, {"AGORA_LOG__LEVEL": "debug"}, {"data": "here"})
    assert command.show(shell_at(tmp_path), settings) is ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert f"web.port = 9  # {file}:2" in lines
    assert 'log.level = "debug"  # AGORA_LOG__LEVEL' in lines
    assert 'data = "here"  # --data' in lines
    assert 'web.host = "127.0.0.1"  # default' in lines


def test_machines_get_one_document_with_the_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(None, {}, {})
    command.show(shell_at(tmp_path, is_json=True), settings)
    document = decoded(capsys.readouterr().out)
    assert document["hash"] == settings.config.hash
