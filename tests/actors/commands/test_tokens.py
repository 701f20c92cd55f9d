"""`agora token`: made, listed and revoked through the running server."""

from pathlib import Path

import pytest

from actors.commands import tokens
from actors.commands.console import ExitCode
from bus.errors import NotServing
from tests.support.inside import serving, shell_at
from web.live_feed import RequestFailed


async def test_a_token_is_made_shown_once_listed_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path)
    async with serving(tmp_path):
        assert await tokens.list_(shell) is ExitCode.DONE
        assert capsys.readouterr().out == "there is no token but the first one\n"
        assert await tokens.create(shell, "greeter", "laptop") is ExitCode.DONE
        secret = capsys.readouterr().out.strip()
        assert secret.startswith("agora_")
        assert await tokens.list_(shell) is ExitCode.DONE
        assert capsys.readouterr().out == "laptop for agent greeter\n"
        assert await tokens.revoke(shell, "laptop") is ExitCode.DONE
        with pytest.RaisesGroup(RequestFailed):  # the connection is watched meanwhile, in a group of tasks
            await tokens.revoke(shell, "laptop")


async def test_without_a_server_no_token_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(NotServing):
        await tokens.create(shell_at(tmp_path), "greeter", "")
