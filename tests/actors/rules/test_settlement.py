"""Which transfers facts demand."""

import pytest

from actors.rules import books
from actors.rules.books import Books
from actors.rules.settlement import (
    CompletionFact,
    TaskFact,
    agent_account,
    decide_income,
    decide_settlement,
    demanded,
    hold_id,
    task_of_hold,
)
from bus.messages.base import AccountId, AgentId, ArtifactId, CompletionId, TaskId, TransferId
from bus.messages.completions import CompletionCompleted, CompletionFailed, CompletionUnknown
from bus.messages.ledger import TransferRefused, TransferState
from bus.messages.lightning import InvoiceId, InvoiceSettled
from bus.messages.tasks import TaskCancelled, TaskCompleted, TaskCreated, TaskExpired, TaskFailed, TaskSpec
from tests.support.books import NOW_US, available, filled, fold, net

TASK = TaskId("t-1")
SCOUT = AgentId("scout")


def created(reward_msat: int = 400, poster: str = "treasury") -> TaskCreated:
    return TaskCreated(TASK, TaskSpec("Brief anyio", reward_msat=reward_msat, poster=AccountId(poster)), NOW_US)


def completed(price_msat: int = 300, agent: AgentId = SCOUT) -> TaskCompleted:
    return TaskCompleted(TASK, agent, 1, price_msat, ArtifactId("a-2"), "done")


def settle(state: Books, fact: TaskFact | CompletionFact) -> list[str]:
    events = decide_settlement(state, fact, NOW_US)
    fold(state, events)
    assert books.prove(state).is_conserved
    return [event.wire_name for event in events if event.wire_name != "account.opened"]


def test_a_hold_belongs_to_its_task() -> None:
    assert hold_id(TASK) == "hold/t-1"
    assert task_of_hold(TransferId("hold/t-1")) == TASK
    assert task_of_hold(TransferId("post/t-1")) is None


def test_a_created_tasks_reward_is_held_from_its_poster() -> None:
    state = filled(1_000)
    assert settle(state, created()) == ["transfer.held"]
    assert available(state, "treasury") == 600


def test_a_reward_that_the_poster_does_not_have_is_recorded_as_refused() -> None:
    state = filled(100)
    assert settle(state, created()) == ["transfer.refused"]
    assert state.transfers[hold_id(TASK)].reason == "treasury has 100 msat available; 400 are needed"


def test_a_completed_tasks_price_is_paid_and_the_rest_released() -> None:
    state = filled(1_000)
    settle(state, created(400))
    assert settle(state, completed(300)) == ["transfer.posted"]
    assert net(state, agent_account(SCOUT)) == 300
    assert available(state, "treasury") == 700


@pytest.mark.parametrize("end", [TaskFailed, TaskCancelled, TaskExpired])
def test_any_other_end_releases_the_hold(end: type[TaskFailed | TaskCancelled | TaskExpired]) -> None:
    state = filled(1_000)
    settle(state, created(400))
    assert settle(state, end(TASK, "no")) == ["transfer.voided"]
    assert available(state, "treasury") == 1_000


def test_an_end_without_a_hold_demands_nothing() -> None:
    state = filled(100)
    assert settle(state, TaskCancelled(TASK, "never held")) == []
    settle(state, created(400))
    assert settle(state, TaskFailed(TASK, "it was refused")) == []


def test_a_fact_that_is_seen_twice_moves_nothing_twice() -> None:
    state = filled(1_000)
    for fact in (created(400), created(400), completed(300)):
        settle(state, fact)
    assert settle(state, completed(300)) == []
    assert settle(state, created(400)) == []
    assert net(state, agent_account(SCOUT)) == 300


def test_the_first_fact_of_a_task_stands_even_if_another_says_something_else() -> None:
    state = filled(1_000)
    settle(state, created(400))
    assert settle(state, created(500)) == []
    assert state.transfers[hold_id(TASK)].state is TransferState.HELD
    assert available(state, "treasury") == 600


def test_a_refund_after_paying_out_creates_no_money() -> None:
    state = filled(1_000)
    for fact in (created(400), completed(400)):
        settle(state, fact)
    assert settle(state, TaskFailed(TASK, "late")) == []
    assert net(state, "treasury") == 600


