"""Decide whether a call may cost what it may cost, and keep the books of what was spent.

Rules: before anything is sent, the dearest attempt that a completion may make is reserved; what attempts really cost is
settled as they end, and the rest of the reservation is released. A budget is never exceeded by more than a provider
charges beyond its own estimate: a call whose reservation does not fit is refused. If it would fit once the calls under
way are settled, the refusal says to come back; if not, the budget is spent, and it stays so until it is raised (or, for
the day's, until the next day in UTC). At 80 % there is one warning. An intent without an outcome after a restart counts
as spent in full. What a crash leaves of an allowance may have gone to any agent, through calls that left no trace: it
counts in every agent's budget until a reconciliation says that it was not spent. Money is integer USD micros; a price
is integer USD micros per million tokens; rounding is upwards.

Pure: the day and the limits are handed in.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from bus.errors import Refused
from bus.messages.base import AgentId, CompletionId, Event, Microseconds, TaskId
from bus.messages.completions import (
    BudgetRaised,
    BudgetReopened,
    BudgetSpent,
    BudgetWarned,
    ChatMessage,
    CompletionAttemptFailed,
    CompletionCompleted,
    CompletionFailed,
    CompletionRequested,
    CompletionUnknown,
    Tool,
)
from bus.messages.routing import (
    AllowanceAsked,
    AllowanceDrawn,
    AllowanceLost,
    AllowanceRefused,
    AllowanceReturned,
    CompletionsNumbered,
    ReconcileSpending,
    SpendingReconciled,
)
from bus.refusals import BudgetExhausted, InvalidField, Overloaded

WARN_SHARE_PERCENT = 80
RESERVED_RETRY_S = 1.0
"""When to come back if only the calls under way stand between a call and its budget."""
RUN = "run"
DAY = "day"
AGENT = "agent"
DAY_US = 86_400_000_000
BYTES_PER_TOKEN = 3
"""English has some four to a token, other scripts three: a reservation rather errs upwards."""
TOKENS_PER_MESSAGE = 4
"""Role and separators of a chat message."""
TOKENS_PER_IMAGE = 1_600
"""What the largest providers count for the largest image that they do not scale down."""
MICROS = 1_000_000
NUMBERED: Final = "m-"
"""What a completion's id begins with; its number follows."""


AllowanceEvent = AllowanceAsked | AllowanceRefused | AllowanceDrawn | AllowanceReturned | AllowanceLost


class Price(msgspec.Struct, frozen=True):
    """USD micros per million tokens, in and out."""

    in_micros: int = 0
    out_micros: int = 0


class Limits(msgspec.Struct, frozen=True):
    """The configured budgets in USD micros; 0 means without a limit."""

    run: int = 0
    day: int = 0
    agent: int = 0


class Intent(msgspec.Struct):
    """A completion that was begun, may cost money and has no outcome yet."""

    agent: AgentId
    task: TaskId
    reserved: int
    lost: int = 0
    """What its failed attempts may have cost; already counted as spent."""


class Spending(msgspec.Struct):
    """The books, folded from events."""

    requested: int = 0
    """The highest number that a completion may have been given."""
    run: int = 0
    day: int = 0
    day_number: int = 0
    """Days since 1970-01-01 UTC that `day` is about."""
    agents: dict[AgentId, int] = msgspec.field(default_factory=dict)
    open: dict[CompletionId, Intent] = msgspec.field(default_factory=dict)
    reserved: int = 0
    allowance: int = 0
    """What was drawn in advance and is not spent; see `actors.rules.allowance`."""
    slices: int = 0
    """How many slices the ledger was ever asked for; the last one's number."""
    asked: int = 0
    """How much the last one is, while the ledger has not answered."""
    unknown: int = 0
    """What counts as spent although nobody knows whether it was, and at whom."""
    billed: int = 0
    """What bills have claimed of it."""
    adrift: int = 0
    """What crashes have left of allowances: any agent may have spent it, so it counts in each one's budget."""
    adrift_of: dict[AgentId, int] = msgspec.field(default_factory=dict)
    """The part of that which each agent's own lost intents account for, so that nobody pays for it twice."""
    run_limit: int | None = None
    """The run's budget as an operator set it; it outranks the configured one."""
    warned: dict[str, int] = msgspec.field(default_factory=dict)
    """The limit at which each budget's warning was given."""
    spent: dict[str, int] = msgspec.field(default_factory=dict)
    """The limit at which each budget was found spent."""


