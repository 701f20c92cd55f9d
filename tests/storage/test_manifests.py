"""States as chunks and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.address import Address
from bus.messages.base import Position
from storage import manifests
from storage.errors import CorruptCheckpoint
from storage.manifests import CHUNK_BYTES_MAX, ActorState
from tests.storage.writer import description

SIZES = st.sampled_from([0, 1, 100, CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 3 * CHUNK_BYTES_MAX])
ACTORS = st.dictionaries(
    st.sampled_from(["ledger", "coordinator", "agents/scout", "agents/äöü"]),
    st.builds(
        lambda position, size, seed: ActorState(Position(position), Position(position // 2), bytes([seed]) * size),
        st.integers(1, 10**9),
        SIZES,
        st.integers(0, 255),
    ),
    min_size=1,
)


def _packed(actors: dict[Address, ActorState]) -> tuple[manifests.Manifest, dict[bytes, bytes]]:
    packed = manifests.pack(actors)
    return manifests.describe(description(), actors, packed, 0), {
        name: manifests.compress(content) for name, content in packed.chunks.items()
    }


@given(ACTORS)
def test_what_is_packed_is_unpacked_the_same(drawn: dict[str, ActorState]) -> None:
    actors = {Address(name): state for name, state in drawn.items()}
    manifest, chunks = _packed(actors)
    content, hash_ = manifests.encode(manifest)
    again = manifests.decode(manifest.view.checkpoint, content, hash_)
    assert manifests.unpack(again, chunks.get) == actors
    assert manifest.view.position == max(actor.position for actor in actors.values())
    assert manifest.view.actors == {name: len(actor.state) for name, actor in sorted(actors.items())}


def test_equal_parts_are_one_chunk() -> None:
    state = ActorState(Position(1), Position(0), bytes(5 * CHUNK_BYTES_MAX))
    packed = manifests.pack({Address("a"): state, Address("b"): state})
    assert len(packed.chunks) == 1
    assert len(packed.by_actor[Address("a")]) == 5


def test_the_state_hash_depends_on_the_states_and_not_on_their_order_or_positions() -> None:
    a, b = ActorState(Position(1), Position(1), b"{}"), ActorState(Position(2), Position(1), b'{"a":1}')
    one = manifests.state_hash({Address("a"): a, Address("b"): b})
    assert one == manifests.state_hash({Address("b"): b, Address("a"): a})
    assert one != manifests.state_hash({Address("a"): b, Address("b"): a})
    assert one != manifests.state_hash({Address("a"): a})
    moved = ActorState(Position(9), Position(9), b"{}")
    assert one == manifests.state_hash({Address("a"): moved, Address("b"): b})


@pytest.mark.parametrize("damage", ["missing", "flipped", "another"])
def test_a_damaged_chunk_is_found(damage: str) -> None:
    actors = {Address("a"): ActorState(Position(1), Position(0), b'{"numbers":[1,2,3]}')}
    manifest, chunks = _packed(actors)
    (name,) = chunks
    stored = {
        "missing": {},
        "flipped": {name: bytes([chunks[name][0]]) + bytes([chunks[name][1] ^ 1]) + chunks[name][2:]},
        "another": {name: manifests.compress(b"another")},
    }[damage]
    with pytest.raises(CorruptCheckpoint, match="a chunk of a"):
        manifests.unpack(manifest, stored.get)


def test_a_manifest_that_is_not_what_its_hash_says_is_refused() -> None:
    manifest, _ = _packed({Address("a"): ActorState(Position(1), Position(0), b"{}")})
    content, hash_ = manifests.encode(manifest)
    for name, bad, bad_hash in (
        ("c-1", content.replace(b"manual", b"others"), hash_),
        ("c-1", content, bytes(32)),
        ("c-2", content, hash_),
    ):
        with pytest.raises(CorruptCheckpoint):
            manifests.decode(name, bad, bad_hash)