def test_a_payment_for_a_released_hold_is_refused_not_raised() -> None:
    state = filled(1_000)
    for fact in (created(400), TaskCancelled(TASK, "no")):
        settle(state, fact)
    assert settle(state, completed(300)) == ["transfer.refused"]
    assert net(state, agent_account(SCOUT)) == 0


def test_a_payment_without_any_hold_is_refused_not_raised() -> None:
    state = filled(1_000)
    assert settle(state, completed(300)) == ["transfer.refused"]
    assert state.transfers[TransferId("post/t-1")].state is TransferState.REFUSED
    assert settle(state, completed(300)) == []


def test_an_agent_that_does_its_own_task_gets_its_reward_back() -> None:
    state = filled(1_000)
    settle(state, created(400))
    settle(state, completed(400))
    own = TaskId("t-2")
    spec = TaskSpec("Mine", reward_msat=50, poster=agent_account(SCOUT))
    settle(state, TaskCreated(own, spec, NOW_US))
    assert available(state, agent_account(SCOUT)) == 350
    assert settle(state, TaskCompleted(own, SCOUT, 1, 50, ArtifactId(""), "")) == ["transfer.voided"]
    assert available(state, agent_account(SCOUT)) == 400


def completion(cost: int) -> CompletionCompleted:
    return CompletionCompleted(CompletionId("m-1"), SCOUT, TASK, "ollama", "tiny", 10, 5, cost, "stop", 0.1, NOW_US)


def test_what_a_completion_cost_is_owed_to_its_provider_once() -> None:
    state = filled(1_000)
    assert settle(state, completion(25)) == ["transfer.posted"]
    assert settle(state, completion(25)) == []
    assert net(state, "provider/ollama", "usd_micros") == 25
    assert net(state, "models", "usd_micros") == -25


def test_a_completion_that_cost_nothing_demands_nothing() -> None:
    assert demanded(completion(0), filled()) is None


@pytest.mark.parametrize(
    "fact",
    [
        CompletionFailed(CompletionId("m-2"), SCOUT, TASK, "timeout", "too slow", 7, NOW_US),
        CompletionUnknown(CompletionId("m-2"), SCOUT, TASK, 7, NOW_US),
    ],
)
def test_what_a_lost_completion_cost_is_owed_to_no_known_provider(fact: CompletionFact) -> None:
    state = filled(1_000)
    assert settle(state, fact) == ["transfer.posted"]
    assert net(state, "provider/unknown", "usd_micros") == 7


def test_a_demand_that_makes_no_sense_is_recorded_with_its_fields() -> None:
    (refused,) = decide_settlement(filled(), completed(300), NOW_US)
    assert isinstance(refused, TransferRefused)
    assert (refused.kind, refused.hold, refused.credit, refused.amount, refused.code) == (
        "transfer.post",
        "hold/t-1",
        "agents/scout",
        300,
        "not_found",
    )


def paid(name: str = "i-1", received_msat: int = 5_000, account: str = "agents/bob") -> InvoiceSettled:
    return InvoiceSettled(InvoiceId(name), AccountId(account), received_msat, "lnd", "", "", NOW_US)


def test_a_settled_invoice_brings_its_money_from_the_world_outside_once() -> None:
    state = filled(1_000)
    for _ in range(2):
        fold(state, decide_income(state, paid()))
        assert books.prove(state).is_conserved
    assert (net(state, "agents/bob"), net(state, "lightning/lnd")) == (5_000, -5_000)
    fold(state, decide_income(state, paid("i-2", 7, "treasury")))
    assert (net(state, "treasury"), net(state, "lightning/lnd")) == (1_007, -5_007)
    [world] = books.balances(state, "lightning/lnd")
    assert world.credit_limit == -1


def test_income_that_no_account_could_hold_is_recorded_as_refused() -> None:
    state = filled(1_000)
    for number in range(1_030):
        fold(state, decide_income(state, paid(f"i-{number}", 2**53)))
    assert books.prove(state).is_conserved
    refused = [entry for entry in state.transfers.values() if entry.state is TransferState.REFUSED]
    assert refused
    assert refused[0].reason.startswith("amount: would take an account's total past")
