"""What the journal comes to: how many events of which type, in which step, in which span of time.

Rules: what the rollup says is not counted again; what is counted row by row has a bound.
"""

import math
from collections.abc import Sequence

import msgspec

from bus.codec import Catalogue
from bus.messages.agents import StepCompleted, StepStarted
from bus.messages.base import Position, TaskId
from bus.messages.system import EVENTS_LIMIT_MAX, EventHistogram, EventSummary, HistogramBucket, ReadEvents
from bus.refusals import InvalidField
from storage import count_queries as queries
from storage.cells import checked
from storage.errors import CorruptDatabase
from storage.layout import Segment
from storage.reading import View, decoded, select
from storage.times import FOREVER_US, MINUTE_US

STEPS_MAX = 100
"""Steps of one summary."""
STEP_EVENTS_MAX = 100_000
"""How far back a summary looks for the beginning of a step: a few files at most."""
BUCKETS_MAX = 1_000
"""Spans of one histogram: more than a screen has columns to tell apart."""
COUNTED_MAX = 100_000
"""Events that a histogram counts one by one: some tens of milliseconds on a reading connection."""


class _Step(msgspec.Struct, frozen=True, array_like=True):
    """A step that ended, as `queries.SUMMARY` gives it."""

    task: TaskId
    attempt: int | None
    """None of what is not written as today."""
    first: int | None
    """The last where the step did not begin in this segment."""
    last: Position
    events: int
    """Of the task, from the first to the last."""


_Minutes = tuple[int | None, int | None, int | None]
_Ends = tuple[int | None, int | None]
_Density = tuple[int, int, int, int]
_counts = msgspec.json.Decoder(dict[str, int]).decode
_steps = msgspec.json.Decoder(list[_Step]).decode


def check_window(minutes: float) -> None:
    """Raises InvalidField for a window that holds no time or all of it."""
    if not (math.isfinite(minutes) and 0 < minutes * MINUTE_US < FOREVER_US):
        raise InvalidField("minutes", f"must be a positive number, not {minutes}")


def summarise(view: View, catalogue: Catalogue, minutes: float, now_us: int) -> EventSummary:
    """Counts per type and step since the full minute in which the window begins. Raises CorruptDatabase."""
    since = max(0, math.floor((now_us - minutes * MINUTE_US) / MINUTE_US))
    by_type: dict[str, int] = {}
    by_step: dict[str, int] = {}
    for segment in view.segments(0, view.head + 1, is_newest_first=True):
        if segment.state == "open" or segment.ended_us > since * MINUTE_US:
            counts, steps = _summary(view, segment, since, STEPS_MAX - len(by_step))
            for name, events in counts.items():
                by_type[name] = by_type.get(name, 0) + events
            for step in steps:
                attempt, events = _events(view, catalogue, segment, step)
                by_step.setdefault(f"{step.task}/{attempt}", events)
    return EventSummary(minutes, sum(by_type.values()), by_type, by_step, view.head)


def check_buckets(buckets: int) -> None:
    """Raises InvalidField for a histogram that shows nothing, or more than anyone could see."""
    if not 1 <= buckets <= BUCKETS_MAX:
        raise InvalidField("buckets", f"must be between 1 and {BUCKETS_MAX}, not {buckets}")


def histogram(view: View, buckets: int, *, counted_max: int = COUNTED_MAX) -> EventHistogram:
    """How many events lie where, in at most `buckets` spans of time.

    A small journal is counted event by event; a large one by its full minutes, which a higher pace makes no more of.
    """
    known = [view.known(segment) for segment in view.layout.segments]
    found = [
        row
        for one in known
        for row in checked(one.connection.execute(queries.MINUTES).fetchall(), list[_Minutes], one.path)
    ]
    spans = [span for minutes in found if (span := _whole(minutes)) is not None]
    if not spans:
        return EventHistogram(0, MINUTE_US, (), view.head)
    if sum(events for _, _, events in spans) <= counted_max:
        ends = [
            row
            for one in known
            for row in checked(one.connection.execute(queries.SPAN_OF_EVENTS).fetchall(), list[_Ends], one.path)
        ]
        since = min(first for first, _ in ends if first is not None)
        width = (max(last for _, last in ends if last is not None) - since) // buckets + 1
        statement, parameters = queries.DENSITY_OF_EVENTS, (since, width)
    else:
        first = min(first for first, _, _ in spans)
        minutes = (max(last for _, last, _ in spans) - first) // buckets + 1
        since, width = first * MINUTE_US, minutes * MINUTE_US
        statement, parameters = queries.DENSITY_OF_MINUTES, (first, minutes)
    rows: list[_Density] = []
    for one in known:
        rows += checked(one.connection.execute(statement, parameters).fetchall(), list[_Density], one.path)
    return EventHistogram(since, width, _added(rows, since, width), view.head)


