"""The agents' tools for the memory: recall before thinking, remember after finishing.

Rules: what is recalled is data, marked as such where a model sees it; it decides neither what an agent may do nor what
it remembers. An agent remembers under its task's title, for everyone, and corrects what it said under that title
before; asked again, by a retry or after a restart, it corrects what the try before has said. What somebody else has
corrected stays as that one said it.
"""

from collections.abc import Sequence

from actors.rules import agency
from actors.rules.agency import Work
from actors.runtime import Job
from bus.messages.agents import agent_address
from bus.messages.base import AgentId
from bus.messages.memory import MEMORY, CorrectFact, FactView, Recall, Remember
from bus.messages.tasks import TaskSpec

RECALL = "recall"
REMEMBER = "remember"
RECALLED_MAX = 5
"""Facts that a model is shown: the best matches, and little beside a document."""


async def recall(job: Job, agent: AgentId, spec: TaskSpec, *, timeout_s: float) -> tuple[FactView, ...]:
    """What the agent may read that matches the task. Raises AgoraError."""
    query = Recall(agency.looked_for(spec), agent_address(agent), RECALLED_MAX)
    return (await job.ask(MEMORY, query, timeout_s=timeout_s)).facts


async def remember(
    job: Job, agent: AgentId, spec: TaskSpec, text: str, *, work: Work, known: Sequence[FactView], timeout_s: float
) -> str:
    """Remember a result, and say what came of it. `known` is what was recalled. Raises AgoraError."""
    task, key = work.task, f"{work.task}/{work.attempt}/{work.attempt_try}"
    owner, subject, gist = agent_address(agent), agency.subject_of(spec), agency.gist_of(text)
    before = next((fact for fact in known if fact.owner == owner and fact.subject == subject), None)
    if not gist or (before is not None and before.text == gist):
        return "it is known already"
    if before is None:
        new = Remember(subject, gist, owner, task=task, idempotency_key=key)
        return f"as {(await job.ask(MEMORY, new, timeout_s=timeout_s)).fact}"
    if before.by != owner:
        return f"{before.fact} stays as {before.by} has corrected it"
    better = CorrectFact(before.fact, gist, owner, f"done again as {task}", task=task, idempotency_key=key)
    return f"as {(await job.ask(MEMORY, better, timeout_s=timeout_s)).fact}, in place of {before.fact}"
