"""Rows are made once: in boxes, on their chains, with ids for names."""

from hypothesis import given
from hypothesis import strategies as st

from bus.envelope import Batch
from bus.messages.base import TaskId
from bus.messages.tasks import TaskCancelled
from storage import boxes
from storage.chain import KEPT, NOTHING, PRUNABLE, row_hash
from storage.keys import FreshKeys
from storage.queries import EVENT_COLUMNS
from storage.rows import NO_HEADS, NameIds, Rows
from tests.storage.support import CATALOGUE, encoded, record, records, told

COLUMNS = EVENT_COLUMNS


def _rows(keys: FreshKeys | None = None) -> Rows:
    rows = Rows(CATALOGUE, keys or FreshKeys())
    rows.begin(NO_HEADS, {}, {})
    return rows


@given(st.lists(st.integers(1, 15), min_size=1, max_size=6))
def test_each_row_holds_its_event_and_the_hash_over_it_and_the_one_before_on_its_chain(sizes: list[int]) -> None:
    rows, batch, first = _rows(), Batch(), 1
    for size in sizes:
        rows.add(encoded(records(first, size)), batch)
        first += size
    ends = {PRUNABLE: NOTHING, KEPT: NOTHING}
    for number, (row, stored) in enumerate(zip(encoded(records(1, first - 1)), batch.events, strict=True)):
        columns = batch.columns[number * COLUMNS : (number + 1) * COLUMNS]
        chain = KEPT if CATALOGUE.is_kept(row[2]) else PRUNABLE
        ends[chain] = row_hash(ends[chain], chain, row)
        names = (rows.types.names[columns[2]], columns[3], rows.sources.names[columns[4]])  # type: ignore[index]
        assert (*columns[:2], *names, *columns[5:12]) == row[:12]
        assert columns[12:] == [bytearray(row[12]), bytearray(row[13] or b""), chain, bytearray(ends[chain])]
        assert stored.hash == ends[chain]


def test_what_a_person_said_is_in_a_box_in_the_row_and_open_in_the_event_and_the_hash_covers_the_box() -> None:
    keys, batch = FreshKeys(), Batch()
    (event,) = encoded([record(1, TaskCancelled(TaskId("t-1"), "a word in confidence"))])
    _rows(keys).add([event], batch)
    data = batch.columns[12]
    assert isinstance(data, bytearray)
    assert (batch.events[0].data, b"confidence" in data) == (event[12], False)
    (block,) = keys.unsaved.values()
    assert boxes.opened(bytes(data), block[: boxes.KEY_BYTES]) == event[12]
    assert batch.events[0].hash == row_hash(NOTHING, PRUNABLE, (*event[:12], bytes(data), event[13]))


def test_every_key_that_was_used_is_among_those_that_are_to_be_saved() -> None:
    keys, batch = FreshKeys(), Batch()
    _rows(keys).add(encoded(told(1, 50)), batch)
    data = [bytes(one) for one in batch.columns[12::COLUMNS] if isinstance(one, bytearray)]
    numbers = [boxes.key_number(one) for one in data if boxes.has_box(one)]
    assert len(set(numbers)) == 10
    assert {number // 1_024 for number in numbers} == set(keys.unsaved)


def test_a_box_from_elsewhere_is_left_as_it_is() -> None:
    rows, first = _rows(), Batch()
    rows.add(encoded(told(1, 5)), first)
    data = first.columns[4 * COLUMNS + 12]
    assert isinstance(data, bytearray)
    copied = [(*row[:12], bytes(data), row[13]) if row[0] == 5 else row for row in encoded(told(1, 5))]
    _rows().add(copied, again := Batch())
    assert again.columns[15::COLUMNS] == first.columns[15::COLUMNS]


@given(st.lists(st.text(max_size=3)), st.dictionaries(st.text(max_size=3), st.integers(1, 9)))
def test_a_name_has_one_id_and_an_id_one_name(asked: list[str], known: dict[str, int]) -> None:
    names = NameIds()
    names.learn({name: id_ for id_, name in {id_: name for name, id_ in known.items()}.items()})
    ids = {name: names.id(name) for name in asked}
    assert [names.names[id_] for id_ in ids.values()] == list(ids)
    assert {name: names.id(name) for name in asked} == ids
