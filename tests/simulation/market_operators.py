"""What people do in the simulated market: they post, look, cancel, approve, remember, schedule, halt and resume.

What they were told must be so for ever: it is checked when they are told it again, and at the end of the run.
"""

from typing import TypeVar

from actors.runtime import ActorSystem
from bus.address import Address
from bus.dice import Dice
from bus.errors import AgoraError
from bus.messages.agents import PauseAgent, ResumeAgent, agent_address
from bus.messages.approvals import (
    APPROVALS,
    Approve,
    ListProposals,
    ProposalState,
    ProposalView,
    Reject,
    RequestApproval,
    Withdraw,
)
from bus.messages.artifacts import ARTIFACTS, ReadArtifactContent, WriteArtifact
from bus.messages.base import AgentId, ArtifactId, Command, Message, Request, TaskId
from bus.messages.ledger import LEDGER, CheckConservation
from bus.messages.memory import MEMORY, CorrectFact, EndFact, FactId, FactView, ReadFact, Remember
from bus.messages.monitor import MONITOR, HaltSystem, ResumeSystem
from bus.messages.schedules import SCHEDULER, CancelSchedule, CreateSchedule, ListSchedules, ScheduleSpec
from bus.messages.tasks import COORDINATOR, CancelTask, CreateTask, ReadTask, TaskSpec, TaskState
from tests.simulation.market_edge import Watch

R = TypeVar("R", bound=Message)

DOCUMENT = "A river carries sand. Sand becomes stone. Stone becomes a mountain."
TIMEOUT_S = 3.0
ENDED = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.EXPIRED})
DECIDED = frozenset({ProposalState.APPROVED, ProposalState.REJECTED, ProposalState.WITHDRAWN})
PEOPLE = ("ann", "ben")