class Budget(msgspec.Struct, frozen=True):
    """One budget as it stands."""

    name: str
    limit: int
    spent: int
    reserved: int


def parse_price(text: Decimal) -> int:
    """USD per million tokens as integer micros.

    Raises:
        ValueError: negative, not a number, or finer than a micro.
    """
    micros = text * MICROS
    if not text.is_finite() or text < 0 or micros != micros.to_integral_value():
        raise ValueError(f"a price is at least 0 USD per million tokens and has at most six decimals, not {text}")
    return int(micros)


def cost(price: Price, tokens_in: int, tokens_out: int) -> int:
    """What so many tokens cost, rounded upwards."""
    return -(-(tokens_in * price.in_micros + tokens_out * price.out_micros) // MICROS)


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has; rather too many."""
    size = len(text) if text.isascii() else len(text.encode())
    return -(-size // BYTES_PER_TOKEN)


def estimate_prompt(messages: Sequence[ChatMessage]) -> int:
    """About how many tokens a prompt has; rather too many."""
    tokens = 0
    for message in messages:
        tokens += estimate_tokens(message.content) + TOKENS_PER_MESSAGE + TOKENS_PER_IMAGE * len(message.images)
        for call in message.tool_calls:
            tokens += estimate_tokens(call.name + call.arguments) + TOKENS_PER_MESSAGE
    return tokens


def estimate_tools(tools: Sequence[Tool]) -> int:
    """About how many tokens the descriptions of tools have; rather too many."""
    if not tools:
        return 0
    return sum(estimate_tokens(tool.name + tool.description + tool.parameters) + TOKENS_PER_MESSAGE for tool in tools)


def budgets(spending: Spending, limits: Limits, agent: AgentId, now_us: Microseconds) -> tuple[Budget, ...]:
    """The budgets that a call of this agent draws on, those without a limit left out."""
    shared = shared_budgets(spending, limits, now_us)
    if not limits.agent:
        return shared
    reserved = sum(intent.reserved for intent in spending.open.values() if intent.agent == agent)
    return (*shared, Budget(f"{AGENT}/{agent}", limits.agent, _spent_by(spending, agent), reserved))


def shared_budgets(spending: Spending, limits: Limits, now_us: Microseconds) -> tuple[Budget, ...]:
    """The budgets that every call draws on, those without a limit left out."""
    drawn: list[Budget] = []
    if limit := run_limit(spending, limits):
        drawn.append(Budget(RUN, limit, spending.run, spending.reserved))
    if limits.day:
        day = f"{DAY}/{_day_number(spending, now_us)}"
        drawn.append(Budget(day, limits.day, today(spending, now_us), spending.reserved))
    return tuple(drawn)


def is_shared(budget: str) -> bool:
    """Is it everybody's budget, or an agent's own?"""
    return budget == RUN or budget.startswith(f"{DAY}/")


def today(spending: Spending, now_us: Microseconds) -> int:
    """What was spent this day, UTC."""
    return spending.day if spending.day_number == _day_number(spending, now_us) else 0


def run_limit(spending: Spending, limits: Limits) -> int:
    """The run's budget in force; 0 means without a limit."""
    return limits.run if spending.run_limit is None else spending.run_limit


def is_exhausted(spending: Spending, budget: Budget) -> bool:
    """Was this budget found spent, and not raised since?"""
    return budget.limit <= spending.spent.get(budget.name, 0)


def refusal(
    spending: Spending, drawn: Sequence[Budget], needed: int, already_reserved: int = 0
) -> tuple[Refused | None, tuple[Event, ...]]:
    """Why a call that may cost `needed` cannot be made, or None; and what is to be recorded of it.

    `already_reserved` is the part of the reservations that the call itself holds.
    """
    for budget in drawn:
        left = max(0, budget.limit - budget.spent)
        if is_exhausted(spending, budget):
            return BudgetExhausted(budget.name, left, needed), ()
        if needed > left:
            event = BudgetSpent(budget=budget.name, spent_usd_micros=budget.spent, limit_usd_micros=budget.limit)
            return BudgetExhausted(budget.name, left, needed), (event,)
        if needed > left - (budget.reserved - already_reserved):
            return Overloaded(f"budget {budget.name}", RESERVED_RETRY_S), ()
    return None, ()


def reopened(spending: Spending, limits: Limits, now_us: Microseconds) -> tuple[BudgetReopened, ...]:
    """The budgets that were found spent and cover calls again: their limit is higher now, or their day is over."""
    today_name = f"{DAY}/{_day_number(spending, now_us)}"
    found: list[BudgetReopened] = []
    for name, mark in spending.spent.items():
        limit = limits.agent if name.startswith(f"{AGENT}/") else limits.day
        limit = run_limit(spending, limits) if name == RUN else limit
        is_over = name.startswith(f"{DAY}/") and name != today_name
        if is_over or not limit or limit > mark:
            found.append(BudgetReopened(budget=name, limit_usd_micros=limit))
    return tuple(found)


def warnings(spending: Spending, drawn: Sequence[Budget], needed: int) -> tuple[Event, ...]:
    """The warnings that are due once `needed` is reserved: each budget's once, and once more if it was raised."""
    due: list[Event] = []
    for budget in drawn:
        used = budget.spent + budget.reserved + needed
        if used * 100 >= budget.limit * WARN_SHARE_PERCENT and spending.warned.get(budget.name, 0) < budget.limit:
            due.append(BudgetWarned(budget=budget.name, spent_usd_micros=used, limit_usd_micros=budget.limit))
    return tuple(due)


def unknown(spending: Spending, now_us: Microseconds) -> tuple[CompletionUnknown, ...]:
    """After a restart: each intent without an outcome, with all that it may have cost."""
    return tuple(
        CompletionUnknown(
            completion=completion,
            agent=intent.agent,
            task=intent.task,
            cost_usd_micros=intent.lost + intent.reserved,
            found_us=now_us,
        )
        for completion, intent in spending.open.items()
    )


def lost_allowance(spending: Spending, now_us: Microseconds) -> tuple[AllowanceLost, ...]:
    """After a restart, once every known intent is settled: what calls that left no trace may have cost."""
    if not spending.allowance:
        return ()
    return (AllowanceLost(amount_usd_micros=spending.allowance, found_us=now_us),)


def reconcile(
    spending: Spending, command: ReconcileSpending, limits: Limits, now_us: Microseconds
) -> tuple[SpendingReconciled | BudgetReopened, ...]:
    """What a provider's bill says of money of which nobody knew whether it was spent. The day's budget stays as it was.

    Raises:
        InvalidField: it is more than what is unknown, or nobody is named who charged it.
    """
    for name, amount in (("spent", command.spent_usd_micros), ("unspent", command.unspent_usd_micros)):
        if amount < 0:
            raise InvalidField(f"{name}_usd_micros", "must be at least 0")
    total = command.spent_usd_micros + command.unspent_usd_micros
    if total > spending.unknown:
        raise InvalidField("spent_usd_micros", f"only {spending.unknown} USD micros are unknown, not {total}")
    if command.spent_usd_micros and not command.provider:
        raise InvalidField("provider", "must name who charged it")
    if not total:
        return ()
    reconciled = SpendingReconciled(
        provider=command.provider,
        spent_usd_micros=command.spent_usd_micros,
        unspent_usd_micros=command.unspent_usd_micros,
        reconciled_us=now_us,
    )
    back = [name for name in spending.spent if not name.startswith(f"{DAY}/")] if command.unspent_usd_micros else []
    limit = {RUN: run_limit(spending, limits)}
    return (reconciled, *(BudgetReopened(budget=name, limit_usd_micros=limit.get(name, limits.agent)) for name in back))


def apply(spending: Spending, event: Event) -> None:
    """Fold an event of the router; events that do not concern money change nothing."""
    match event:
        case CompletionCompleted():
            _settle(spending, event.completion, event.cost_usd_micros, event.completed_us)
        case CompletionRequested():
            _reserve(spending, event)
        case CompletionsNumbered():
            spending.requested = max(spending.requested, event.upto)
        case CompletionAttemptFailed():
            intent = spending.open.get(event.completion)
            if intent is not None:
                intent.lost += event.cost_usd_micros
                _spend(spending, intent.agent, event.cost_usd_micros)
        case CompletionFailed():
            _settle(spending, event.completion, event.cost_usd_micros, event.failed_us)
            spending.unknown += event.cost_usd_micros
        case CompletionUnknown():
            _apply_unknown(spending, event)
        case AllowanceAsked() | AllowanceRefused() | AllowanceDrawn() | AllowanceReturned() | AllowanceLost():
            _apply_allowance(spending, event)
        case SpendingReconciled():
            _apply_reconciled(spending, event)
        case BudgetWarned() | BudgetSpent() | BudgetReopened() | BudgetRaised():
            _apply_budget(spending, event)
        case _:
            pass


def _apply_unknown(spending: Spending, event: CompletionUnknown) -> None:
    """What it had of the allowance, others may have used after it: that it ended cheaper can be forgotten as well."""
    allowance = spending.allowance
    _settle(spending, event.completion, event.cost_usd_micros, event.found_us)
    spending.unknown += event.cost_usd_micros
    if lost := allowance - spending.allowance:
        spending.adrift += lost
        spending.adrift_of[event.agent] = spending.adrift_of.get(event.agent, 0) + lost


def _apply_reconciled(spending: Spending, event: SpendingReconciled) -> None:
    """Of what is adrift no more was spent than bills have claimed, or may yet claim."""
    spending.unknown -= event.spent_usd_micros + event.unspent_usd_micros
    spending.billed += event.spent_usd_micros
    spending.run -= event.unspent_usd_micros
    spending.adrift = min(spending.adrift, spending.billed + spending.unknown)
    if event.unspent_usd_micros:
        for name in [name for name in spending.spent if name == RUN or name.startswith(f"{AGENT}/")]:
            del spending.spent[name]


def _apply_budget(spending: Spending, event: BudgetWarned | BudgetSpent | BudgetReopened | BudgetRaised) -> None:
    match event:
        case BudgetWarned():
            spending.warned[_key(spending.warned, event.budget)] = event.limit_usd_micros
        case BudgetSpent():
            spending.spent[_key(spending.spent, event.budget)] = event.limit_usd_micros
        case BudgetReopened():
            spending.spent.pop(event.budget, None)
        case BudgetRaised():
            spending.run_limit = event.limit_usd_micros
            spending.spent.pop(RUN, None)
            spending.warned.pop(RUN, None)


def _apply_allowance(spending: Spending, event: AllowanceEvent) -> None:
    match event:
        case AllowanceAsked():
            spending.slices, spending.asked = event.slice, event.amount_usd_micros
        case AllowanceRefused():
            spending.asked = 0
        case AllowanceDrawn():
            spending.allowance += event.amount_usd_micros
            spending.asked = 0
        case AllowanceReturned():
            spending.allowance -= event.amount_usd_micros
        case AllowanceLost():
            _begin_day(spending, event.found_us)
            spending.run += event.amount_usd_micros
            spending.day += event.amount_usd_micros
            spending.unknown += event.amount_usd_micros
            spending.adrift += event.amount_usd_micros
            spending.allowance = 0


def _spent_by(spending: Spending, agent: AgentId) -> int:
    """What an agent has spent, or may have."""
    return spending.agents.get(agent, 0) + max(0, spending.adrift - spending.adrift_of.get(agent, 0))


def _day_number(spending: Spending, now_us: Microseconds) -> int:
    """Days since 1970. A clock that was set back does not give a day's budget anew."""
    return max(now_us // DAY_US, spending.day_number)


def _reserve(spending: Spending, event: CompletionRequested) -> None:
    """A completion may cost so much from now on, whatever it was thought to cost before."""
    number = event.completion.removeprefix(NUMBERED)
    spending.requested = max(spending.requested, int(number) if number.isdecimal() else 0)
    before = spending.open.get(event.completion)
    if before is None:
        spending.open[event.completion] = Intent(event.agent, event.task, event.reserved_usd_micros)
        spending.reserved += event.reserved_usd_micros
    else:
        spending.reserved += event.reserved_usd_micros - before.reserved
        before.reserved = event.reserved_usd_micros
    _begin_day(spending, event.requested_us)


def _settle(spending: Spending, completion: CompletionId, total: int, time_us: Microseconds) -> None:
    _begin_day(spending, time_us)
    intent = spending.open.pop(completion, None)
    if intent is not None:
        spending.reserved -= intent.reserved
        _spend(spending, intent.agent, total - intent.lost)


def _spend(spending: Spending, agent: AgentId, amount: int) -> None:
    spending.run += amount
    spending.day += amount
    spending.allowance -= min(amount, spending.allowance)
    if amount:
        spending.agents[agent] = spending.agents.get(agent, 0) + amount


def _begin_day(spending: Spending, time_us: Microseconds) -> None:
    day_number = time_us // DAY_US
    if day_number > spending.day_number:
        spending.day_number, spending.day = day_number, 0


def _key(noted: dict[str, int], budget: str) -> str:
    """The budget's name, after forgetting what was noted of days gone by: one day is kept, so the books stay small."""
    if budget.startswith(f"{DAY}/"):
        for name in [name for name in noted if name.startswith(f"{DAY}/")]:
            del noted[name]
    return budget
