"""The command line: options anywhere, errors as one line, exit codes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from actors.main import app, main


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    said = capsys.readouterr()
    return leaving.value.code, said.out, said.err


def test_a_setting_that_cannot_be_used_ends_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agora.toml"
    config.write_text("[web]\nprot = 1\n")
    code, out, err = ended(capsys, "config", "--config", str(config))
    assert (code, out) == (2, "")
    assert err == f"agora: {config}:2: web.prot: there is no such setting; did you mean 'port'?\n"


def test_a_command_that_needs_a_server_ends_with_1_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ended(capsys, "status", "--data", str(tmp_path))
    assert (code, out) == (1, "")
    assert err == f"agora: no server runs on {tmp_path}; start one with `agora serve`\n"


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ended(capsys, "bief")
    assert code == 2
    assert "Usage:" in err


def commands_of(group: typer.Typer, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for command in group.registered_commands:
        assert command.callback is not None
        yield *before, command.name or command.callback.__name__
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from commands_of(below.typer_instance, (*before, below.name) if isinstance(below.name, str) else before)


@pytest.mark.parametrize("command", tuple(commands_of(app)), ids=" ".join)
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    code, out, err = ended(capsys, *command, "--help")
    assert (code, err) == (0, "")
    assert "Usage:" in out


def test_options_count_over_the_environment(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = ended(capsys, "--port", "9", "--data", str(tmp_path), "config")
    assert code == 0
    assert "web.port = 9  # --port" in out
    assert f'data = "{tmp_path}"  # --data' in out
