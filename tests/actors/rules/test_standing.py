"""What goes for every standing order, whatever it waits for."""

import pytest
from msgspec.structs import replace

from actors.rules import idempotency, standing
from actors.rules.idempotency import Keys
from actors.rules.schedules import Schedule
from bus.messages.base import TaskId
from bus.messages.schedules import ScheduleSpec
from bus.messages.tasks import TaskSpec
from bus.refusals import IdempotencyConflict, InvalidField, NotFound

SPEC = ScheduleSpec(TaskSpec("look after it"), delay_s=1.0)
OTHER = replace(SPEC, delay_s=2.0)


def kept(*names: str, next_us: int = 1) -> dict[str, Schedule]:
    return {name: Schedule(SPEC, next_us) for name in names}


def test_an_order_is_found_by_its_name_or_refused_by_its_kind() -> None:
    orders = kept("s-1")
    assert standing.order_of("schedule", orders, "s-1") is orders["s-1"]
    with pytest.raises(NotFound, match="no schedule is called 's-2'"):
        standing.order_of("schedule", orders, "s-2")


def test_a_key_finds_what_it_has_made_and_nothing_else() -> None:
    keys = Keys()
    idempotency.remember(keys, "k", "s-1", 0)
    assert standing.repeated(kept("s-1"), keys, "k", SPEC, 1) == "s-1"
    assert standing.repeated(kept("s-1"), keys, "another", SPEC, 1) == ""
    for orders, spec in ((kept("s-1"), OTHER), (kept("s-2"), SPEC)):
        with pytest.raises(IdempotencyConflict):
            standing.repeated(orders, keys, "k", spec, 1)


def test_of_those_that_are_over_the_oldest_go_and_no_others() -> None:
    names = [f"s-{number}" for number in range(standing.KEPT_MAX + 2)]
    orders = kept(*names, next_us=0) | kept("s-open")
    standing.forget(orders, lambda one: not one.next_us)
    assert list(orders) == [*names[2:], "s-open"]


def test_a_task_that_is_posted_later_is_sound_and_comes_after_no_other() -> None:
    assert standing.sound_task("spec.task", TaskSpec("  look after it ")).title == "look after it"
    with pytest.raises(InvalidField, match=r"spec\.task\.after"):
        standing.sound_task("spec.task", TaskSpec("look", after=(TaskId("t-1"),)))
