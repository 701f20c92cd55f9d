"""The cascade router: it asks one provider after the other until one answers, within one deadline and one budget.

It owns all state: breakers, permits, money. Each completion is a `Call` with at most one attempt under way; an attempt
is a job that begins once its intent is committed, calls one provider and reports back as a message; the turn that takes
the report decides what comes next. So there are no locks, and no check grows stale while something is awaited. Which
provider is next is decided in `actors.rules.cascade`, who may be called in `actors.rules.breaker`, what may be spent in
`actors.rules.spending`.

What outlives the process is folded from events: who is enabled, breakers with the rest of their wait, all money. What
does not: outcomes in a closed breaker's window, gates after throttling, latencies. An intent that a crash left without
an outcome is recorded as unknown and counts as spent; it is never sent again.
"""

from collections.abc import Mapping

import msgspec

from actors.providers import Call, ModelReply, ProviderFault, ProviderOptions, Seat, Seats, Transport
from actors.rules import breaker as breakers
from actors.rules import cascade, spending
from actors.rules.breaker import BreakerOptions
from actors.rules.cascade import (
    CONSEQUENCES,
    Cascade,
    CascadeOptions,
    Choice,
    ErrorClass,
    GiveUp,
    Next,
    NextRound,
    Queue,
    Try,
)
from actors.rules.spending import Limits, Spending
from actors.runtime import Deferred, Job, PersistentActor
from bus.errors import (
    AgoraError,
    AllProvidersFailed,
    DeadlinePassed,
    InvalidField,
    MailboxFull,
    Overloaded,
    RequestRejected,
)
from bus.messages.base import Command, CompletionId, Done, Event, Message
from bus.messages.completions import (
    BudgetRaised,
    BudgetSpent,
    Complete,
    Completion,
    DisableProvider,
    EnableProvider,
    ProviderDisabled,
    ProviderEnabled,
    ReadRouter,
    RouterView,
    SetBudget,
)
from bus.messages.system import JOURNAL, SaveCheckpoint

OVERLOADED_RETRY_S = 1.0
UNAVAILABLE = "unavailable"
"""The error of a completion for which nobody could be tried."""
REPORT_TIMEOUT_S = 30.0
"""How long an attempt waits for its report to be taken before it tells it again; it gets through in the end."""


class RouterOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cascade and its limits. Money is in USD micros; 0 means without a limit."""

    providers: tuple[ProviderOptions, ...] = ()
    """In the order in which they are asked."""
    budget_run_usd_micros: int = 0
    """What the run may spend in all."""
    budget_day_usd_micros: int = 0
    """What may be spent in one day, UTC."""
    budget_agent_usd_micros: int = 0
    """What each agent may spend in the run."""
    completions_max: int = 256
    """Completions under way or waiting at once; more are refused as overload."""
    breaker: BreakerOptions = BreakerOptions()
    """When a provider counts as sick."""
    cascade: CascadeOptions = CascadeOptions()
    """How long and how often the cascade tries."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: it names the setting.
        """
        names = [provider.name for provider in self.providers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`providers` has {name!r} twice")
        if min(self.budget_run_usd_micros, self.budget_day_usd_micros, self.budget_agent_usd_micros) < 0:
            raise ValueError("a budget must be at least 0")
        if self.completions_max < 1:
            raise ValueError("`completions_max` must be at least 1")


class RouterState(msgspec.Struct):
    """All that outlives the process."""

    cascade: Cascade = msgspec.field(default_factory=Cascade)
    spending: Spending = msgspec.field(default_factory=Spending)


class AttemptAnswered(Command[Done], frozen=True):
    """Sent by an attempt to its router: the provider has answered."""

    wire_name = "router.attempt_answered"

    completion: CompletionId
    attempt: int
    reply: ModelReply
    elapsed_s: float


class AttemptFailed(Command[Done], frozen=True):
    """Sent by an attempt to its router: the provider has not answered."""

    wire_name = "router.attempt_failed"

    completion: CompletionId
    attempt: int
    error: ErrorClass
    reason: str
    retry_after_s: float
    elapsed_s: float


class CallDue(Message, frozen=True):
    """Sent by a timer: a waiting completion looks again, in a new round or because its time is nearly up."""

    wire_name = "router.call_due"

    completion: CompletionId
    is_next_round: bool


class Router(PersistentActor[RouterState]):
    """One actor for all providers."""

    state_type = RouterState

    def __init__(self, options: RouterOptions, environment: Mapping[str, str]) -> None:
        self._options = options
        self._limits = Limits(
            options.budget_run_usd_micros, options.budget_day_usd_micros, options.budget_agent_usd_micros
        )
        self._transport = Transport()
        self._seats = Seats(options.providers, options.breaker, self._transport, environment)
        self._calls: dict[CompletionId, Call] = {}
        self._owed: dict[CompletionId, Deferred[Completion]] = {}
        self._queued: dict[CompletionId, str] = {}
        """Completions that wait for a busy provider, oldest first."""

    def initial(self) -> RouterState:
        return RouterState()

    def apply(self, event: Event) -> None:
        cascade.apply(self.state.cascade, event)
        spending.apply(self.state.spending, event)

    async def on_start(self) -> None:
        await self._transport.__aenter__()

    def on_recovered(self) -> None:
        """Put the breakers back, try again whom only the router had disabled, and own up to what is unknown."""
        returning = self._seats.restore(self.state.cascade, self.monotonic_s, self.now_us)
        events = (
            *(ProviderEnabled(provider=name) for name in returning),
            *spending.unknown(self.state.spending, self.now_us),
        )
        if events:
            self.persist(*events)

    def on_complete(self, request: Complete) -> Completion | None:
        """Begin a completion; the reply is deferred until it ends."""
        _check(request)
        if len(self._calls) >= self._options.completions_max:
            raise Overloaded("the router", OVERLOADED_RETRY_S)
        call = Call(request, self.monotonic_s)
        needed = self._seats.dearest(self.state.cascade, call.tokens_in, request.tokens_max)
        drawn = spending.budgets(self.state.spending, self._limits, request.agent, self.now_us)
        refused, notes = spending.refusal(self.state.spending, drawn, needed)
        if refused is not None and not notes:
            raise refused
        choice = self._choose(call)
        if refused is None and isinstance(choice, GiveUp):
            raise self._nobody(call, choice.reason)
        owed: Deferred[Completion] = self.defer()
        if refused is not None:
            self._note(notes)
            owed.refuse(refused)
            return None
        call.completion = CompletionId(f"m-{self.state.spending.requested + 1}")
        self.persist(*spending.warnings(self.state.spending, drawn, needed), call.requested(needed, self.now_us))
        self._calls[call.completion] = call
        self._owed[call.completion] = owed
        self._follow(call, choice)
        return None

    def on_attempt_answered(self, ended: AttemptAnswered) -> Done:
        """Settle the money, answer the asker."""
        call, seat = self._under_way(ended)
        if call is None or seat is None:
            return Done()
        outcome = seat.judge(ended.elapsed_s)
        now = (self.monotonic_s, self.now_us)
        transition = seat.give_back(call.permit, outcome, outcome, now, self.dice.random())
        lost = self.state.spending.open[call.completion].lost
        completed = call.completed(seat, ended.reply, lost, ended.elapsed_s, now)
        self.persist(*transition, completed)
        del self._calls[call.completion]
        self._owed.pop(call.completion).answer(call.reply(completed, ended.reply))
        self._look_again(seat)
        return Done()

    def on_attempt_failed(self, ended: AttemptFailed) -> Done:
        """Draw the consequences of the failure, then go on to whoever is next."""
        call, seat = self._under_way(ended)
        if call is None or seat is None:
            return Done()
        consequence = CONSEQUENCES[ended.error]
        now = (self.monotonic_s, self.now_us)
        events = [*seat.give_back(call.permit, consequence.outcome, ended.error, now, self.dice.random())]
        if consequence.gates:
            breakers.gate(seat.breaker, self.monotonic_s + ended.retry_after_s)
        if consequence.disables and cascade.standing(self.state.cascade, seat.name).is_enabled:
            events.append(ProviderDisabled(provider=seat.name, reason=ended.reason, is_automatic=True))
        charged = call.estimate(seat) if consequence.may_cost else 0
        events.append(call.attempt_failed(seat, ended.error, ended.reason, charged, ended.elapsed_s))
        self.persist(*events)
        if consequence.next is Next.STOP:
            self._fail(call, ended.error, ended.reason, RequestRejected(seat.name, ended.reason))
        else:
            self._go_on(call)
        self._look_again(seat)
        return Done()

    def on_call_due(self, due: CallDue) -> None:
        """A wait is over."""
        call = self._calls.get(due.completion)
        if call is None or call.seat is not None:
            return
        self._queued.pop(due.completion, None)
        call.round += due.is_next_round
        self._go_on(call)

    def on_read_router(self, _: ReadRouter) -> RouterView:
        """Show the cascade and the money."""
        books = self.state.spending
        shared = spending.shared_budgets(books, self._limits, self.now_us)
        return RouterView(
            providers=self._seats.views(self.state.cascade, self.monotonic_s),
            spent_run_usd_micros=books.run,
            spent_today_usd_micros=spending.today(books, self.now_us),
            reserved_usd_micros=books.reserved,
            budget_run_usd_micros=spending.run_limit(books, self._limits),
            budget_day_usd_micros=self._limits.day,
            is_budget_exhausted=any(spending.is_exhausted(books, budget) for budget in shared),
            queued=len(self._queued),
        )

    def on_enable_provider(self, command: EnableProvider) -> Done:
        """Take a provider into the cascade again, its breaker closed."""
        seat = self._seats.seat(command.provider)
        events = [*seat.reset(self.now_us)]
        if not cascade.standing(self.state.cascade, seat.name).is_enabled:
            events.append(ProviderEnabled(provider=seat.name))
        if events:
            self.persist(*events)
        return Done()

    def on_disable_provider(self, command: DisableProvider) -> Done:
        """Take a provider out of the cascade; its calls under way may still answer."""
        seat = self._seats.seat(command.provider)
        record = cascade.standing(self.state.cascade, seat.name)
        if record.is_enabled or record.is_disabled_by_router:
            self.persist(ProviderDisabled(provider=seat.name, reason=command.reason or "by an operator"))
        return Done()

    def on_set_budget(self, command: SetBudget) -> Done:
        """Set what the run may spend; its cost so far stays."""
        if command.run_usd_micros < 0:
            raise InvalidField("run_usd_micros", "must be at least 0")
        self.persist(BudgetRaised(budget=spending.RUN, limit_usd_micros=command.run_usd_micros))
        return Done()

    async def on_stop(self) -> None:
        await self._transport.__aexit__(None, None, None)

    def _under_way(self, ended: AttemptAnswered | AttemptFailed) -> tuple[Call | None, Seat | None]:
        """The call whose attempt has ended, and where; None if that was told before."""
        call = self._calls.get(ended.completion)
        return (call, call.seat) if call is not None and call.attempts == ended.attempt else (None, None)

    def _choose(self, call: Call) -> Choice:
        now_s = self.monotonic_s
        candidates = self._seats.candidates(self.state.cascade, now_s)
        left_s = call.deadline_s - now_s
        jitter = self.dice.random()
        return cascade.choose(candidates, call.attempted, call.round, left_s, self._options.cascade, jitter)

    def _go_on(self, call: Call) -> None:
        """The next attempt, or the end. What failed attempts may have cost can leave no money for another."""
        intent = self.state.spending.open[call.completion]
        if intent.lost:
            drawn = spending.budgets(self.state.spending, self._limits, call.request.agent, self.now_us)
            refused, notes = spending.refusal(self.state.spending, drawn, intent.reserved, intent.reserved)
            if refused is not None:
                self._note(notes)
                self._fail(call, "budget", str(refused), refused)
                return
        self._follow(call, self._choose(call))

    def _follow(self, call: Call, choice: Choice) -> None:
        match choice:
            case Try(provider, limit_s):
                seat = self._seats.seat(provider)
                permit, events = seat.take(self.monotonic_s, self.now_us)
                call.begin(seat, permit)
                if events:
                    self.persist(*events)
                self.perform(_attempt, self, call, seat, limit_s, self._options.cascade.attempt_min_s)
            case Queue(provider, delay_s):
                self._queued[call.completion] = provider
                self.start_timer(call.completion, delay_s, CallDue(call.completion, is_next_round=False))
            case NextRound(delay_s):
                self.start_timer(call.completion, delay_s, CallDue(call.completion, is_next_round=True))
            case GiveUp(reason):
                error = call.attempted[-1].error if call.attempted else UNAVAILABLE
                self._fail(call, error, reason, self._nobody(call, reason))

    def _nobody(self, call: Call, reason: str) -> AllProvidersFailed:
        skipped = self._seats.why_skipped(self.state.cascade, call.attempted, self.monotonic_s)
        return AllProvidersFailed((*call.lines, *skipped, reason))

    def _look_again(self, seat: Seat) -> None:
        """A place came free: let those who wait for it look again, oldest first, until one has to go on waiting."""
        for completion in [one for one, provider in self._queued.items() if provider == seat.name]:
            call = self._calls[completion]
            choice = self._choose(call)
            if isinstance(choice, Queue):
                return
            del self._queued[completion]
            self.cancel_timer(completion)
            self._follow(call, choice)

    def _fail(self, call: Call, error: str, reason: str, refusal: AgoraError) -> None:
        lost = self.state.spending.open[call.completion].lost
        self.persist(call.failed(error, reason, lost, self.now_us))
        del self._calls[call.completion]
        self._owed.pop(call.completion).refuse(refusal)

    def _note(self, notes: tuple[Event, ...]) -> None:
        """Record that a budget is spent; if it is everybody's, keep a checkpoint to go on from."""
        if notes:
            self.persist(*notes)
        if any(isinstance(note, BudgetSpent) and spending.is_shared(note.budget) for note in notes):
            self.tell(JOURNAL, SaveCheckpoint(reason="budget_exhausted"))


