"""HTTP for quotas, and what external agents use of them."""

import msgspec

from bus.messages.artifacts import WriteArtifact
from bus.messages.base import AgentId
from bus.messages.quotas import QUOTAS, QuotaPage, QuotaUse, ReadQuotas, ReserveQuota
from bus.messages.tasks import LeaseRenewed, RenewLease
from bus.refusals import QuotaExhausted
from tests.web.support import World, bearer, call

USE = QuotaUse(AgentId("scout"), "tokens", 800, 1_000, 3_600.0, 7)


async def test_what_is_used_can_be_read_of_all_or_of_one() -> None:
    world = World()
    world.gateway.replies[ReadQuotas] = QuotaPage((USE,))
    response = await call(world.app, "GET", "/api/quotas?agent=scout")
    assert (response.status, world.gateway.asked[-1]) == (200, (QUOTAS, ReadQuotas(AgentId("scout"))))
    assert msgspec.json.decode(response.body, type=QuotaPage) == QuotaPage((USE,))
    assert (await call(world.app, "GET", "/api/quotas?who=scout")).status == 422


async def test_a_result_that_comes_as_text_counts_against_the_agents_disk_and_is_refused_beyond() -> None:
    world = World()
    world.gateway.replies[RenewLease] = lambda asked: (
        LeaseRenewed(asked.task, 60.0) if isinstance(asked, RenewLease) else USE
    )
    world.gateway.replies[ReserveQuota] = QuotaExhausted("greeter", "disk_bytes", 90, 100, 5, retry_after_s=60.0)
    body = msgspec.json.encode({"agent": "greeter", "attempt": 1, "text": "héllo"})
    response = await call(world.app, "POST", "/api/tasks/t-1/complete", headers=bearer(), body=body)
    assert (response.status, response.headers["retry-after"]) == (429, "60")
    assert world.gateway.asked[-1][1] == ReserveQuota(AgentId("greeter"), disk_bytes=6)
    assert [asked for _, asked in world.gateway.asked if isinstance(asked, WriteArtifact)] == []
