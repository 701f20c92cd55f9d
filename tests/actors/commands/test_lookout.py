"""Answers from the past; tests/actors/commands/test_view.py asks them through the pages."""

from pathlib import Path

import pytest

from actors.commands.lookout import Lookout
from bus.address import Address
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.errors import NoSuchActor
from bus.messages.agents import PauseAgent, ReadAgent, agent_address
from bus.messages.approvals import APPROVALS, ListProposals
from bus.messages.artifacts import ARTIFACTS, ReadArtifactContent
from bus.messages.base import AgentId, ArtifactId, TaskId
from bus.messages.catalogue import EVENTS
from bus.messages.memory import MEMORY, ListFacts
from bus.messages.schedules import SCHEDULER, ListSchedules
from bus.messages.system import JOURNAL, ReadBlob, ReadJournal, SaveCheckpoint, SummariseEvents
from bus.messages.tasks import COORDINATOR, CancelTask, ListTasks
from bus.messages.triggers import TRIGGERS, ListTriggers
from bus.refusals import NotPermitted
from storage.past import Past
from tests.support.inside import briefed, config_at


async def test_what_asks_is_answered_and_what_would_change_something_is_refused(tmp_path: Path) -> None:
    await briefed(tmp_path / "data", tmp_path / "documents", 1)
    steps: list[int] = []
    async with Past.inspect(tmp_path / "data", Catalogue(EVENTS), SystemClock()) as past:
        lookout = Lookout(past, config_at(tmp_path / "data"), tmp_path, SystemClock())
        await lookout.fold(lambda done, of: steps.append(done))
        assert steps[-1] == past.head == lookout.overview.position
        answer = await lookout.exchange(COORDINATOR, ListTasks(), timeout_s=5.0)
        assert (len(answer.message.tasks), answer.after) == (1, past.head)
        content = await lookout.exchange(ARTIFACTS, ReadArtifactContent(ArtifactId("a-2")), timeout_s=5.0)
        blob = await lookout.exchange(JOURNAL, ReadBlob(content.message.artifact.blob), timeout_s=5.0)
        assert blob.message.content.decode() == content.message.text
        assert (await lookout.exchange(JOURNAL, ReadJournal(), timeout_s=5.0)).message.head == past.head
        assert (await lookout.exchange(JOURNAL, SummariseEvents(), timeout_s=5.0)).message.total == past.head
        assert (await lookout.exchange(MEMORY, ListFacts("x"), timeout_s=5.0)).message.facts == ()
        assert (await lookout.exchange(APPROVALS, ListProposals(), timeout_s=5.0)).message.proposals == ()
        assert (await lookout.exchange(SCHEDULER, ListSchedules(), timeout_s=5.0)).message.schedules == ()
        assert (await lookout.exchange(TRIGGERS, ListTriggers(), timeout_s=5.0)).message.triggers == ()
        scout = AgentId("scout")
        assert (await lookout.exchange(agent_address(scout), ReadAgent(), timeout_s=5.0)).message.agent == scout
        with pytest.raises(NotPermitted, match="the past is only shown"):
            await lookout.exchange(COORDINATOR, CancelTask(TaskId("t-1"), "no"), timeout_s=5.0)
        with pytest.raises(NotPermitted):
            await lookout.exchange(agent_address(scout), PauseAgent(), timeout_s=5.0)
        with pytest.raises(NotPermitted):
            await lookout.exchange(JOURNAL, SaveCheckpoint(), timeout_s=5.0)
        with pytest.raises(NoSuchActor):
            await lookout.exchange(Address("nobody"), ListTasks(), timeout_s=5.0)
