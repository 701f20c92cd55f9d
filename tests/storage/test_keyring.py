"""What a reading thread remembers of keys and texts, and when it lets go of them."""

from contextlib import closing
from pathlib import Path

from storage import boxes, keyring
from storage.keyring import BLOCKS_KEPT, TEXTS_BYTES_MAX, KeyedFiles, Keyring
from storage.keys import BLOCK_KEYS, Keys

DATA = b'{"title":"words"}'
REDACTED = b'{"title":"[redacted]"}'


def _boxed(keys: Keys, data: bytes = DATA) -> bytes:
    boxed = boxes.closed(data, ("title",), *keys.fresh.next())
    keys.save()
    return boxed


def _keys(directory: Path) -> Keys:
    keys = Keys(directory)
    keys.open()
    return keys


def test_a_text_is_read_until_its_key_is_destroyed_and_the_file_forgotten(tmp_path: Path) -> None:
    with closing(_keys(tmp_path)) as keys, closing(KeyedFiles()) as files:
        boxed = _boxed(keys)
        assert files.keyring(keys.path).data(boxed) == DATA
        assert files.keyring(keys.path).data(boxed) == DATA, "from what is remembered"
        assert files.keyring(keys.path).data(b"{}") == b"{}"
        keys.destroy([boxes.key_number(boxed)])
        files.forget([keys.path])
        assert files.keyring(keys.path).data(boxed) == REDACTED
        assert files.keyring(keys.path).key(boxes.key_number(boxed)) is None


def test_how_much_is_remembered_has_a_bound(tmp_path: Path) -> None:
    with closing(_keys(tmp_path)) as keys, closing(KeyedFiles()) as files:
        ring = files.keyring(keys.path)
        assert isinstance(ring, Keyring)
        large = b'{"title":"%b"}' % (b"w" * (TEXTS_BYTES_MAX // 64))
        texts = [_boxed(keys, large) for _ in range(64)]
        assert all(ring.data(boxed) == large for boxed in texts)
        assert ring.size <= (TEXTS_BYTES_MAX, BLOCKS_KEPT)
        numbers = [boxes.key_number(_boxed(keys)) for _ in range((keyring.BLOCKS_KEPT + 2) * BLOCK_KEYS)]
        assert all(ring.key(number) for number in numbers[::BLOCK_KEYS])
        assert ring.size[1] <= BLOCKS_KEPT + 1
