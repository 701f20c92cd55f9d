"""HTTP for those who run it."""

import pytest

from bus.errors import DeadlinePassed
from bus.messages.base import AccountId, Done, Message, Position, TransferId
from bus.messages.completions import BreakerOpened, DisableProvider, EnableProvider, ReadRouter, RouterView, SetBudget
from bus.messages.ledger import (
    Balance,
    Balances,
    CheckConservation,
    Conservation,
    ReadBalances,
    ReadTransfer,
    Transfer,
    TransferState,
    TransferView,
)
from bus.messages.monitor import MONITOR, Alert, HaltSystem, MonitorView, ReadMonitor, ResumeSystem
from bus.messages.system import CheckpointPage, CheckpointView, ListCheckpoints, ReadJournal, SaveCheckpoint
from tests.web.support import READER, World, bearer, call

BALANCE = Balance(AccountId("treasury"), "msat", 10, 0, 0, 0, 0, 0, 10, 10)
CHECKPOINT = CheckpointView("c-1", Position(1), "manual", 1, "main", 0, "", 1, "h", "0.1", {}, 5, "s")
POSTED = TransferView(TransferId("post/t-1"), TransferState.POSTED, AccountId("a"), AccountId("b"), "msat", 5)


async def test_accounts_are_listed_and_shown() -> None:
    world = World()
    world.gateway.replies[ReadBalances] = Balances((BALANCE,))
    assert (await call(world.app, "GET", "/api/ledger/accounts")).status == 200
    await call(world.app, "GET", "/api/ledger/accounts/agents/scout")
    assert world.gateway.asked[-1][1] == ReadBalances(AccountId("agents/scout"))
    world.gateway.replies[ReadBalances] = Balances(())
    assert (await call(world.app, "GET", "/api/ledger/accounts/nobody")).status == 404


async def test_the_books_can_be_checked_and_a_transfer_shown() -> None:
    world = World()
    world.gateway.replies[CheckConservation] = Conservation(True, {"msat": 0}, 3, 4, ())
    world.gateway.replies[ReadTransfer] = POSTED
    assert (await call(world.app, "GET", "/api/ledger/check")).json()["is_conserved"] is True
    assert (await call(world.app, "GET", "/api/ledger/transfers/post/t-1")).json()["state"] == "posted"
    assert world.gateway.asked[-1][1] == ReadTransfer(TransferId("post/t-1"))


async def test_a_transfer_needs_the_ledger_scope() -> None:
    world = World()
    world.gateway.replies[Transfer] = POSTED
    body = b'{"transfer":"x","debit":"treasury","credit":"agents/scout","currency":"msat","amount":5}'
    assert (await call(world.app, "POST", "/api/ledger/transfers", headers=bearer(READER), body=body)).status == 403
    assert (await call(world.app, "POST", "/api/ledger/transfers", headers=bearer(), body=body)).status == 201


async def test_the_router_is_shown_and_switched() -> None:
    world = World()
    world.gateway.replies[ReadRouter] = RouterView((), 0, 0, 0, 0, 0, False, 0)
    for kind in (SetBudget, EnableProvider, DisableProvider):
        world.gateway.replies[kind] = Done()
    assert (await call(world.app, "GET", "/api/router")).json()["queued"] == 0
    await call(world.app, "POST", "/api/router/budget", headers=bearer(), body=b'{"run_usd_micros":5000}')
    await call(world.app, "PATCH", "/api/router/providers/ollama", headers=bearer(), body=b'{"enabled":false}')
    await call(world.app, "PATCH", "/api/router/providers/ollama", headers=bearer(), body=b'{"enabled":true}')
    asked = [message for _, message in world.gateway.asked]
    assert asked[1:] == [SetBudget(5000), DisableProvider("ollama"), EnableProvider("ollama")]
    assert (await call(world.app, "PATCH", "/api/router/providers/ollama", body=b'{"enabled":true}')).status == 401


