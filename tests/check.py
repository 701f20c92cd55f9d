"""Run the checks: `python -m tests.check` for all of them, `--fast` while working, `--long` by hand.

Rules: every group runs, whatever the groups before it said; each has a deadline, so that a hang is a failure and not
a stuck machine; the exit status is 0 only if all passed. Groups can be named: `python -m tests.check types walls`.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from tests.chromium import ChromiumError, ensure_chromium

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
INTERRUPT_GRACE_S = 20.0
"""After its deadline a group is interrupted, so that pytest still says where it stood; then it is killed."""

PYTEST = (PYTHON, "-m", "pytest", "--continue-on-collection-errors", "--durations=8", "--durations-min=1")


class Group(NamedTuple):
    """Commands that belong together. All of them run; the group passes if each ends with status 0."""

    name: str
    says: str
    commands: tuple[tuple[str, ...], ...]
    minutes_max: float
    needs_chromium: bool = False


def _pytest(marks: str, *options: str) -> tuple[tuple[str, ...], ...]:
    return ((*PYTEST, "-m", marks, *options),)


GROUPS = (
    Group(
        "lint",
        "style and layout of the code",
        ((PYTHON, "-m", "ruff", "check"), (PYTHON, "-m", "ruff", "format", "--check")),
        minutes_max=1,
    ),
    Group("types", "mypy --strict", ((PYTHON, "-m", "mypy"),), minutes_max=4),
    Group(
        "walls",
        "who may import whom",
        ((str(Path(PYTHON).with_name("lint-imports")), "--no-cache", "--no-logo"),),
        minutes_max=1,
    ),
    Group("fast", "tests of under a second each", _pytest("not slow and not browser and not long", "-n", "auto"), 10),
    Group(
        "slow",
        "tests with real processes, disks and sockets",
        _pytest("slow and not browser and not long", "-n", "auto", "--dist", "worksteal"),
        15,
    ),
    Group("browser", "tests in a real Chromium", _pytest("browser and not long"), 15, needs_chromium=True),
    Group("bench", "every benchmark once, in small", ((PYTHON, "-m", "tests.bench", "--quick"),), minutes_max=5),
    Group("long", "thousands of seeds and crashes", _pytest("long", "--hypothesis-profile=long"), minutes_max=240),
)
FAST = ("lint", "types", "walls", "fast")
BY_HAND = ("long",)


class Result(NamedTuple):
    group: Group
    failures: tuple[str, ...]
    minutes: float


def main(
    groups: Annotated[list[str] | None, typer.Argument(help=f"Any of: {', '.join(g.name for g in GROUPS)}.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Lint, types, walls and fast tests only.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Only the long tests: thousands of seeds and crashes.")] = False,
) -> None:
    """Run every check but the long ones, and say what failed."""
    console = Console(soft_wrap=True)
    chosen = _chosen(groups or [], fast, long)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    results = [run_group(group, console) for group in chosen]
    _print_summary(results, console)
    raise typer.Exit(1 if any(result.failures for result in results) else 0)


def _chosen(names: list[str], fast: bool, long: bool) -> tuple[Group, ...]:
    known = {group.name for group in GROUPS}
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"no group is called {unknown[0]!r}; there are {', '.join(sorted(known))}")
    if names:
        return tuple(group for group in GROUPS if group.name in names)
    if long:
        return tuple(group for group in GROUPS if group.name in BY_HAND)
    if fast:
        return tuple(group for group in GROUPS if group.name in FAST)
    return tuple(group for group in GROUPS if group.name not in BY_HAND)


def run_group(group: Group, console: Console) -> Result:
    started = time.monotonic()
    console.print(f"\n== {group.name}: {group.says}", style="bold", highlight=False)
    if group.needs_chromium:
        try:
            ensure_chromium()
        except ChromiumError as error:
            console.print(str(error), style="red", highlight=False)
            return Result(group, (str(error),), (time.monotonic() - started) / 60)
    ends = started + group.minutes_max * 60
    failures = tuple(failure for command in group.commands if (failure := _run_command(command, ends, console)))
    return Result(group, failures, (time.monotonic() - started) / 60)


def _run_command(command: tuple[str, ...], ends: float, console: Console) -> str:
    """What went wrong in one line, or nothing. The command's own words go to the screen as they come."""
    shown = " ".join((Path(command[0]).name, *command[1:]))
    console.print(f"$ {shown}", style="dim", highlight=False)
    sys.stdout.flush()
    with subprocess.Popen(command, cwd=ROOT, env=_environment(), stdin=subprocess.DEVNULL, process_group=0) as process:
        try:
            status = process.wait(timeout=max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            _end(process)
            return f"{shown}: did not end within its time"
        except (KeyboardInterrupt, SystemExit):
            _end(process)
            raise
    return f"{shown}: status {status}" if status else ""


def _environment() -> dict[str, str]:
    """No control characters in a log: colours only where a person looks."""
    environment = dict(os.environ)
    if not sys.stdout.isatty():
        for name in ("FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "MYPY_FORCE_COLOR"):
            environment.pop(name, None)
        environment.update(NO_COLOR="1", TERM="dumb")
    return environment


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the group of a command, then kill whatever is left of it, its children included."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=INTERRUPT_GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _print_summary(results: list[Result], console: Console) -> None:
    table = Table(title="\nchecks", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("group")
    table.add_column("result")
    table.add_column("minutes", justify="right")
    for result in results:
        verdict = "[red]FAILED[/red]" if result.failures else "[green]passed[/green]"
        table.add_row(result.group.name, verdict, f"{result.minutes:.1f}")
    table.add_row("all", "", f"{sum(result.minutes for result in results):.1f}", style="bold")
    console.print(table)
    for result in results:
        for failure in result.failures:
            console.print(f"{result.group.name} failed: {failure}", style="red", highlight=False, markup=False)


if __name__ == "__main__":
    typer.run(main)
