"""The command line: options anywhere, errors as one line, exit codes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.main import hoisted, main


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    said = capsys.readouterr()
    return leaving.value.code, said.out, said.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), []),
        (("serve", "--port", "0"), ["--port", "0", "serve"]),
        (("brief", "a", "--data=x", "--json", "b"), ["--data=x", "--json", "brief", "a", "b"]),
        (("brief", "--", "--json"), ["brief", "--", "--json"]),
        (("serve", "--port"), ["--port", "serve"]),
    ],
)
def test_global_options_are_understood_wherever_they_stand(arguments: Sequence[str], expected: list[str]) -> None:
    assert hoisted(arguments) == expected


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


@pytest.mark.parametrize("command", ["serve", "brief", "post", "wait", "tail", "status", "link", "config"])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, err = ended(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert "Usage:" in out


def test_options_count_over_the_environment(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = ended(capsys, "--port", "9", "--data", str(tmp_path), "config")
    assert code == 0
    assert "web.port = 9  # --port" in out
    assert f'data = "{tmp_path}"  # --data' in out