class Operators:
    """All people of one run."""

    def __init__(self, watch: Watch, dice: Dice, agents: tuple[AgentId, ...]) -> None:
        self._watch = watch
        self._dice = dice
        self._agents = agents
        self._wanted: dict[str, TaskSpec] = {}
        self._decided: dict[str, ProposalState] = {}
        self._told: dict[FactId, str] = {}
        """What they were told is remembered."""
        self._asked = 0
        self._input = ArtifactId("")
        self.accepted: dict[str, TaskId] = {}
        """The tasks that they were told are theirs, by key."""
        self.ended: dict[TaskId, TaskState] = {}
        """What they were told of tasks that had ended."""

    async def act(self, system: ActorSystem) -> None:
        """One person does one thing; who gets no answer gives up, and another may try again."""
        drawn = self._dice.random()
        try:
            if drawn < 0.45 or not self.accepted:
                await self._post(system)
            elif drawn < 0.59:
                await self.look(system, self._dice.choice(tuple(self.accepted.values())))
            elif drawn < 0.62:
                await self._remember(system)
            elif drawn < 0.66:
                await self.ask(system, COORDINATOR, CancelTask(self._dice.choice(tuple(self.accepted.values()))))
            elif drawn < 0.71:
                command = self._dice.choice((PauseAgent(), ResumeAgent()))
                await self.ask(system, agent_address(self._dice.choice(self._agents)), command)
            elif drawn < 0.78:
                assert (await self.ask(system, LEDGER, CheckConservation())).is_conserved, "money is conserved"
            elif drawn < 0.82:
                await self._read(system)
            elif drawn < 0.92:
                await self._approve(system)
            elif drawn < 0.96:
                await self._schedule(system)
            else:
                command = HaltSystem("a look around", "ann") if self._dice.random() < 0.4 else ResumeSystem("ann")
                await self.ask(system, MONITOR, command)
        except AgoraError:
            return

    async def go_on(self, system: ActorSystem) -> None:
        """Let all go on that was stopped, and want for sure what was wanted."""
        await self.ask(system, MONITOR, ResumeSystem("ann"))
        for agent in self._agents:
            await self.ask(system, agent_address(agent), ResumeAgent())
        for one in (await self.ask(system, SCHEDULER, ListSchedules())).schedules:
            await self.ask(system, SCHEDULER, CancelSchedule(one.schedule))
        for key in self._wanted:
            await self._create(system, key)

    async def look(self, system: ActorSystem, task: TaskId) -> TaskState:
        """How a task stands; an end stays what it was."""
        view = await self.ask(system, COORDINATOR, ReadTask(task))
        if view.state in ENDED:
            assert self.ended.setdefault(task, view.state) is view.state, f"{task} ends once"
        return view.state

    async def ask(self, system: ActorSystem, to: Address, request: Request[R]) -> R:
        """Ask at the edge of the process."""
        answer = await system.exchange(to, request, timeout_s=TIMEOUT_S)
        assert max(answer.position, answer.after) <= self._watch.disk.head, (
            "nothing leaves that rests on what is not committed"
        )
        return answer.message

    async def _post(self, system: ActorSystem) -> None:
        """Post a task, a new one or one whose fate is unknown; twice is once."""
        if not self._input:
            document = WriteArtifact("document", DOCUMENT, idempotency_key="document")
            self._input = (await self.ask(system, ARTIFACTS, document)).artifact
        if not self._wanted or self._dice.random() < 0.7:
            key = f"task {len(self._wanted) + 1}"
            self._wanted[key] = TaskSpec(
                title=key,
                capability=self._dice.choice(("summarise", "summarise", "review", "paint", "fly")),
                reward_msat=self._dice.choice((500, 1_000, 2_000)),
                input=self._dice.choice((self._input, ArtifactId(""))),
                deadline_s=self._dice.choice((0.0, 0.0, 60.0)),
            )
        await self._create(system, self._dice.choice(tuple(self._wanted)))

    async def _create(self, system: ActorSystem, key: str) -> None:
        accepted = await self.ask(system, COORDINATOR, CreateTask(self._wanted[key], key))
        assert self.accepted.setdefault(key, accepted.task) == accepted.task, "the same key is the same task"

    async def _read(self, system: ActorSystem) -> None:
        if self._input:
            content = await self.ask(system, ARTIFACTS, ReadArtifactContent(self._input))
            assert content.text == DOCUMENT, "an artifact never changes"

    async def _approve(self, system: ActorSystem) -> None:
        """Ask for a word, or give one: what was decided stays so."""
        if self._dice.random() < 0.4:
            self._asked += 1
            proposer = self._dice.choice(("agents/scout", "ann"))
            wish = RequestApproval("spend", f"wish {self._asked}", proposer, idempotency_key=f"wish {self._asked}")
            await self.ask(system, APPROVALS, wish)
        page = await self.ask(system, APPROVALS, ListProposals())
        for view in page.proposals:
            if view.state in DECIDED:
                assert self._decided.setdefault(view.proposal, view.state) is view.state, "a decision stays"
        assert set(self._decided) <= {view.proposal for view in page.proposals}, "what was decided is there"
        if page.proposals:
            await self.ask(system, APPROVALS, self._decision(self._dice.choice(page.proposals)))

    async def _remember(self, system: ActorSystem) -> None:
        """Say something, put something in its place, or end it: every version stays as it was told."""
        self._asked += 1
        key, drawn = f"fact {self._asked}", self._dice.random()
        command: Command[FactView] = Remember(f"thing {self._dice.index(3)}", key, "ann", idempotency_key=key)
        if self._told and drawn < 0.6:
            fact = self._dice.choice(tuple(self._told))
            command = CorrectFact(fact, key, "ben", is_operator=True, idempotency_key=key)
            if drawn < 0.1:
                command = EndFact(fact, "ann", "no more")
        elif drawn > 0.8:
            command = Remember("a secret", key, "ben", "owner", idempotency_key=key)
        view = await self.ask(system, MEMORY, command)
        self._told[view.fact] = view.text
        for fact, text in tuple(self._told.items()):  # another hand may tell more meanwhile
            versions = (await self.ask(system, MEMORY, ReadFact(fact, "ann", is_operator=True))).versions
            assert text in [version.text for version in versions if version.fact == fact], "what was told stays"

    def _decision(self, view: ProposalView) -> Command[ProposalView]:
        by, drawn = self._dice.choice(PEOPLE), self._dice.random()
        if drawn < 0.5:
            return Approve(view.proposal, view.hash, by, "fine")
        return Reject(view.proposal, view.hash, by, "no") if drawn < 0.8 else Withdraw(view.proposal, by, "never mind")

    async def _schedule(self, system: ActorSystem) -> None:
        self._asked += 1
        spec = ScheduleSpec(TaskSpec(f"schedule {self._asked}"), delay_s=self._dice.uniform(1, 30))
        await self.ask(system, SCHEDULER, CreateSchedule(spec, f"schedule {self._asked}"))
