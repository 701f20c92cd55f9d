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
    return manifests.describe(description(), actors, _listing_of(packed.actors), 0), packed.chunks


def _listing(manifest: manifests.Manifest) -> manifests.Listing:
    return _listing_of(manifest.actors)


def _encoded(manifest: manifests.Manifest) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    listing = _listing(manifest)
    return *manifests.encode(manifest, listing), listing.changed


def _listing_of(entries: dict[Address, manifests.ActorManifest]) -> manifests.Listing:
    listing = manifests.Listing()
    listing.take(entries, entries)
    return listing


@given(ACTORS)
def test_what_is_packed_is_unpacked_the_same(drawn: dict[str, ActorState]) -> None:
    actors = {Address(name): state for name, state in drawn.items()}
    manifest, chunks = _packed(actors)
    content, hash_, entries = _encoded(manifest)
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
    content, hash_, entries = _encoded(manifest)
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
        a: ActorState.of(Position(10), Position(9), b"not looked at"),
        b: ActorState(Position(7), Position(7), (b"nor this",), follows=True),
        Address("c"): ActorState.of(Position(30), Position(1), b"[]"),
    }
    changes = manifests.Changes((Address("c"),), Position(20))
    second = manifests.pack(later, changes.addresses, first.actors)
    assert second.actors[a] is first.actors[a]
    assert set(second.chunks.values()) == {b"[]"}
    manifest = manifests.describe(description(), later, _listing_of(second.actors), 0, changes)
    content, hash_, entries = _encoded(manifest)
    states = manifests.unpack(
        manifests.decode("c-30", content, hash_, entries.get), {**first.chunks, **second.chunks}.get
    )
    assert {address: state.position for address, state in states.items()} == {a: 20, b: 7, "c": 30}
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


def _entry(number: int) -> manifests.ActorManifest:
    return manifests.ActorManifest(Position(number), Position(0), (f"{number:064x}",), number, number % 7)


@given(st.lists(st.lists(st.tuples(st.integers(0, 60), st.none() | st.integers(1, 9)), max_size=5), max_size=6))
def test_a_list_that_is_made_again_in_part_is_the_list_made_anew(rounds: list[list[tuple[int, int | None]]]) -> None:
    entries = {Address(f"agents/{number:03}"): _entry(number) for number in range(40)}
    listing = manifests.Listing()
    stored: dict[bytes, bytes] = {}
    for changes in [[], *rounds]:
        for number, changed in changes:
            entries.pop(Address(f"agents/{number:03}"), None)
            if changed is not None:
                entries[Address(f"agents/{number:03}")] = _entry(changed)
        new = {address: entry for address, entry in entries.items() if listing.entries.get(address) is not entry}
        listing.take(dict(sorted(entries.items())), new)
        stored |= listing.changed
        content = b"".join(stored[bytes.fromhex(name)] for name in listing.names)
        assert msgspec.json.decode(content, type=dict[Address, manifests.ActorManifest]) == entries
        anew = _listing_of(dict(sorted(entries.items())))
        assert (listing.names, listing.state_hash) == (anew.names, anew.state_hash)
        assert (listing.sizes, listing.stored_bytes) == (anew.sizes, anew.stored_bytes)


def test_of_a_list_in_which_little_changed_little_is_made_again() -> None:
    entries = {Address(f"agents/{number:04}"): _entry(number) for number in range(5_000)}
    listing = _listing_of(entries)
    before = set(listing.names)
    assert len(before) > 300
    changed = Address("agents/0070")
    entries = {**entries, changed: _entry(70_000)}
    listing.take(entries, [changed])
    assert len(listing.changed) == len(set(listing.names) - before) == 1
    entries = {address: entry for address, entry in entries.items() if address != Address("agents/4000")}
    listing.take(entries, ())
    assert len(set(listing.names) - before) <= 2
