"""What lasts; tests/storage/test_faults.py cuts the power."""

from pathlib import Path

import pytest

from storage.syncing import sync


def test_files_and_directories_are_synced_and_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    sync(path)
    sync(tmp_path)
    assert path.read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "other")
