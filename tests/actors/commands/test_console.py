"""What an error means to a shell, and how commands print."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.commands import console
from actors.commands.console import ExitCode
from bus.errors import BadUsage, ConfigError, NotServing, StorageError
from tests.support.inside import decoded, shell_at


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a.toml:1", "web.prot", "no"), ExitCode.USAGE),
        (BadUsage("no document found"), ExitCode.USAGE),
        (NotServing("data"), ExitCode.FAILED),
        (StorageError("damaged"), ExitCode.FAILED),
        (OSError(13, "Permission denied", "data"), ExitCode.FAILED),
        (ValueError("a bug"), ExitCode.FAILED),
    ],
)
def test_config_and_usage_end_with_2_and_everything_else_with_1(error: Exception, code: ExitCode) -> None:
    assert console.exit_code_of(error) is code


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NotServing("data"), "no server runs on data; start one with `agora serve`"),
        (OSError(13, "Permission denied", "data"), "data: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("two\nlines"), "ValueError: two lines"),
        (StopIteration(), "StopIteration"),
    ],
)
def test_an_error_is_one_line(error: Exception, message: str) -> None:
    assert console.message_of(error) == message


def test_of_a_group_the_error_that_is_ours_counts() -> None:
    cause = StorageError("damaged")
    group = BaseExceptionGroup("", [ValueError(), ExceptionGroup("", [RuntimeError("a"), cause])])
    assert console.first_of(ExceptionGroup("", [ExceptionGroup("", [cause])])) is cause
    assert isinstance(console.first_of(group), ValueError)


def test_words_for_people_leave_stdout_to_the_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell_at(tmp_path).say("[hello]")
    shell = shell_at(tmp_path, is_json=True)
    shell.say("aside")
    shell.print_json({"a": "x" * 500})
    said = capsys.readouterr()
    assert said.out.startswith("[hello]\n{")
    assert decoded(said.out.removeprefix("[hello]\n")) == {"a": "x" * 500}
    assert said.err == "aside\n"


def test_a_command_ends_with_a_document_for_machines_or_words_for_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for is_json in (False, True):
        assert shell_at(tmp_path, is_json=is_json).answer({"task": "t-1"}, "t-1 is posted") is ExitCode.DONE
    said = capsys.readouterr()
    assert said.out.startswith("t-1 is posted\n{")
    assert decoded(said.out.removeprefix("t-1 is posted\n")) == {"task": "t-1"}
    assert said.err == ""


def test_a_process_is_alive_until_it_has_ended() -> None:
    assert console.is_alive(os.getpid())
    assert console.is_alive(1)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert not console.is_alive(process.pid)


@pytest.mark.parametrize(("count", "said"), [(0, "0 blobs"), (1, "1 blob"), (2, "2 blobs")])
def test_one_is_one_and_all_else_are_many(count: int, said: str) -> None:
    assert console.counted(count, "blob") == said
