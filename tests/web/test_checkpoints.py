"""HTTP for what can be asked of checkpoints."""

from bus.messages.checkpoints import (
    CheckpointDifferences,
    CheckpointProof,
    CompareCheckpoints,
    Difference,
    Keys,
    VerifyCheckpoint,
)
from bus.refusals import NotFound, Overloaded
from tests.web.support import World, call


async def test_a_checkpoint_is_proved_by_the_journal() -> None:
    world = World()
    world.gateway.replies[VerifyCheckpoint] = CheckpointProof("c-9", "", 1.5)
    shown = await call(world.app, "GET", "/api/checkpoints/c-9/verify")
    assert (shown.status, shown.json()) == (200, {"checkpoint": "c-9", "problem": "", "elapsed_ms": 1.5})
    assert world.gateway.asked[-1][1] == VerifyCheckpoint("c-9")


async def test_two_are_compared_and_the_second_is_the_newest_where_none_is_named() -> None:
    world = World()
    keys = Keys(1, ("tasks.t-1",))
    told = CheckpointDifferences("c-1", "c-9", (Difference("coordinator", keys, keys, keys, 10, 20),), 1)
    world.gateway.replies[CompareCheckpoints] = told
    shown = (await call(world.app, "GET", "/api/checkpoints/c-1/diff")).json()
    assert (shown["before"], shown["after"], shown["count"]) == ("c-1", "c-9", 1)
    assert world.gateway.asked[-1][1] == CompareCheckpoints("c-1", "newest")
    await call(world.app, "GET", "/api/checkpoints/c-1/diff?to=c-5")
    assert world.gateway.asked[-1][1] == CompareCheckpoints("c-1", "c-5")


async def test_what_is_not_there_and_what_is_too_much_are_refused() -> None:
    world = World()
    world.gateway.replies[VerifyCheckpoint] = NotFound("checkpoint", "c-9")
    world.gateway.replies[CompareCheckpoints] = Overloaded("proving checkpoints", 5.0)
    assert (await call(world.app, "GET", "/api/checkpoints/c-9/verify")).status == 404
    assert (await call(world.app, "GET", "/api/checkpoints/c-9/diff")).status == 429
    assert (await call(world.app, "GET", "/api/checkpoints/c-9/diff?from=c-1")).status == 422
