"""The actor of quotas, and agents that keep to them."""

import msgspec
import pytest

from actors.quotas import Quotas
from actors.rules.quotas import QuotasOptions
from actors.runtime import ActorSystem, ChildSpec
from actors.runtime.simulation import MemoryJournal
from actors.steps import AgentOptions
from bus.messages.agents import AgentStatus, AgentStatusName, ReadAgent
from bus.messages.base import AgentId
from bus.messages.completions import Complete
from bus.messages.quotas import (
    QUOTAS,
    QuotaReserved,
    QuotaSettled,
    QuotaSpent,
    QuotaWarned,
    ReadQuotas,
    ReserveQuota,
    SettleQuota,
)
from bus.messages.tasks import CompleteTask, DeclineBid, FailTask
from bus.refusals import Overloaded, QuotaExhausted
from tests.support.society import ANSWER, FLAT, SCOUT, T1, T2, Heard, society

HOUR = QuotasOptions(window_s=3_600, tokens=1_000, calls=3)
PATIENT = AgentOptions(retry_wait_s=0.01, budget_retry_s=30.0, heartbeat_s=1.0, backlog_max=1)


async def test_uses_are_reserved_settled_and_shown() -> None:
    journal = MemoryJournal()
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(QUOTAS, lambda: Quotas(HOUR)))
        granted = await system.ask(QUOTAS, ReserveQuota(SCOUT, calls=1, tokens=900))
        await system.ask(QUOTAS, SettleQuota(granted.use, calls=1, tokens=400))
        calls, tokens = (await system.ask(QUOTAS, ReadQuotas(SCOUT))).quotas
        assert (calls.used, calls.limit, tokens.used, tokens.limit) == (1, 3, 400, 1_000)
        with pytest.raises(QuotaExhausted, match=r"scout has used 400 of 1000 tokens; 601 more do not fit"):
            await system.ask(QUOTAS, ReserveQuota(SCOUT, calls=1, tokens=601))
        assert (await system.ask(QUOTAS, ReadQuotas(AgentId("editor")))).quotas == ()
    names = [stored.type for stored in journal.stored]
    assert names == ["quota.reserved", "quota.warned", "quota.settled", "quota.spent"]


async def test_nothing_is_forgotten_or_freed_by_a_restart() -> None:
    journal = MemoryJournal()
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(QUOTAS, lambda: Quotas(HOUR)))
        granted = await system.ask(QUOTAS, ReserveQuota(SCOUT, tokens=900))
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(QUOTAS, lambda: Quotas(HOUR)))
        with pytest.raises(QuotaExhausted):
            await system.ask(QUOTAS, ReserveQuota(SCOUT, tokens=101))
        await system.ask(QUOTAS, SettleQuota(granted.use, tokens=0))
        assert (await system.ask(QUOTAS, ReserveQuota(SCOUT, tokens=1_000))).use == 2


async def test_who_has_no_quota_leaves_no_trace() -> None:
    journal = MemoryJournal()
    async with ActorSystem(log=journal.log, history=journal) as system:
        await system.start(ChildSpec(QUOTAS, lambda: Quotas(QuotasOptions())))
        assert (await system.ask(QUOTAS, ReserveQuota(SCOUT, tokens=10**9))).use == 0
    assert journal.stored == []


async def test_an_agent_counts_what_it_used_and_not_what_it_might_have() -> None:
    async with society(quotas=QuotasOptions(tokens=10_000, disk_bytes=10_000)) as s:
        await s.assign()
        await s.until(lambda: s.heard.of(CompleteTask))
        await s.until(lambda: len(s.recorded(QuotaSettled)) == 2)
        thought, written = s.recorded(QuotaSettled)
        assert (thought.calls, thought.tokens) == (1, ANSWER.tokens_in + ANSWER.tokens_out)
        assert written.disk_bytes == len(ANSWER.text)
        assert s.recorded(QuotaReserved)[0].tokens > 600


async def test_an_exhausted_agent_waits_visibly_keeps_its_task_and_goes_on_when_there_is_room() -> None:
    quotas = QuotasOptions(window_s=0.8, calls=1)
    two = msgspec.structs.replace(FLAT, concurrency_max=2)
    async with society(two, options=PATIENT, quotas=quotas) as s:
        await s.assign("t-1")
        await s.assign("t-2")
        await s.until(lambda: any(e.status is AgentStatusName.WAITING for e in s.recorded(AgentStatus)))
        view = await s.ask(ReadAgent())
        assert view.status is AgentStatusName.WAITING
        assert view.reason.startswith("scout has used 1 of 1 calls; 1 more do not fit")
        assert [event.resource for event in s.recorded(QuotaSpent)] == ["calls"]
        await s.until(lambda: len(s.heard.of(CompleteTask)) == 2)
        assert {done.task for done in s.heard.of(CompleteTask)} == {T1, T2}
        assert s.heard.of(FailTask) == []


async def test_an_agent_that_shall_skip_gives_its_task_back_and_declines_until_there_is_room() -> None:
    quotas = QuotasOptions(window_s=3_600, calls=1, policy="skip")
    async with society(options=PATIENT, quotas=quotas) as s:
        await s.assign("t-1")
        await s.until(lambda: s.heard.of(CompleteTask))
        await s.assign("t-2")
        await s.until(lambda: s.heard.of(FailTask))
        [given] = s.heard.of(FailTask)
        assert (given.task, given.is_retryable) == (T2, True)
        assert "has used 1 of 1 calls" in given.reason
        await s.offer("t-3")
        await s.until(lambda: [one for one in s.heard.of(DeclineBid) if one.task == "t-3"])


async def test_a_task_that_no_quota_could_ever_carry_is_given_back_at_once() -> None:
    async with society(options=PATIENT, quotas=QuotasOptions(tokens=10)) as s:
        await s.assign()
        await s.until(lambda: s.heard.of(FailTask))
        assert s.heard.of(Complete) == []


async def test_a_call_that_was_not_sent_uses_nothing() -> None:
    heard = Heard()
    heard.answers = [Overloaded("the router", 0.01), ANSWER]
    async with society(heard=heard, quotas=QuotasOptions(calls=1)) as s:
        await s.assign()
        await s.until(lambda: s.heard.of(CompleteTask))
        assert len(s.heard.of(Complete)) == 2
        assert [event.resource for event in s.recorded(QuotaWarned)] == ["calls"]
