"""HTTP for triggers."""

import msgspec

from bus.address import Address
from bus.messages.base import Position
from bus.messages.tasks import TaskSpec
from bus.messages.triggers import CancelTrigger, CreateTrigger, ListTriggers, TriggerPage, TriggerSpec, TriggerView
from tests.web.support import READER, World, bearer, call

SPEC = TriggerSpec(types=("task.failed",), post=TaskSpec("look after it"), pause_s=60.0)
VIEW = TriggerView("g-1", SPEC, 0, Position(0), False)


async def test_a_trigger_is_made_with_its_key_listed_and_cancelled() -> None:
    world = World()
    world.gateway.replies.update({CreateTrigger: VIEW, CancelTrigger: VIEW, ListTriggers: TriggerPage((VIEW,))})
    body = msgspec.json.encode({"types": ["task.failed"], "post": {"title": "look after it"}, "pause_s": 60.0})
    headers = {**bearer(), "idempotency-key": "k"}
    assert (await call(world.app, "POST", "/api/triggers", headers=headers, body=body)).status == 201
    assert world.gateway.asked[-1][1] == CreateTrigger(SPEC, "k")
    assert (await call(world.app, "GET", "/api/triggers")).status == 200
    assert (await call(world.app, "POST", "/api/triggers/g-1/cancel", headers=bearer())).status == 200
    assert CancelTrigger("g-1") in [request for _, request in world.gateway.asked]


async def test_whoever_only_reads_makes_no_trigger_and_an_actor_is_woken_by_an_admin_alone() -> None:
    world = World()
    world.gateway.replies[CreateTrigger] = VIEW
    assert (await call(world.app, "POST", "/api/triggers", headers=bearer(READER), body=b"{}")).status == 403
    body = msgspec.json.encode({"at": 9, "wake": "monitor"})
    assert (await call(world.app, "POST", "/api/triggers", headers=bearer(), body=body)).status == 201
    assert world.gateway.asked[-1][1] == CreateTrigger(TriggerSpec(at=Position(9), wake=Address("monitor")))
