"""What a checkpoint is made of, and what goes on from it, over real stores."""

from pathlib import Path

import msgspec

from actors.runtime import ChildSpec
from bus.address import Address
from bus.messages.system import JOURNAL, ListCheckpoints, ReadJournal, SaveCheckpoint
from tests.actors.test_journal import COUNTER, OFF, Counter, running


async def test_a_restart_goes_on_from_the_newest_checkpoint_and_folds_what_came_later_once(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(5)
        await run.system.ask(JOURNAL, SaveCheckpoint())
        await run.steps(4)
    async with running(tmp_path) as run:
        snapshot = await run.history.snapshot(COUNTER)
        assert snapshot is not None
        assert (snapshot.position, snapshot.state) == (5, b'{"taken":5}')
        assert run.system.snapshots()[COUNTER].state == b'{"taken":9}'
        assert (await run.system.ask(JOURNAL, ReadJournal())).step == 9


async def test_a_checkpoint_gives_the_same_state_hash_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(9)
        before = await run.system.ask(JOURNAL, SaveCheckpoint())
    async with running(tmp_path) as run:
        after = await run.system.ask(JOURNAL, SaveCheckpoint())
        assert after.state_hash == before.state_hash
        assert after.position > before.position


async def test_the_last_three_are_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        for _ in range(5):
            await run.steps(1)
            await run.system.ask(JOURNAL, SaveCheckpoint())
        page = await run.system.ask(JOURNAL, ListCheckpoints())
        assert [view.position for view in page.checkpoints] == [9, 7, 5]


async def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        await run.steps(3)
        first = await run.system.ask(JOURNAL, SaveCheckpoint(label="first"))
        second = await run.system.ask(JOURNAL, SaveCheckpoint(label="second"))
        assert (second.written_bytes, second.size_bytes) == (0, first.size_bytes)
        assert second.position > first.position
        assert second.state_hash == first.state_hash
        assert second.includes == {"agents": ("taken",)}
    async with running(tmp_path) as run:
        assert run.system.snapshots()[COUNTER].state == b'{"taken":3}'


async def test_an_actor_that_is_left_out_is_folded_from_the_journal_alone(tmp_path: Path) -> None:
    options = msgspec.structs.replace(OFF, checkpoint_leave_out=("agents/counter",))
    async with running(tmp_path, options, also=(ChildSpec(Address("ledger"), Counter),)) as run:
        await run.steps(3)
        view = await run.system.ask(JOURNAL, SaveCheckpoint())
        assert view.left_out == (COUNTER,)
        assert list(view.actors) == ["ledger"]
    async with running(tmp_path, options) as run:
        assert run.system.snapshots()[COUNTER].state == b'{"taken":3}'
