"""The keys of personal text: given once, kept apart, destroyed for good."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bus.envelope import StoredEvent
from storage import boxes
from storage.errors import CorruptDatabase
from storage.files import Files
from storage.keys import BLOCK_KEYS, KEYS_NAME, Keys, living, opener_of
from storage.queries import WAL_BYTES
from tests.storage.support import encoded, record


def _keys(directory: Path) -> Keys:
    keys = Keys(directory)
    keys.open()
    return keys


def _next(keys: Keys) -> tuple[int, bytes]:
    """A key that is in the file."""
    given = keys.fresh.next()
    keys.save()
    return given


def _boxed(keys: Keys) -> tuple[StoredEvent, int]:
    number, key = _next(keys)
    row = encoded([record(1)])[0]
    data = boxes.closed(b'{"title":"words"}', ("title",), number, key)
    return StoredEvent(*row[:12], data, None, bytes(32)), number


def test_no_key_is_given_twice_also_not_after_another_start(tmp_path: Path) -> None:
    given: dict[int, bytes] = {}
    for _ in range(3):
        keys = _keys(tmp_path)
        for _ in range(BLOCK_KEYS // 2 + 1):
            number, key = _next(keys)
            assert number not in given
            given[number] = key
        keys.close()
        keys.close()
    assert len(set(given.values())) == len(given)
    files = Files()
    opener = opener_of(files, tmp_path / KEYS_NAME)
    assert {number: opener.key(number) for number in given} == given
    files.close()


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    keys = _keys(tmp_path)
    _next(keys)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob(f"{KEYS_NAME}*")}
    assert set(modes.values()) == {0o600}, modes
    keys.close()


def test_a_destroyed_key_is_nowhere_in_the_file_and_the_others_are(tmp_path: Path) -> None:
    keys = _keys(tmp_path)
    (first, kept), (second, gone) = _next(keys), _next(keys)
    assert keys.destroy([second]) == 1
    assert keys.destroy([second]) == 0
    keys.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert kept in content
    assert gone not in content
    files = Files()
    opener = opener_of(files, tmp_path / KEYS_NAME)
    assert (opener.key(first), opener.key(second)) == (kept, None)
    files.close()


def test_an_event_is_read_with_its_words_and_after_the_redaction_with_a_marker(tmp_path: Path) -> None:
    keys = _keys(tmp_path)
    event, number = _boxed(keys)
    files = Files()
    assert opener_of(files, keys.path).data(event.data) == b'{"title":"words"}'
    assert set(living(files, keys.path, [event])) == {number}
    keys.destroy([number])
    assert opener_of(files, keys.path).data(event.data) == b'{"title":"[redacted]"}'
    assert living(files, keys.path, [event]) == {}
    files.close()
    keys.close()


def test_keys_go_along_to_another_directory_and_are_not_given_there(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = _keys(tmp_path / "one"), _keys(tmp_path / "two")
    event, number = _boxed(one)
    files = Files()
    two.keep(living(files, one.path, [event]))
    assert opener_of(files, two.path).data(event.data) == b'{"title":"words"}'
    assert _next(two)[0] // BLOCK_KEYS > number // BLOCK_KEYS
    one.destroy([number])
    assert opener_of(files, two.path).data(event.data) == b'{"title":"words"}', "what was copied is not reached"
    for part in (files, one, two):
        part.close()


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM blocks", "UPDATE blocks SET keys = zeroblob(32768)", "UPDATE blocks SET hash = zeroblob(32)"],
)
def test_keys_that_are_lost_or_changed_are_damage_and_no_redaction(tmp_path: Path, damage: str) -> None:
    keys = _keys(tmp_path)
    event, _ = _boxed(keys)
    keys.close()
    with closing(sqlite3.connect(tmp_path / KEYS_NAME, isolation_level=None)) as connection:
        connection.execute(damage)
    files = Files()
    with pytest.raises(CorruptDatabase):
        opener_of(files, keys.path).data(event.data)
    files.close()


def test_what_is_left_of_a_block_is_used_on_when_the_file_is_opened_again_and_a_block_that_it_lost_is_put_back(
    tmp_path: Path,
) -> None:
    keys = _keys(tmp_path)
    first, first_key = _next(keys)
    keys.open()
    second, second_key = _next(keys)
    assert second == first + 1
    keys.close()
    with closing(sqlite3.connect(tmp_path / KEYS_NAME, isolation_level=None)) as connection:
        connection.execute("DELETE FROM blocks")
    keys.open()
    keys.save()
    files = Files()
    opener = opener_of(files, keys.path)
    assert (opener.key(first), opener.key(second)) == (first_key, second_key)
    files.close()
    keys.close()


def test_a_block_with_a_destroyed_key_is_never_put_back(tmp_path: Path) -> None:
    keys = _keys(tmp_path)
    number, gone = _next(keys)
    keys.destroy([number])
    with closing(sqlite3.connect(tmp_path / KEYS_NAME, isolation_level=None)) as connection:
        connection.execute("DELETE FROM blocks")
    keys.open()
    keys.save()
    keys.close()
    assert gone not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_what_could_not_be_saved_is_saved_with_what_came_since(tmp_path: Path) -> None:
    keys = _keys(tmp_path)
    given = [keys.fresh.next()]
    with closing(sqlite3.connect(tmp_path / KEYS_NAME, isolation_level=None)) as connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON blocks BEGIN SELECT raise(ABORT, 'no'); END")
        with pytest.raises(sqlite3.IntegrityError):
            keys.save()
        connection.execute("DROP TRIGGER no")
    given += [keys.fresh.next() for _ in range(BLOCK_KEYS)]
    keys.open()
    keys.save()
    files = Files()
    opener = opener_of(files, keys.path)
    assert {number: opener.key(number) for number, _ in given} == dict(given)
    files.close()
    keys.close()


def test_in_a_burst_more_blocks_are_made_at_once_and_the_log_beside_the_file_does_not_grow_for_ever(
    tmp_path: Path,
) -> None:
    keys = _keys(tmp_path)
    given = [_next(keys) for _ in range(80 * BLOCK_KEYS)]
    assert [number for number, _ in given] == list(range(given[0][0], given[0][0] + len(given)))
    assert len({key for _, key in given}) == len(given)
    log = keys.path.with_name(KEYS_NAME + "-wal")
    assert log.stat().st_size < 2 * WAL_BYTES
    keys.open()
    assert _next(keys)[0] == given[-1][0] + 1
    keys.close()
    files = Files()
    opener = opener_of(files, keys.path)
    assert all(opener.key(number) == key for number, key in given[:: BLOCK_KEYS // 2])
    files.close()