async def test_checkpoints_are_listed_and_made() -> None:
    world = World()
    world.gateway.replies[ListCheckpoints] = CheckpointPage((CHECKPOINT,))
    world.gateway.replies[SaveCheckpoint] = CHECKPOINT
    assert (await call(world.app, "GET", "/api/checkpoints")).status == 200
    made = await call(world.app, "POST", "/api/checkpoints", headers=bearer(), body=b'{"label":"before"}')
    assert (made.status, made.json()["checkpoint"]) == (201, "c-1")
    assert world.gateway.asked[-1][1] == SaveCheckpoint(label="before")
    assert (await call(world.app, "POST", "/api/checkpoints")).status == 401


async def test_the_system_shows_its_journal_and_its_feed() -> None:
    world = World()
    world.chat(3)
    system = (await call(world.app, "GET", "/api/system")).json()
    journal, feed = system["journal"], system["feed"]
    assert isinstance(journal, dict)
    assert isinstance(feed, dict)
    assert (journal["watermark"], feed["head"], feed["events_cached"], feed["sockets"]) == (3, 3, 3, 0)


async def test_it_is_healthy_and_ready_for_whoever_asks() -> None:
    world = World()
    world.chat(1)
    assert (await call(world.app, "GET", "/healthz", client="10.0.0.9")).status == 200
    ready = await call(world.app, "GET", "/readyz", client="10.0.0.9")
    assert ready.status == 200
    assert ready.json() == {"ready": True, "reasons": [], "storage": {"watermark": 1, "watermark_age_ms": 0.0}}


async def test_it_is_not_ready_while_something_stands_in_the_way() -> None:
    silent = World()
    silent.gateway.replies[ReadJournal] = DeadlinePassed("journal", 2.0)
    assert (await call(silent.app, "GET", "/readyz")).json()["reasons"] == [
        "the journal does not answer: deadline_passed"
    ]
    parked = World(complaints=("ledger is parked at 7",))
    response = await call(parked.app, "GET", "/readyz")
    assert (response.status, response.json()["reasons"]) == (503, ["ledger is parked at 7"])


@pytest.mark.parametrize(
    "line",
    [
        'agora_events_total{type="system.info"} 2.0',
        'agora_events_total{type="breaker.opened"} 1.0',
        "agora_watermark 3.0",
        "agora_sockets 0.0",
        'agora_tasks{state="completed"} 0.0',
        'agora_breaker{provider="ollama"} 2.0',
        'agora_gauge{name="load"} 0.5',
        "agora_sockets_stalled_total 0.0",
    ],
)
async def test_metrics_tell_what_is_there(line: str) -> None:
    world = World()
    world.chat(2)
    world.record(BreakerOpened("ollama", "x", 1.0, 1, 1))
    world.hub.set_gauge("load", 0.5)
    response = await call(world.app, "GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert line in response.body.decode().splitlines()


async def test_metrics_need_a_reader() -> None:
    assert (await call(World().app, "GET", "/metrics", client="10.0.0.9")).status == 401


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("/api/system/halt", b'{"reason":"look first"}', HaltSystem("look first", "operator")),
        ("/api/system/halt", b"", HaltSystem("", "operator")),
        ("/api/system/resume", b"", ResumeSystem("operator")),
    ],
)
async def test_an_operator_halts_and_resumes_everything(path: str, body: bytes, asked: Message) -> None:
    world = World()
    world.gateway.replies[type(asked)] = Done()
    assert (await call(world.app, "POST", path, headers=bearer(), body=body)).status == 200
    assert world.gateway.asked[-1] == (MONITOR, asked)
    for headers, status in (({}, 401), (bearer(READER), 403)):
        assert (await call(world.app, "POST", path, headers=headers, body=body)).status == status


async def test_the_system_shows_alerts_actors_and_whether_all_is_halted() -> None:
    world = World()
    alert = Alert("disk", "disk", "1 MiB are free", 5)
    world.gateway.replies[ReadMonitor] = MonitorView(True, "look first", "ana", (alert,))
    system = (await call(world.app, "GET", "/api/system")).json()
    assert (system["is_halted"], system["halted"]) == (True, {"reason": "look first", "by": "ana"})
    assert system["alerts"] == [{"alert": "disk", "kind": "disk", "cause": "1 MiB are free", "raised_us": 5}]
    assert system["actors"] == []
