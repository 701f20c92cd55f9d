"""One look at what is not indexed yet, for all who search."""

from concurrent.futures import Future

import anyio
import anyio.lowlevel
import pytest

from storage.indexing import Indexing


class Looks:
    """What was begun, for a test to end."""

    def __init__(self) -> None:
        self.begun: list[Future[bool]] = []

    def __call__(self) -> "Future[bool]":
        self.begun.append(Future())
        return self.begun[-1]


async def _until(looks: Looks, count: int) -> None:
    while len(looks.begun) < count:
        await anyio.lowlevel.checkpoint()


async def test_all_who_come_while_a_look_is_under_way_share_the_next() -> None:
    indexing, looks = Indexing(60.0), Looks()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(indexing.bring_up, looks)
        await _until(looks, 1)
        for _ in range(5):  # what they ask for may have come after the first has looked there
            tasks.start_soon(indexing.bring_up, looks)
        await anyio.lowlevel.checkpoint()
        assert len(looks.begun) == 1
        looks.begun[0].set_result(True)
        await _until(looks, 2)
        looks.begun[1].set_result(True)
    assert len(looks.begun) == 2


async def test_a_look_that_made_room_for_other_work_is_begun_again() -> None:
    indexing, looks = Indexing(60.0), Looks()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(indexing.bring_up, looks)
        for count in (1, 2, 3):
            await _until(looks, count)
            looks.begun[-1].set_result(count == 3)
    assert len(looks.begun) == 3


async def test_who_has_waited_long_enough_goes_on_and_leaves_the_look_to_the_next() -> None:
    indexing, looks = Indexing(0.0), Looks()
    await indexing.bring_up(looks)
    await indexing.bring_up(looks)
    assert len(looks.begun) == 1
    assert not looks.begun[0].cancelled()


async def test_what_a_look_meets_with_is_told_and_the_next_one_looks_again() -> None:
    indexing, looks = Indexing(60.0), Looks()

    async def fail() -> None:
        await _until(looks, 1)
        looks.begun[0].set_exception(OSError("no room"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail)
        with pytest.raises(OSError, match="no room"):
            await indexing.bring_up(looks)

    async def end() -> None:
        await _until(looks, 2)
        looks.begun[1].set_result(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end)
        await indexing.bring_up(looks)


async def test_a_look_that_was_given_up_at_the_end_is_no_fault() -> None:
    indexing, looks = Indexing(60.0), Looks()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(indexing.bring_up, looks)
        await _until(looks, 1)
        looks.begun[0].cancel()
