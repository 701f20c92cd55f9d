"""What is asked of checkpoints while a server writes others."""

from pathlib import Path

import anyio
import pytest

from actors.proving import PROOFS_MAX, Proving
from bus.errors import AgoraError
from bus.messages.checkpoints import CheckpointDifferences, CheckpointProof, CompareCheckpoints, VerifyCheckpoint
from bus.messages.system import JOURNAL, PinCheckpoint, SaveCheckpoint
from bus.refusals import NotFound, Overloaded
from tests.actors.test_journal import COUNTER, OFF, TakeSteps, running


async def test_a_checkpoint_is_proved_and_told_from_another_while_the_journal_holds_them(tmp_path: Path) -> None:
    async with running(tmp_path, OFF) as at:
        views = []
        for _ in range(2):
            await at.system.ask(COUNTER, TakeSteps(1))
            views.append((await at.system.ask(JOURNAL, SaveCheckpoint())).checkpoint)
        proof = await at.system.ask(JOURNAL, VerifyCheckpoint(views[0]))
        assert (proof.checkpoint, proof.problem) == (views[0], "")
        assert proof.elapsed_ms > 0
        told = await at.system.ask(JOURNAL, CompareCheckpoints(views[0]))
        assert (told.before, told.after, told.count) == (views[0], views[1], 1)
        assert (told.differences[0].actor, told.differences[0].changed.first) == (COUNTER, ("taken",))
        same = await at.system.ask(JOURNAL, CompareCheckpoints("newest"))
        assert (same.before, same.differences) == (views[1], ())
        for query in (VerifyCheckpoint("c-99"), CompareCheckpoints("c-99")):
            with pytest.raises(NotFound):
                await at.system.ask(JOURNAL, query)


async def test_where_there_is_none_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await Proving(tmp_path).verify(VerifyCheckpoint("newest"))


async def test_a_few_run_at_once_and_more_are_told_to_come_back(tmp_path: Path) -> None:
    async with running(tmp_path, OFF) as at:
        await at.system.ask(COUNTER, TakeSteps(1))
        await at.system.ask(JOURNAL, SaveCheckpoint())
        one = Proving(OFF.checkpoints_in(tmp_path))
        outcomes: list[CheckpointProof | CheckpointDifferences | AgoraError] = []

        async def prove() -> None:
            try:
                outcomes.append(await one.verify(VerifyCheckpoint("newest")))
            except Overloaded as refusal:
                outcomes.append(refusal)

        async with anyio.create_task_group() as group:
            for _ in range(PROOFS_MAX + 2):
                group.start_soon(prove)
        assert [isinstance(outcome, Overloaded) for outcome in outcomes].count(True) == 2
        assert (await one.verify(VerifyCheckpoint("newest"))).problem == ""


async def test_a_checkpoint_is_meant_by_its_id_position_step_label_time_or_as_the_newest(tmp_path: Path) -> None:
    async with running(tmp_path, OFF) as at:
        await at.system.ask(COUNTER, TakeSteps(1))
        first = await at.system.ask(JOURNAL, SaveCheckpoint(label="by hand"))
        await at.system.ask(COUNTER, TakeSteps(1))
        second = await at.system.ask(JOURNAL, SaveCheckpoint())
        for wanted in (first.checkpoint, str(first.position), f"step:{first.step}", "by hand", "label:by hand"):
            assert (await at.system.ask(JOURNAL, VerifyCheckpoint(wanted))).checkpoint == first.checkpoint, wanted
        for wanted in ("newest", "2999-01-01", "step:999", str(second.position + 5)):
            assert (await at.system.ask(JOURNAL, VerifyCheckpoint(wanted))).checkpoint == second.checkpoint, wanted
        assert (await at.system.ask(JOURNAL, PinCheckpoint("by hand"))).checkpoint == first.checkpoint
        with pytest.raises(NotFound, match="1999-01-01"):
            await at.system.ask(JOURNAL, VerifyCheckpoint("1999-01-01"))
