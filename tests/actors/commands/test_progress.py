"""A bar is shown to people, and nothing to machines."""

from pathlib import Path

import pytest

from actors.commands.progress import progress
from tests.support.inside import shell_at


def test_where_nobody_looks_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(shell_at(tmp_path), "events") as step:
        step(1, 10)
        step(10, 10)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
