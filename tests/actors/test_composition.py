"""A society starts on its directory and stops in order; the rest is tested whole, through the commands."""

from pathlib import Path

import pytest

from actors.composition import TOKEN_NAME, running
from actors.config import Config
from bus.errors import StorageError
from bus.messages.system import JOURNAL, ListCheckpoints
from tests.support.inside import config_at, serving
from web.options import WebOptions

pytestmark = pytest.mark.slow


async def test_a_stop_saves_a_checkpoint_that_the_next_start_goes_on_from(tmp_path: Path) -> None:
    async with running(config_at(tmp_path), {}, web=False) as first:
        assert (first.url, first.replayed) == ("", 0)
    async with running(config_at(tmp_path), {}, web=False) as again:
        (kept,) = (await again.system.ask(JOURNAL, ListCheckpoints(), timeout_s=30.0)).checkpoints
        assert kept.reason == "stop"
        assert again.replayed <= 1, "the event that tells of the checkpoint"


async def test_a_directory_that_is_in_use_is_refused_and_its_user_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as society:
        with pytest.raises(StorageError):
            async with running(config_at(tmp_path), {}, web=False):
                pass
        assert (await society.system.ask(JOURNAL, ListCheckpoints(), timeout_s=30.0)).checkpoints == ()


async def test_each_link_is_another_and_the_token_is_the_owners_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as society:
        assert society.link() != society.link()
        assert society.token_path == tmp_path / TOKEN_NAME
        assert society.token_path.stat().st_mode & 0o077 == 0


async def test_without_pages_nothing_is_listened_on(tmp_path: Path) -> None:
    config = Config(data=str(tmp_path), web=WebOptions(enabled=False), router=config_at(tmp_path).router)
    async with running(config, {}, web=True) as society:
        assert society.url == ""
