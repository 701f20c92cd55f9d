"""What the journal comes to, against a recount."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.envelope import StoredEvent
from bus.messages.agents import StepCompleted
from bus.messages.base import AgentId
from bus.refusals import InvalidField
from storage import summaries
from storage.reading import View
from tests.storage.support import CATALOGUE, START_US, SmallJournal, records, set_back_journal

EVENTS = 120
HOUR_US = 3_600_000_000
Journal = tuple[View, tuple[StoredEvent, ...]]


@pytest.fixture(scope="module")
def journal() -> Iterator[Journal]:
    with set_back_journal(EVENTS) as journal:
        yield journal


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_window_without_an_end_or_without_time_is_refused(minutes: float) -> None:
    with pytest.raises(InvalidField):
        summaries.check_window(minutes)


@given(st.integers(1, 30), st.integers(0, 25))
def test_a_summary_counts_what_a_recount_counts(journal: Journal, minutes: int, ago: int) -> None:
    view, stored = journal
    now_us = START_US + EVENTS * 10_000_000 - ago * 60_000_000
    summary = summaries.summarise(view, CATALOGUE, minutes, now_us)
    since_us = (now_us - minutes * 60_000_000) // 60_000_000 * 60_000_000
    wanted = [event.type for event in stored if event.time_us >= since_us]
    assert summary.by_type == {name: wanted.count(name) for name in set(wanted)}
    assert summary.total == len(wanted)
    assert summary.head == EVENTS


def test_a_summary_counts_the_events_of_each_step_from_its_start_to_its_end(journal: Journal) -> None:
    view, stored = journal
    summary = summaries.summarise(view, CATALOGUE, 10_000, START_US + HOUR_US)
    ends = [event for event in stored if event.type == "step.completed"]
    assert list(summary.by_step) == [f"{event.task}/1" for event in reversed(ends)]
    last = ends[-1]
    starts = [e.position for e in stored if e.type == "step.started" and e.task == last.task]
    expected = [e for e in stored if e.task == last.task and starts[0] <= e.position <= last.position]
    assert summary.by_step[f"{last.task}/1"] == len(expected)


def test_the_attempt_of_a_step_is_its_own_whatever_a_text_before_it_says(tmp_path: Path) -> None:
    events = [
        replace(record, event=replace(record.event, agent=AgentId('"attempt":7, \\"attempt":7')))
        if isinstance(record.event, StepCompleted)
        else record
        for record in records(1, 60)
    ]
    with closing(SmallJournal(tmp_path, 1_000)) as journal:
        journal.write(events)
        found = summaries.summarise(journal.view, CATALOGUE, 600.0, START_US + HOUR_US)
    assert {step.rpartition("/")[2] for step in found.by_step} == {"1"}


def test_a_step_that_began_in_an_earlier_segment_is_counted_from_there(tmp_path: Path) -> None:
    for name in ("cut", "whole"):
        (tmp_path / name).mkdir()
    with closing(SmallJournal(tmp_path / "cut", 4)) as cut, closing(SmallJournal(tmp_path / "whole", 1_000)) as whole:
        cut.write(records(1, 60), batch=4)
        whole.write(records(1, 60))
        found, wanted = (summaries.summarise(one.view, CATALOGUE, 600.0, START_US + HOUR_US) for one in (cut, whole))
        assert len(cut.view.layout.segments) > 12
        assert found == wanted
        assert max(found.by_step.values()) > 1


@given(st.integers(1, 200), st.booleans())
def test_a_histogram_shows_each_event_once_in_its_span_of_time(
    journal: Journal, buckets: int, is_counted: bool
) -> None:
    view, stored = journal
    found = summaries.histogram(view, buckets, counted_max=summaries.COUNTED_MAX if is_counted else 0)
    assert sum(bucket.events for bucket in found.buckets) == len(stored)
    assert 0 < len(found.buckets) <= buckets
    assert found.head == EVENTS
    times = {event.position: event.time_us for event in stored}
    for bucket in found.buckets:
        assert bucket.time_us <= times[bucket.first] < bucket.time_us + found.width_us
        assert bucket.time_us <= times[bucket.last] < bucket.time_us + found.width_us


def test_a_histogram_of_nothing_and_one_of_too_many_spans(tmp_path: Path) -> None:
    with closing(SmallJournal(tmp_path, 100)) as journal:
        assert summaries.histogram(journal.view, 10).buckets == ()
    for buckets in (0, summaries.BUCKETS_MAX + 1):
        with pytest.raises(InvalidField):
            summaries.check_buckets(buckets)


def test_a_count_is_of_all_segments(journal: Journal) -> None:
    view, stored = journal
    assert len(view.layout.segments) > 3
    wanted = [event for event in stored if event.type == "step.completed"]
    assert summaries.count(view, "step.completed") == (len(wanted), EVENTS)
    assert summaries.count(view, "nothing") == (0, EVENTS)