def _check(request: Complete) -> None:
    """Raises InvalidField."""
    if not any(message.role == "user" for message in request.messages):
        raise InvalidField("messages", "must hold a message of the user")
    if request.tokens_max < 1:
        raise InvalidField("tokens_max", "must be at least 1")
    if request.deadline_s <= 0.0:
        raise InvalidField("deadline_s", "must be above 0")


async def _attempt(  # noqa: PLR0917  # a job's arguments come by position
    job: Job, router: Router, call: Call, seat: Seat, limit_s: float, least_s: float
) -> None:
    """Call the provider once and report. The wait for the commit was part of the deadline."""
    attempt = call.attempts
    begun_s = router.monotonic_s
    left_s = min(limit_s, call.deadline_s - begun_s)
    report: AttemptAnswered | AttemptFailed
    try:
        if left_s < least_s:
            raise ProviderFault(ErrorClass.LATE, "the wait for the commit has used up the deadline; nothing was sent")
        reply = await seat.provider.complete(seat.prompt(call.request), limit_s=left_s)
        report = AttemptAnswered(call.completion, attempt, reply, router.monotonic_s - begun_s)
    except ProviderFault as fault:
        elapsed_s = router.monotonic_s - begun_s
        report = AttemptFailed(call.completion, attempt, fault.error, fault.reason, fault.retry_after_s, elapsed_s)
    while True:
        try:
            await job.ask(router.address, report, timeout_s=REPORT_TIMEOUT_S)
        except (DeadlinePassed, MailboxFull):
            continue  # both come after a wait, and a report that is told twice counts once
        return
