"""What an agent does outside its turns: its steps, and the small questions it has for others.

Each function here is the body of a job: it asks, waits, and tells the agent what came of it, in messages that carry
the assignment as it was when the job began. It changes nothing by itself. An error never leaves it: the agent hears
what the error means for the step (`actors.rules.agency.verdict`).
"""

import contextlib
from collections.abc import Sequence
from typing import Annotated

import msgspec

from actors import proposing, remembering
from actors.rules import agency, filing, spending
from actors.rules.agency import Verdict, Work
from actors.rules.filing import FilingOptions
from actors.runtime import Job
from bus.address import Address
from bus.errors import AgoraError, Refused
from bus.messages.agents import Persona, ThinkingCompleted, ToolCalled, ToolCompleted, ToolFailed, agent_address
from bus.messages.approvals import ProposalId
from bus.messages.artifacts import ARTIFACTS, ReadArtifact, ReadArtifactContent, WriteArtifact
from bus.messages.base import AgentId, ArtifactId, Event, Message, TaskId
from bus.messages.completions import ROUTER, CancelCompletion, ChatMessage, Complete, Completion, ReadRouter
from bus.messages.memory import FactView
from bus.messages.quotas import QUOTAS, ReserveQuota, SettleQuota
from bus.messages.tasks import (
    COORDINATOR,
    CompleteTask,
    ReadTask,
    RenewLease,
    StartWork,
    TaskBidding,
    TaskSpec,
    TaskState,
)
from bus.refusals import BudgetExhausted, Halted, Overloaded, QuotaExhausted

COMPLETION_MARGIN_S = 5.0
"""What the ask waits beyond the deadline that it passes on, so that the router's own answer still arrives."""


class AgentOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How all agents work."""

    backlog_max: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Assignments that may wait behind those in work: the coordinator can know of a free hand a moment earlier."""
    tokens_max: Annotated[int, msgspec.Meta(ge=1)] = 600
    """The longest answer that a completion may have."""
    completion_deadline_s: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    """How long the whole cascade may take for one completion."""
    document_characters_max: Annotated[int, msgspec.Meta(ge=1)] = 48_000
    """What of a document is shown to a model; some 12,000 tokens."""
    heartbeat_s: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """Between renewals of a lease whose period is not known yet, as after a restart."""
    retry_wait_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Before the next try, when an actor that the step needed did not answer."""
    budget_retry_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Between looks at a spent budget, beside being told that it was raised."""
    ask_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """For each answer of another actor, completions apart."""
    is_thinking_shown: bool = True
    """Whether models stream their answers, so that whoever watches can read along."""
    filing: tuple[FilingOptions, ...] = (FilingOptions("librarian", "library"),)
    """Which agents propose to keep their results in a repository, and where they may."""
    spend_request_usd_micros: Annotated[int, msgspec.Meta(ge=0)] = 1_000_000
    """What an agent asks people for when the run's budget is spent; 0 asks nobody."""


class InputMeasured(Message, frozen=True):
    """Sent by the job that looked up an auction's input; no length means that it could not be told."""

    bidding: TaskBidding
    characters: int | None


class StepNoted(Message, frozen=True):
    """Sent by a step for each thing that it did."""

    work: Work
    event: Event


class StepWritten(Message, frozen=True):
    """Sent by a step whose result is written."""

    work: Work
    artifact: ArtifactId
    summary: str


class StepStopped(Message, frozen=True):
    """Sent by a step that came to no result."""

    work: Work
    verdict: Verdict
    reason: str
    budget: str = ""
    """The budget that was spent, if that was it."""
    wait_s: float = 0.0
    """How long until a quota that was used up has room again, if that was it."""


class HeartbeatDue(Message, frozen=True):
    """Sent by the timer of an assignment's lease."""

    task: TaskId


class LeaseKept(Message, frozen=True):
    """Sent by the job that renewed a lease."""

    work: Work
    lease_s: float


class LeaseLost(Message, frozen=True):
    """Sent by the job whose renewal, or whose report of a result, was refused."""

    work: Work
    reason: str


