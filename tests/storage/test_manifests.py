"""States as chunks and back."""

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.address import Address
from bus.messages.base import Position
from storage import manifests
from storage.chunks import CHUNK_BYTES_MAX
from storage.errors import CorruptCheckpoint
from storage.manifests import ActorState
from tests.storage.writer import description

NOTHING: dict[bytes, bytes] = {}
SIZES = st.sampled_from([0, 1, 100, CHUNK_BYTES_MAX - 1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 3 * CHUNK_BYTES_MAX])
ACTORS = st.dictionaries(
    st.sampled_from(["ledger", "coordinator", "agents/scout", "agents/äöü"]),
    st.builds(
        lambda position, size, seed: ActorState.of(Position(position), Position(position // 2), bytes([seed]) * size),
        st.integers(1, 10**9),
        SIZES,
        st.integers(0, 255),
    ),
    min_size=1,
)


def _packed(actors: dict[Address, ActorState]) -> tuple[manifests.Manifest, dict[bytes, bytes]]:
    packed = manifests.pack(actors)
    return manifests.describe(description(), actors, packed.actors, 0, manifests.state_hash(actors)), packed.chunks


def _listing(manifest: manifests.Manifest) -> manifests.Listing:
    return _listing_of(manifest.actors)


def _listing_of(entries: dict[Address, manifests.ActorManifest]) -> manifests.Listing:
    listing = manifests.Listing()
    listing.take(entries)
    return listing


@given(ACTORS)
def test_what_is_packed_is_unpacked_the_same(drawn: dict[str, ActorState]) -> None:
    actors = {Address(name): state for name, state in drawn.items()}
    manifest, chunks = _packed(actors)
    content, hash_, entries = manifests.encode(manifest, _listing(manifest))
    again = manifests.decode(manifest.view.checkpoint, content, hash_, entries.get)
    assert again.view == manifest.view
    assert manifests.unpack(again, chunks.get) == actors
    assert {bytes.fromhex(name) for name in again.chunks()} == chunks.keys() | entries.keys()
    assert manifest.view.state_hash == _listing(manifest).state_hash
    assert manifest.view.position == max(actor.position for actor in actors.values())
    assert manifest.view.actors == {name: len(actor.state) for name, actor in sorted(actors.items())}


def test_equal_parts_are_one_chunk() -> None:
    state = ActorState.of(Position(1), Position(0), bytes(5 * CHUNK_BYTES_MAX))
    packed = manifests.pack({Address("a"): state, Address("b"): state})
    assert len(packed.chunks) == 1
    assert len(packed.actors[Address("a")].chunks) == 5


def test_the_state_hash_depends_on_the_states_and_not_on_their_order_or_positions() -> None:
    a, b = ActorState.of(Position(1), Position(1), b"{}"), ActorState.of(Position(2), Position(1), b'{"a":1}')
    one = manifests.state_hash({Address("a"): a, Address("b"): b})
    assert one == manifests.state_hash({Address("b"): b, Address("a"): a})
    assert one != manifests.state_hash({Address("a"): b, Address("b"): a})
    assert one != manifests.state_hash({Address("a"): a})
    moved = ActorState.of(Position(9), Position(9), b"{}")
    assert one == manifests.state_hash({Address("a"): moved, Address("b"): b})


@pytest.mark.parametrize("damage", ["missing", "flipped", "another"])
def test_a_damaged_chunk_is_found(damage: str) -> None:
    actors = {Address("a"): ActorState.of(Position(1), Position(0), b'{"numbers":[1,2,3]}')}
    manifest, chunks = _packed(actors)
    (name,) = chunks
    stored = {
        "missing": {},
        "flipped": {name: bytes([chunks[name][0] ^ 1]) + chunks[name][1:]},
        "another": {name: b"another"},
    }[damage]
    with pytest.raises(CorruptCheckpoint, match="a chunk of a"):
        manifests.unpack(manifest, stored.get)


def test_a_manifest_that_is_not_what_its_hash_says_is_refused() -> None:
    manifest, _ = _packed({Address("a"): ActorState.of(Position(1), Position(0), b"{}")})
    content, hash_, entries = manifests.encode(manifest, _listing(manifest))
    for name, bad, bad_hash in (
        ("c-1", content.replace(b"manual", b"others"), hash_),
        ("c-1", content, bytes(32)),
        ("c-2", content, hash_),
    ):
        with pytest.raises(CorruptCheckpoint):
            manifests.decode(name, bad, bad_hash, entries.get)


def test_an_actor_that_did_not_change_keeps_its_entry_and_is_restamped_unless_it_follows() -> None:
    a, b = Address("a"), Address("b")
    one = {
        a: ActorState.of(Position(10), Position(9), b"{}"),
        b: ActorState(Position(7), Position(7), (b"{}",), follows=True),
    }
    first = manifests.pack(one)
    later = {
        a: ActorState.of(Position(30), Position(9), b"not looked at"),
        b: ActorState(Position(7), Position(7), (b"nor this",), follows=True),
        Address("c"): ActorState.of(Position(20), Position(1), b"[]"),
    }
    second = manifests.pack(later, (a, b), first.actors)
    assert second.actors[a] is first.actors[a]
    assert set(second.chunks.values()) == {b"[]"}
    manifest = manifests.describe(description(), later, second.actors, 0, _listing_of(second.actors).state_hash)
    content, hash_, entries = manifests.encode(manifest, _listing(manifest))
    states = manifests.unpack(
        manifests.decode("c-30", content, hash_, entries.get), {**first.chunks, **second.chunks}.get
    )
    assert {address: state.position for address, state in states.items()} == {a: 20, b: 7, "c": 20}
    assert states[a].state == b"{}"


def test_the_manifest_of_format_1_is_read() -> None:
    whole = sha256(b"1 2 a {}").hexdigest()
    content = (
        b'{"view":{"checkpoint":"c-4","position":4,"reason":"stop","created_us":1,"run":"main","step":0,"label":"",'
        b'"epoch":1,"config_hash":"","agora_version":"0.1.0","actors":{"a":2},"size_bytes":10,"state_hash":"%b"},'
        b'"actors":{"a":{"position":4,"cursor":3,"chunks":["%b"]}}}'
    ) % (whole.encode(), sha256(b"{}").hexdigest().encode())
    manifest = manifests.decode("c-4", content, sha256(content).digest(), NOTHING.get)
    states = manifests.unpack(manifest, {sha256(b"{}").digest(): b"{}"}.get)
    assert states == {Address("a"): ActorState.of(Position(4), Position(3), b"{}")}


def test_a_list_of_which_little_changed_is_cut_at_the_same_places() -> None:
    entries = {
        Address(f"agents/{number}"): manifests.ActorManifest(Position(1), Position(0), (f"{number:064x}",))
        for number in range(5_000)
    }
    listing = _listing_of(entries)
    before = listing.pieces()
    assert msgspec.json.decode(b"".join(before), type=dict[Address, manifests.ActorManifest]) == entries
    changed = {**entries, Address("agents/70"): manifests.ActorManifest(Position(2), Position(1), ())}
    del changed[Address("agents/4000")]
    listing.take(changed)
    after = listing.pieces()
    assert len(set(after) - set(before)) <= 2
    assert after == _listing_of(changed).pieces()
