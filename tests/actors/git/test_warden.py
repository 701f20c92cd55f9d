"""The warden as a program."""

import subprocess
import sys
from pathlib import Path

from actors.git import warden


def ended(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-I", str(Path(warden.__file__)), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stderr


def test_its_exit_code_is_the_commands() -> None:
    assert ended("10", sys.executable, "-c", "raise SystemExit(7)")[0] == 7


def test_a_command_that_a_signal_ended_has_a_code_too() -> None:
    assert ended("10", "sh", "-c", "kill -9 $$")[0] == 137


def test_a_command_that_is_not_there_has_a_code_of_its_own() -> None:
    code, said = ended("10", "/nonexistent/command")
    assert code == warden.CANNOT_START
    assert "cannot be started" in said


def test_time_that_is_over_has_a_code_of_its_own() -> None:
    assert ended("0.2", "sleep", "600")[0] == warden.TIME_OVER
