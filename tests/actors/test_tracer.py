"""Traces of a real society, taken by a real collector."""

from pathlib import Path

import msgspec
import pytest

from actors.composition import running
from actors.tracer import LIBRARY, TracingOptions, exporter_of
from bus.messages.tasks import COORDINATOR, CreateTask, TaskSpec
from tests.support.collector import Collector
from tests.support.inside import config_at


def test_nothing_is_traced_unless_an_exporter_is_configured() -> None:
    assert exporter_of(TracingOptions(), {}) is None
    assert exporter_of(TracingOptions(endpoint="http://127.0.0.1:4318/v1/traces"), {}) is not None
    assert exporter_of(TracingOptions(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}) is not None


@pytest.mark.slow
async def test_a_task_is_one_trace_across_the_actors_that_had_a_part_in_it(tmp_path: Path) -> None:
    async with Collector() as collector:
        config = msgspec.structs.replace(config_at(tmp_path), otel=TracingOptions(endpoint=collector.url))
        async with running(config, {}, web=False) as society:
            spec = TaskSpec("Say what Agora is", instructions="Agora is a society of agents. It keeps a journal.")
            await society.system.ask(COORDINATOR, CreateTask(spec))
            chat = await collector.has("chat extractive-1")
            task = await collector.has("task")
        lease = next(span for span in collector.spans if span.span_id == chat.parent_span_id)
    assert lease.name.startswith("invoke_agent ")
    assert lease.parent_span_id == task.span_id
    assert {span.trace_id for span in (chat, lease, task)} == {task.trace_id}
    assert {one.key for one in chat.attributes} >= {"gen_ai.provider.name", "gen_ai.usage.input_tokens"}
    words = [one.value.string_value for span in collector.spans for one in span.attributes]
    assert not any("society" in word for word in words), "no words of tasks or prompts leave the process"


def test_the_library_that_is_looked_for_is_the_one_that_exports() -> None:
    assert LIBRARY in Path(__file__).parents[2].joinpath("actors/exporting.py").read_text()
