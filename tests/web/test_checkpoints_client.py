"""The SDK's part for checkpoints, against the real application."""

import pytest

from bus.messages.base import Position
from bus.messages.checkpoints import CheckpointDifferences, CheckpointProof, CompareCheckpoints, VerifyCheckpoint
from bus.messages.system import (
    CheckpointPage,
    CheckpointsPruned,
    CheckpointView,
    ListCheckpoints,
    PinCheckpoint,
    PruneCheckpoints,
    SaveCheckpoint,
)
from bus.refusals import NotFound
from tests.web.support import READER, TOKEN, World, served
from web.client import AgoraClient
from web.live_feed import RequestFailed

VIEW = CheckpointView("c-9", Position(9), "manual", 1, "main", 2, "before", 1, "h", "1", {"ledger": 7}, 5, "s")
PROOF = CheckpointProof("c-9", "", 1.5)
TOLD = CheckpointDifferences("c-5", "c-9", (), 0)


def scripted() -> World:
    world = World()
    world.gateway.replies |= {
        ListCheckpoints: CheckpointPage((VIEW,)),
        SaveCheckpoint: VIEW,
        PinCheckpoint: VIEW,
        PruneCheckpoints: CheckpointsPruned(("c-5",)),
        VerifyCheckpoint: PROOF,
        CompareCheckpoints: TOLD,
    }
    return world


async def test_each_call_is_one_request_and_its_answer_is_typed() -> None:
    world = scripted()
    async with served(world) as url, AgoraClient(url, token=TOKEN) as agora:
        assert await agora.checkpoints.save("before") == VIEW
        assert (await agora.checkpoints.all()).checkpoints == (VIEW,)
        assert await agora.checkpoints.pin("step:2", is_pinned=False) == VIEW
        assert (await agora.checkpoints.prune(1)).removed == ("c-5",)
        assert await agora.checkpoints.verify() == PROOF
        assert await agora.checkpoints.compare("c-5") == TOLD
    assert [request for _, request in world.gateway.asked] == [
        SaveCheckpoint(label="before"),
        ListCheckpoints(),
        PinCheckpoint("step:2", is_pinned=False),
        PruneCheckpoints(1),
        VerifyCheckpoint("newest"),
        CompareCheckpoints("c-5", "newest"),
    ]


async def test_a_reader_looks_and_saves_nothing_and_what_is_not_there_is_said() -> None:
    world = scripted()
    world.gateway.replies[VerifyCheckpoint] = NotFound("checkpoint", "c-1")
    async with served(world) as url, AgoraClient(url, token=READER) as agora:
        assert (await agora.checkpoints.all()).checkpoints == (VIEW,)
        with pytest.raises(RequestFailed, match="scope admin"):
            await agora.checkpoints.save()
        with pytest.raises(RequestFailed, match="no checkpoint is called 'c-1'"):
            await agora.checkpoints.verify("c-1")
