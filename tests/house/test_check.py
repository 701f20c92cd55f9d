"""The check itself: it runs everything, tells what failed, and never hangs."""

import io
import sys
import time
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from tests.check import Group, main, run_group

PASSES = (sys.executable, "-c", "")
FAILS = (sys.executable, "-c", "raise SystemExit(3)")


def test_a_group_passes_when_all_its_commands_do() -> None:
    assert run_group(Group("sample", "", (PASSES, PASSES), 1), _silent()).failures == ()


def test_a_group_runs_all_its_commands_and_names_each_that_failed() -> None:
    failures = run_group(Group("sample", "", (FAILS, PASSES, FAILS), 1), _silent()).failures
    assert [failure.rpartition(": ")[2] for failure in failures] == ["status 3", "status 3"]


@pytest.mark.slow
def test_a_group_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    started = time.monotonic()
    child = f"import pathlib, signal; pathlib.Path({str(tmp_path / 'child')!r}).touch(); signal.pause()"
    hanging = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    result = run_group(Group("sample", "", ((sys.executable, "-c", hanging),), minutes_max=2 / 60), _silent())
    assert (tmp_path / "child").exists()
    assert result.failures[0].endswith("did not end within its time")
    assert time.monotonic() - started < 30


def test_a_group_that_does_not_exist_is_a_usage_error() -> None:
    app = typer.Typer()
    app.command()(main)
    assert CliRunner().invoke(app, ["no-such-group"]).exit_code == 2


def _silent() -> Console:
    return Console(file=io.StringIO())