def _whole(minutes: _Minutes) -> tuple[int, int, int] | None:
    """None of a segment without events."""
    first, last, events = minutes
    return None if first is None or last is None or events is None else (first, last, events)


def count(view: View, type_: str) -> tuple[int, Position]:
    """How many events of a type were ever recorded, up to the head; what was pruned is counted too."""
    last = view.layout.open
    events, head = view.known(last).connection.execute(queries.COUNT_OF_TYPE, (type_,)).fetchone()
    events += sum(segment.counts.get(type_, 0) for segment in view.layout.segments)
    return events, Position(max(head, last.first - 1))


def _summary(view: View, segment: Segment, since: int, limit: int) -> tuple[dict[str, int], list[_Step]]:
    """By type how many events a segment has since a minute, and the last steps that ended in it since then."""
    known = view.known(segment)
    names = (StepCompleted.wire_name, StepStarted.wire_name)
    counts, steps = known.connection.execute(queries.SUMMARY, (since, *names, limit, STEP_EVENTS_MAX)).fetchone()
    try:
        return _counts(counts), _steps(steps)
    except msgspec.DecodeError as error:
        raise CorruptDatabase(known.path, f"a row of it is none of ours: {error}") from error


def _events(view: View, catalogue: Catalogue, segment: Segment, step: _Step) -> tuple[int, int]:
    """A step's attempt, and its events."""
    begins_before = step.first == step.last and step.last - STEP_EVENTS_MAX < segment.first
    if step.attempt is None or begins_before:  # or it was recorded by an older program
        return _counted(view, catalogue, step.last)
    return step.attempt, step.events


def _counted(view: View, catalogue: Catalogue, last: Position) -> tuple[int, int]:
    """The attempt of the step that ended at a position, and its events, in whichever segments they are."""
    (stored,) = select(view, ReadEvents(after=Position(last - 1), before=Position(last + 1)))
    step = decoded(catalogue, stored)
    assert isinstance(step, StepCompleted), "selected by type"
    first = _first_starts(view, catalogue, step.task, last).get(step.attempt, last)
    known = [view.known(segment) for segment in view.segments(first - 1, last + 1)]
    found = [one.connection.execute(queries.COUNT_OF_TASK, (step.task, first, last)).fetchone() for one in known]
    return step.attempt, sum(events for (events,) in found)


def _first_starts(view: View, catalogue: Catalogue, task: TaskId, end: Position) -> dict[int, int]:
    """By attempt: the position of its first step.started; a restart records further ones."""
    found: dict[int, int] = {}
    wanted = ReadEvents(
        types=(StepStarted.wire_name,),
        task=task,
        after=Position(max(0, end - STEP_EVENTS_MAX)),
        before=end,
        limit=EVENTS_LIMIT_MAX,
        is_newest_first=False,
    )
    for stored in select(view, wanted):
        step = decoded(catalogue, stored)
        assert isinstance(step, StepStarted), "selected by type"
        found.setdefault(step.attempt, stored.position)
    return found


def _added(rows: Sequence[_Density], since: int, width: int) -> tuple[HistogramBucket, ...]:
    """One bucket per span, whatever segments its events lie in."""
    buckets: dict[int, HistogramBucket] = {}
    for span, events, first, last in rows:
        so_far = buckets.get(span)
        if so_far is None:
            buckets[span] = HistogramBucket(since + span * width, events, Position(first), Position(last))
        else:
            ends = Position(min(first, so_far.first)), Position(max(last, so_far.last))
            buckets[span] = HistogramBucket(so_far.time_us, events + so_far.events, *ends)
    return tuple(buckets[span] for span in sorted(buckets))
