"""The place where an asker waits for one answer."""

from actors.runtime.deadlines import Deadlines
from actors.runtime.reply import ReplyBox
from actors.runtime.virtual_time import Simulation
from bus.envelope import Answer
from bus.messages.base import Done, Position
from tests.support.virtual import in_virtual_time

ANSWER = Answer(Done(), Position(0), Position(0))


@in_virtual_time
async def test_an_answer_that_is_there_already_is_taken(simulation: Simulation) -> None:
    box = ReplyBox(lambda: None)
    box.put(ANSWER)
    assert box.outcome is ANSWER


@in_virtual_time
async def test_an_answer_ends_the_wait_before_the_deadline(simulation: Simulation) -> None:
    box, deadlines = ReplyBox(lambda: None), Deadlines()
    deadlines.after(2, lambda: box.put(ANSWER))
    await box.wait(deadlines, 30)
    assert box.outcome is ANSWER
    assert simulation.clock.monotonic_s() < 3


@in_virtual_time
async def test_no_answer_by_the_deadline_is_none_and_a_later_one_is_late(simulation: Simulation) -> None:
    late: list[str] = []
    box = ReplyBox(lambda: late.append("late"))
    await box.wait(Deadlines(), 1)
    assert box.outcome is None
    box.put(ANSWER)
    assert (box.outcome, late) == (None, ["late"])


@in_virtual_time
async def test_a_second_answer_is_late(simulation: Simulation) -> None:
    late: list[str] = []
    box = ReplyBox(lambda: late.append("late"))
    box.put(ANSWER)
    box.put(Answer(Done(), Position(1), Position(1)))
    assert (box.outcome, late) == (ANSWER, ["late"])
