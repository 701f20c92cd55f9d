"""An agent that remembers: it recalls before it thinks, and remembers and corrects what it has finished."""

import msgspec

from actors.rules import agency
from actors.runtime.simulation import MemoryJournal
from actors.steps import AgentOptions
from bus.messages.agents import ToolCalled, ToolCompleted, ToolFailed
from bus.messages.base import Event
from bus.messages.completions import Complete
from bus.messages.memory import CorrectFact, FactId, FactView, ListFacts, ReadFact, Remember
from bus.messages.tasks import CompleteTask
from tests.support.society import ANSWER, QUICK, REMEMBERING, Society, society

EDITOR = "agents/editor"


async def finish(s: Society, task: str = "t-1") -> None:
    """Let the agent do a task to its end."""
    done = len(s.heard.of(CompleteTask))
    await s.assign(task)
    await s.until(lambda: len(s.heard.of(CompleteTask)) > done)


async def facts(s: Society) -> tuple[FactView, ...]:
    return (await s.ask_memory(ListFacts("agents/scout"))).facts


def tools(s: Society, kind: type[Event]) -> list[str]:
    return [event.tool for event in s.recorded(kind) if isinstance(event, ToolCalled | ToolCompleted | ToolFailed)]


async def test_a_result_is_remembered_with_its_task_for_everyone_under_the_agents_name() -> None:
    async with society(REMEMBERING) as s:
        await finish(s)
        (fact,) = await facts(s)
        assert (fact.subject, fact.text, fact.owner, fact.audience, fact.task) == (
            "Brief",
            ANSWER.text,
            "agents/scout",
            "everyone",
            "t-1",
        )
        assert tools(s, ToolCalled) == ["read_artifact", "recall", "remember"]
        said = {event.tool: event.result for event in s.recorded(ToolCompleted)}
        assert (said["recall"], said["remember"]) == ("0 facts", "as f-1")


async def test_what_others_remember_for_it_is_shown_to_the_model_as_data_and_the_rest_is_not() -> None:
    async with society(REMEMBERING) as s:
        await s.ask_memory(Remember("brief style", "no adjectives", EDITOR))
        await s.ask_memory(Remember("brief secret", "the editor drinks", EDITOR, "owner"))
        await s.ask_memory(Remember("brief wish", "name the author", EDITOR, "named", ("agents/scout",)))
        await finish(s)
        system, user = s.heard.of(Complete)[0].messages
        assert agency.MEMORY_RULE in system.content
        assert "- brief style (agents/editor): no adjectives\n" in user.content
        assert "name the author" in user.content
        assert "drinks" not in user.content


async def test_the_same_work_done_again_corrects_what_was_said_of_it() -> None:
    async with society(REMEMBERING) as s:
        await finish(s)
        s.heard.answers = [msgspec.structs.replace(ANSWER, text="A better brief.")]
        await finish(s, "t-2")
        (fact,) = await facts(s)
        assert (fact.text, fact.reason, fact.earlier) == ("A better brief.", "done again as t-2", 1)
        versions = (await s.ask_memory(ReadFact(fact.fact, EDITOR))).versions
        assert [version.text for version in versions] == ["A better brief.", ANSWER.text]


async def test_what_is_known_already_is_not_said_again() -> None:
    async with society(REMEMBERING) as s:
        await finish(s)
        await finish(s, "t-2")
        assert len(await facts(s)) == 1
        assert s.recorded(ToolCompleted)[-1].result == "it is known already"


async def test_a_fact_of_the_same_name_by_another_is_left_alone() -> None:
    async with society(REMEMBERING) as s:
        await s.ask_memory(Remember("Brief", "mine", EDITOR))
        await finish(s)
        assert sorted(fact.owner for fact in await facts(s)) == [EDITOR, "agents/scout"]


async def test_a_memory_that_does_not_answer_holds_no_work_up() -> None:
    options = msgspec.structs.replace(QUICK, ask_timeout_s=0.3)
    async with society(REMEMBERING, options=options) as s:
        s.pause_memory()
        await finish(s)
        assert tools(s, ToolFailed) == ["recall", "remember"]


async def test_an_agent_that_does_not_remember_never_asks_the_memory() -> None:
    journal = MemoryJournal()
    async with society(journal=journal, options=AgentOptions()) as s:
        await finish(s)
        assert tools(s, ToolCalled) == ["read_artifact"]
        assert len(s.heard.of(Complete)[0].messages[1].content) > 0
        assert await facts(s) == ()
        assert [record.source for record in journal.events if record.source == "memory"] == []


async def test_what_somebody_else_has_corrected_stays_as_that_one_said_it() -> None:
    async with society(REMEMBERING) as s:
        await finish(s)
        await s.ask_memory(CorrectFact(FactId("f-1"), "The operator knows better.", "ann", is_operator=True))
        s.heard.answers = [msgspec.structs.replace(ANSWER, text="Another brief.")]
        await finish(s, "t-2")
        (fact,) = await facts(s)
        assert (fact.text, fact.by) == ("The operator knows better.", "ann")
        assert s.recorded(ToolCompleted)[-1].result == "f-2 stays as ann has corrected it"