class RetryDue(Message, frozen=True):
    """Sent by the timer that parts two tries."""

    task: TaskId


class BudgetDue(Message, frozen=True):
    """Sent by the slow timer of an agent that waits for money."""


class BudgetSeen(Message, frozen=True):
    """Sent by the job that looked whether there is money again."""

    is_exhausted: bool


class Steps:
    """The jobs of one agent. With quotas, what it uses of them is reserved before and settled after."""

    def __init__(self, agent: AgentId, options: AgentOptions, *, has_quotas: bool = False) -> None:
        self._agent = agent
        self._has_quotas = has_quotas
        self._address: Address = agent_address(agent)
        self._options = options

    async def measure(self, job: Job, bidding: TaskBidding) -> None:
        """Look up how long an auction's input is. Whatever stands in the way, the agent bids: without a length."""
        characters: int | None = None
        try:
            task = await job.ask(COORDINATOR, ReadTask(bidding.task), timeout_s=self._options.ask_timeout_s)
            if task.spec.input:
                read = ReadArtifact(task.spec.input)
                characters = (await job.ask(ARTIFACTS, read, timeout_s=self._options.ask_timeout_s)).size_bytes
        except AgoraError:
            characters = None
        job.tell(self._address, InputMeasured(bidding, characters))

    async def renew(self, job: Job, work: Work) -> None:
        """Renew the lease of an assignment. No answer is no news: the next heartbeat tries again."""
        request = RenewLease(work.task, self._agent, work.attempt)
        try:
            renewed = await job.ask(COORDINATOR, request, timeout_s=self._options.ask_timeout_s)
        except Refused as refused:
            job.tell(self._address, LeaseLost(work, str(refused)))
        except AgoraError:
            return
        else:
            job.tell(self._address, LeaseKept(work, renewed.lease_s))

    async def confirm(self, job: Job, work: Work) -> None:
        """Report a result again that nobody confirmed; the confirmation itself comes as a fact."""
        request = complete_task(self._agent, work)
        try:
            await job.ask(COORDINATOR, request, timeout_s=self._options.ask_timeout_s)
        except Refused as refused:
            job.tell(self._address, LeaseLost(work, str(refused)))
        except AgoraError:
            return

    async def run(self, job: Job, work: Work, persona: Persona) -> None:
        """Read, recall, think, write, remember. `work` is the assignment with the try that this is."""
        try:
            spec = await self._start(job, work)
            document = await self._read(job, work, spec)
            known = await self._recall(job, work, spec) if persona.remembers else ()
            bound = self._options.document_characters_max
            said = agency.prompt(persona, spec, document, document_characters_max=bound, recalled=known)
            completion = await self._think(job, work, persona, said)
            artifact = await self._write(job, work, spec, completion)
            filed = await self._file(job, work, spec, completion)
            if persona.remembers:
                await self._remember(job, work, spec, completion, known)
        except AgoraError as error:
            budget = error.budget if isinstance(error, BudgetExhausted) else ""
            wait_s = error.retry_after_s if isinstance(error, QuotaExhausted) else 0.0
            job.tell(self._address, StepStopped(work, agency.verdict(error), str(error), budget, wait_s))
        else:
            summary = f"{len(completion.text)} characters by {completion.provider}{filed}"
            job.tell(self._address, StepWritten(work, artifact, summary))

    async def look_at_budget(self, job: Job) -> None:
        """See whether the budgets that all share are still spent; they are as far as nobody says otherwise."""
        is_exhausted = True
        with contextlib.suppress(AgoraError):
            seen = await job.ask(ROUTER, ReadRouter(), timeout_s=self._options.ask_timeout_s)
            is_exhausted = seen.is_budget_exhausted
        job.tell(self._address, BudgetSeen(is_exhausted))

    async def ask_for_budget(self, job: Job, reason: str) -> None:
        """Ask people for more money. No answer is no news: the next try of the step asks again."""
        more = self._options.spend_request_usd_micros
        timeout_s = self._options.ask_timeout_s
        with contextlib.suppress(AgoraError):
            await proposing.request_spend(job, self._agent, more_usd_micros=more, reason=reason, timeout_s=timeout_s)

    async def withdraw_spend(self, job: Job, proposal: ProposalId) -> None:
        """Take back what was asked for: the money came otherwise."""
        await proposing.withdraw_spend(job, self._agent, proposal, timeout_s=self._options.ask_timeout_s)

    async def _start(self, job: Job, work: Work) -> TaskSpec:
        task = await job.ask(COORDINATOR, ReadTask(work.task), timeout_s=self._options.ask_timeout_s)
        if task.state is not TaskState.RUNNING or (task.agent, task.attempt) != (self._agent, work.attempt):
            # Refused with an illegal transition when the assignment is no longer this agent's.
            request = StartWork(work.task, self._agent, work.attempt)
            await job.ask(COORDINATOR, request, timeout_s=self._options.ask_timeout_s)
        return task.spec

    async def _read(self, job: Job, work: Work, spec: TaskSpec) -> str:
        if not spec.input:
            return ""
        tool = agency.READ_ARTIFACT
        self._note(job, work, ToolCalled(agent=self._agent, task=work.task, tool=tool, argument=spec.input))
        try:
            request = ReadArtifactContent(spec.input)
            content = await job.ask(ARTIFACTS, request, timeout_s=self._options.ask_timeout_s)
        except AgoraError as error:
            failed = ToolFailed(agent=self._agent, task=work.task, tool=tool, reason=str(error))
            self._note(job, work, failed)
            raise
        result = f"{len(content.text)} characters"
        self._note(job, work, ToolCompleted(agent=self._agent, task=work.task, tool=tool, result=result))
        return content.text

    async def _think(self, job: Job, work: Work, persona: Persona, messages: tuple[ChatMessage, ...]) -> Completion:
        request = Complete(
            messages=messages,
            tokens_max=self._options.tokens_max,
            deadline_s=self._options.completion_deadline_s,
            agent=self._agent,
            task=work.task,
            model=persona.model,
            ticket=f"{self._agent}/{work.task}/{work.attempt}/{work.attempt_try}",
            is_shown=self._options.is_thinking_shown,
        )
        timeout_s = self._options.completion_deadline_s + COMPLETION_MARGIN_S
        tokens = spending.estimate_prompt(request.messages) + request.tokens_max
        use = await self._reserve(job, ReserveQuota(self._agent, calls=1, tokens=tokens))
        try:
            completion = await self._complete(job, request, timeout_s)
        except (BudgetExhausted, Halted, Overloaded):
            self._settle(job, SettleQuota(use))  # nothing was sent
            raise
        self._settle(job, SettleQuota(use, calls=1, tokens=completion.tokens_in + completion.tokens_out))
        self._note(
            job,
            work,
            ThinkingCompleted(
                agent=self._agent,
                task=work.task,
                completion=completion.completion,
                provider=completion.provider,
                model=completion.model,
                tokens_in=completion.tokens_in,
                tokens_out=completion.tokens_out,
                cost_usd_micros=completion.cost_usd_micros,
            ),
        )
        return completion

    async def _complete(self, job: Job, request: Complete, timeout_s: float) -> Completion:
        """Ask the router. Whoever ends the step, or has waited for too long, hangs up: the call is ended as well."""
        is_answered = False
        try:
            completion = await job.ask(ROUTER, request, timeout_s=timeout_s)
            is_answered = True
        except Refused:
            is_answered = True
            raise
        finally:
            if not is_answered:
                job.tell(ROUTER, CancelCompletion(ticket=request.ticket))
        return completion

    async def _write(self, job: Job, work: Work, spec: TaskSpec, completion: Completion) -> ArtifactId:
        request = WriteArtifact(
            name=spec.title,
            text=completion.text,
            owner=self._agent,
            task=work.task,
            # Each try has its own key: a later one may have been given other words by the model.
            idempotency_key=f"{work.task}/{work.attempt}/{work.attempt_try}",
        )
        size = len(completion.text.encode())
        use = await self._reserve(job, ReserveQuota(self._agent, disk_bytes=size))
        try:
            written = await job.ask(ARTIFACTS, request, timeout_s=self._options.ask_timeout_s)
        except Refused:
            self._settle(job, SettleQuota(use))  # nothing was written
            raise
        self._settle(job, SettleQuota(use, disk_bytes=size))
        return written.artifact

    async def _reserve(self, job: Job, wish: ReserveQuota) -> int:
        """The number of the use, or 0 where there are no quotas. Raises QuotaExhausted."""
        if not self._has_quotas:
            return 0
        # What follows from it waits for its commit by itself: it rests on the answer.
        return (await job.ask(QUOTAS, wish, timeout_s=self._options.ask_timeout_s, is_edge=False)).use

    def _settle(self, job: Job, said: SettleQuota) -> None:
        if said.use:
            job.tell(QUOTAS, said)

    async def _file(self, job: Job, work: Work, spec: TaskSpec, completion: Completion) -> str:
        """Propose to keep the result, if that is what the agent does with such tasks; what came of it, in words."""
        options = next((one for one in self._options.filing if one.agent == self._agent), None)
        if options is None or not spec.capability or spec.capability != options.capability:
            return ""
        tool = proposing.PROPOSE_CHANGE
        by = f"By {self._agent} with {completion.provider}, for {work.task}"
        try:
            page = filing.page(options, title=spec.title, text=completion.text, source=spec.input, by=by)
            self._note(job, work, ToolCalled(agent=self._agent, task=work.task, tool=tool, argument=page.path))
            view = await proposing.propose_change(
                job,
                options,
                (page,),
                title=f"Keep {page.path}",
                detail=f"{by}: {spec.title}",
                key=f"{work.task}/{work.attempt}/{work.attempt_try}",
                timeout_s=self._options.ask_timeout_s,
            )
        except AgoraError as error:
            failed = ToolFailed(agent=self._agent, task=work.task, tool=tool, reason=str(error))
            self._note(job, work, failed)
            raise
        result = f"proposed as {view.proposal}" if view is not None else "it is kept already"
        self._note(job, work, ToolCompleted(agent=self._agent, task=work.task, tool=tool, result=result))
        return f", {result}"

    async def _recall(self, job: Job, work: Work, spec: TaskSpec) -> tuple[FactView, ...]:
        """What matches the task; nothing where the memory does not answer: the work can be done without."""
        tool, timeout_s = remembering.RECALL, self._options.ask_timeout_s
        self._note(job, work, ToolCalled(agent=self._agent, task=work.task, tool=tool, argument=spec.title))
        try:
            known = await remembering.recall(job, self._agent, spec, timeout_s=timeout_s)
        except AgoraError as error:
            self._note(job, work, ToolFailed(agent=self._agent, task=work.task, tool=tool, reason=str(error)))
            return ()
        result = f"{len(known)} facts" if len(known) != 1 else "1 fact"
        self._note(job, work, ToolCompleted(agent=self._agent, task=work.task, tool=tool, result=result))
        return known

    async def _remember(
        self, job: Job, work: Work, spec: TaskSpec, completion: Completion, known: Sequence[FactView]
    ) -> None:
        """Remember what was finished; where the memory refuses, the work is done all the same."""
        tool, timeout_s = remembering.REMEMBER, self._options.ask_timeout_s
        self._note(job, work, ToolCalled(agent=self._agent, task=work.task, tool=tool, argument=spec.title))
        try:
            result = await remembering.remember(
                job, self._agent, spec, completion.text, work=work, known=known, timeout_s=timeout_s
            )
        except AgoraError as error:
            self._note(job, work, ToolFailed(agent=self._agent, task=work.task, tool=tool, reason=str(error)))
            return
        self._note(job, work, ToolCompleted(agent=self._agent, task=work.task, tool=tool, result=result))

    def _note(self, job: Job, work: Work, event: Event) -> None:
        job.tell(self._address, StepNoted(work, event))


def complete_task(agent: AgentId, work: Work) -> CompleteTask:
    """The report of a finished assignment; the same each time that it is sent."""
    return CompleteTask(work.task, agent, work.attempt, work.artifact, work.summary)
