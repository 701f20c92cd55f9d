"""How commands reach a society: a running one, their own, or none."""

from pathlib import Path

import pytest

from actors.commands import presence
from actors.commands.connection import fields_of, joined, joined_or_own, start_of, time_us_of
from bus.errors import BadUsage, ConfigError, NotServing
from bus.messages.base import Position
from tests.support.inside import serving, shell_at


async def test_without_a_server_there_is_nothing_to_join(tmp_path: Path) -> None:
    with pytest.raises(NotServing, match="no server runs on"):
        async with joined(shell_at(tmp_path)):
            pass


async def test_a_running_server_is_joined_with_all_rights(tmp_path: Path) -> None:
    async with serving(tmp_path) as society:
        for join in (joined, joined_or_own):
            async with join(shell_at(tmp_path)) as client:
                assert client.url == society.url
                assert (await client.session()).principal == "admin"


async def test_without_a_server_a_society_of_ones_own_lives_as_long_as_it_is_needed(tmp_path: Path) -> None:
    async with joined_or_own(shell_at(tmp_path)) as client:
        assert (await client.ready()).ready
        assert presence.find(tmp_path) is None, "nobody else is to find it"


async def test_an_event_tells_its_fields_and_its_time(tmp_path: Path) -> None:
    async with joined_or_own(shell_at(tmp_path)) as client:
        page = await client.events(after="0", limit="1000")
        opened = next(event for event in page.events if event.type == "agent.joined")
        assert fields_of(opened)["agent"] == opened.agent
        assert time_us_of(opened) > 1_600_000_000_000_000
        assert await start_of(client) == Position(0), "so young a society is heard from its beginning"


async def test_a_token_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    async with serving(tmp_path) as society:
        society.token_path.unlink()
        with pytest.raises((ConfigError, BadUsage), match="admin token"):
            async with joined(shell_at(tmp_path)):
                pass
