"""What stands around the router of a served society."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import msgspec
import pytest

from actors.composition import Running, running
from actors.config import Config
from actors.providers import RouterOptions
from actors.surroundings import recordings
from bus.errors import ConfigError
from bus.messages.base import AgentId
from bus.messages.completions import ROUTER, ChatMessage, Complete, Completion
from bus.messages.routing import SETTINGS, ReloadSettings
from bus.messages.transcripts import COMPLETION_LOG, ReadTranscript, Transcript
from bus.refusals import NotRecorded
from storage.transcripts import kept
from tests.support.inside import EXTRACTIVE, config_at

ENVIRONMENT: Mapping[str, str] = {"OPENAI_API_KEY": "a-key-that-is-no-word"}
ASKED = Complete((ChatMessage("user", "Mars has two moons. They are small. Say so."),), 100, 9.0, AgentId("scout"))


def config(data: Path, **settings: object) -> Config:
    return config_at(data, msgspec.structs.replace(RouterOptions(providers=(EXTRACTIVE,)), **settings))


async def ask(society: Running, asked: Complete = ASKED) -> Completion:
    return await society.system.ask(ROUTER, asked)


async def test_a_society_answers_from_its_own_log_or_from_a_file_what_it_was_asked_before(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "all.jsonl"
    async with running(config(data), {}, web=False) as society:
        answer = await ask(society)
    await anyio.Path(file).write_bytes(b"\n".join([line async for line in kept(data)]) + b"\n")
    for number, replay in enumerate(("log", str(file))):
        where = data if replay == "log" else tmp_path / f"other-{number}"
        async with running(config(where, replay=replay), {}, web=False) as society:
            assert (await ask(society)).text == answer.text
            with pytest.raises(NotRecorded):
                await ask(society, msgspec.structs.replace(ASKED, tokens_max=99))


async def test_keys_of_the_environment_are_never_kept(tmp_path: Path) -> None:
    key = ENVIRONMENT["OPENAI_API_KEY"]
    async with running(config(tmp_path), ENVIRONMENT, web=False) as society:
        told = ChatMessage("user", f"Mars has a moon whose key is {key}. Its other moon has none. Say so.")
        completion = await ask(society, msgspec.structs.replace(ASKED, messages=(told,)))
        assert key in completion.text
        transcript = await society.system.ask(COMPLETION_LOG, ReadTranscript(completion.completion))
        assert key not in msgspec.json.encode(transcript).decode()
    assert all(key.encode() not in line for line in [line async for line in kept(tmp_path)])


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), (b'{"no": "completion"}\n', "line 1")])
async def test_recordings_that_cannot_be_read_are_an_error_of_the_settings(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "all.jsonl"
    if content is not None:
        await anyio.Path(file).write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        await recordings(config(tmp_path, replay=str(file)))


async def test_without_a_replay_there_are_no_recordings(tmp_path: Path) -> None:
    assert await recordings(config(tmp_path)) is None


async def test_settings_are_read_again_from_where_they_came_and_what_waits_is_told(tmp_path: Path) -> None:
    before = config(tmp_path)
    after = msgspec.structs.replace(config(tmp_path, completions_max=99, log_days=3.0), has_default_personas=False)
    async with running(before, {}, web=False, reread=lambda: after) as society:
        reloaded = await society.system.ask(SETTINGS, ReloadSettings())
        assert reloaded.changes == ("completions_max: 256 -> 99",)
        assert reloaded.waiting == ("router.log_days", "has_default_personas")
    assert Transcript.wire_name == "transcript"
