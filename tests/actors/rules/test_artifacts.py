"""What may be written, and the listing."""

import hashlib

import msgspec
import pytest

from actors.rules import artifacts
from actors.rules.artifacts import PAGE_MAX, Shelf, decide_write, encoded
from actors.rules.idempotency import KEPT_US
from bus.messages.artifacts import CONTENT_BYTES_MAX, ArtifactView, ListArtifacts, WriteArtifact
from bus.messages.base import ArtifactId, TaskId
from bus.messages.system import SystemInfo
from bus.refusals import IdempotencyConflict, InvalidField, NotFound

NOW_US = 1_800_000_000_000_000


def command(name: str = "brief of anyio", text: str = "It is good.", key: str = "", owner: str = "") -> WriteArtifact:
    return WriteArtifact(name, text, "text/plain", owner, TaskId("t-1"), key)


def write(shelf: Shelf, of: WriteArtifact, now_us: int = NOW_US) -> ArtifactView:
    """What the shell does with a command."""
    events = decide_write(shelf, of, encoded(of.text), now_us)
    for event in events:
        artifacts.apply(shelf, event)
    known = artifacts.repeated(shelf, of, now_us)
    return shelf.artifacts[events[0].artifact] if events or known is None else known


def test_an_artifact_is_named_after_its_number_and_its_content() -> None:
    shelf = Shelf()
    first, second = write(shelf, command(text="ä")), write(shelf, command(text="b"))
    assert (first.artifact, second.artifact) == ("a-1", "a-2")
    assert (first.size_bytes, first.blob) == (2, hashlib.sha256("ä".encode()).hexdigest())
    assert artifacts.view(shelf, ArtifactId("a-2")) == second


def test_an_event_about_an_agents_artifact_names_the_agent() -> None:
    (event,) = decide_write(Shelf(), command(owner="agents/scout"), b"x", NOW_US)
    assert (event.owner, event.agent) == ("agents/scout", "scout")
    (event,) = decide_write(Shelf(), command(owner="operator"), b"x", NOW_US)
    assert (event.owner, event.agent) == ("operator", "")


def test_an_artifact_that_nobody_wrote_is_not_found() -> None:
    with pytest.raises(NotFound, match="no artifact is called 'a-1'"):
        artifacts.view(Shelf(), ArtifactId("a-1"))


def test_the_same_key_with_the_same_fields_gives_the_same_artifact() -> None:
    shelf = Shelf()
    first = write(shelf, command(key="k"))
    assert write(shelf, command(key="k"), NOW_US + 5) == first
    assert len(shelf.artifacts) == 1


@pytest.mark.parametrize(
    "other",
    [
        command(key="k", text="It is bad."),
        command(key="k", name="brief of trio"),
        command(key="k", owner="ann"),
        msgspec.structs.replace(command(key="k"), task=TaskId("t-2")),
        msgspec.structs.replace(command(key="k"), media_type="text/markdown"),
    ],
)
def test_the_same_key_with_other_fields_is_a_conflict(other: WriteArtifact) -> None:
    shelf = Shelf()
    write(shelf, command(key="k"))
    with pytest.raises(IdempotencyConflict, match="key k was used before"):
        write(shelf, other)


def test_a_key_is_forgotten_after_a_day_and_no_key_always_writes() -> None:
    shelf = Shelf()
    write(shelf, command(key="k"))
    write(shelf, command(key="k", text="other"), NOW_US + KEPT_US)
    write(shelf, command())
    write(shelf, command())
    assert len(shelf.artifacts) == 4


@pytest.mark.parametrize(
    ("of", "path"),
    [
        (command(name=" "), "name"),
        (command(name="x" * 201), "name"),
        (command(key=" "), "idempotency_key"),
        (command(owner="a b"), "owner"),
        (msgspec.structs.replace(command(), media_type="text"), "media_type"),
        (msgspec.structs.replace(command(), media_type="text/plain\r\nX: y"), "media_type"),
        (msgspec.structs.replace(command(), task=TaskId("t 1")), "task"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused_with_its_path(of: WriteArtifact, path: str) -> None:
    with pytest.raises(InvalidField) as refused:
        write(Shelf(), of)
    assert refused.value.path == path


def test_a_text_at_the_bound_is_taken_and_one_past_it_refused() -> None:
    assert len(encoded("x" * CONTENT_BYTES_MAX)) == CONTENT_BYTES_MAX
    for text in ("x" * (CONTENT_BYTES_MAX + 1), "ä" * (CONTENT_BYTES_MAX // 2 + 1)):
        with pytest.raises(InvalidField, match="text: is longer"):
            encoded(text)


def test_a_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidField, match="text: is not valid Unicode"):
        encoded("\ud800")


def test_artifacts_are_listed_newest_first_in_pages() -> None:
    shelf = Shelf()
    for n in range(5):
        write(shelf, command(text=str(n)))
    first = artifacts.page(shelf, ListArtifacts(limit=2))
    second = artifacts.page(shelf, ListArtifacts(limit=2, after=first.next))
    third = artifacts.page(shelf, ListArtifacts(limit=2, after=second.next))
    shown = [[view.artifact for view in page.artifacts] for page in (first, second, third)]
    assert shown == [["a-5", "a-4"], ["a-3", "a-2"], ["a-1"]]
    assert third.next == ""
    assert artifacts.page(shelf, ListArtifacts(limit=5)).next == ""
    assert artifacts.page(Shelf(), ListArtifacts()).artifacts == ()


@pytest.mark.parametrize("query", [ListArtifacts(limit=0), ListArtifacts(limit=PAGE_MAX + 1)])
def test_a_limit_out_of_bounds_is_refused(query: ListArtifacts) -> None:
    with pytest.raises(InvalidField, match="limit"):
        artifacts.page(Shelf(), query)


@pytest.mark.parametrize("cursor", ["1", "a-", "a-x", "t-1", "a-" + "9" * 19])
def test_a_cursor_that_is_no_artifact_id_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidField, match="after"):
        artifacts.page(Shelf(), ListArtifacts(after=ArtifactId(cursor)))


def test_the_shelf_survives_json_and_other_events_change_nothing() -> None:
    shelf = Shelf()
    write(shelf, command(key="k"))
    artifacts.apply(shelf, SystemInfo("hello"))
    assert msgspec.json.decode(msgspec.json.encode(shelf), type=Shelf) == shelf
