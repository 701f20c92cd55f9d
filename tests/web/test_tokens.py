"""Tokens of agents: shown once, kept as digests, good for one agent."""

import stat
from pathlib import Path

import anyio.to_thread
import pytest

from bus.clock import SystemClock
from bus.errors import ConfigError
from bus.refusals import IdempotencyConflict, InvalidField, NotFound
from web.auth import Keyring, Scope
from web.tokens import Tokens


async def test_a_token_is_good_at_once_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    keyring = Keyring(SystemClock())
    token, _ = await Tokens(keyring, path).issue("greeter")
    again = Keyring(SystemClock())
    await anyio.to_thread.run_sync(Tokens(again, path).load)
    for ring in (keyring, again):
        principal = ring.principal_of_token(token)
        assert principal is not None
        assert (principal.name, principal.agent) == ("agents/greeter", "greeter")
        assert principal.may_speak_for("greeter")
        assert not principal.may_speak_for("scout")
        assert not any(principal.may(scope) for scope in ("task", "ledger", "approve", "admin"))


async def test_the_file_holds_no_secret_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token, kept = await Tokens(Keyring(SystemClock()), path).issue("greeter", "laptop")
    assert token not in path.read_text()
    assert kept.digest in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_revoked_token_is_good_no_more_here_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    keyring = Keyring(SystemClock())
    tokens = Tokens(keyring, path)
    token, _ = await tokens.issue("greeter")
    await tokens.revoke("greeter")
    again = Keyring(SystemClock())
    await anyio.to_thread.run_sync(Tokens(again, path).load)
    assert (keyring.principal_of_token(token), again.principal_of_token(token), tokens.kept) == (None, None, ())
    with pytest.raises(NotFound):
        await tokens.revoke("greeter")


async def test_a_name_is_given_once_and_a_name_must_be_an_agents(tmp_path: Path) -> None:
    tokens = Tokens(Keyring(SystemClock()), tmp_path / "tokens.json")
    await tokens.issue("greeter")
    with pytest.raises(IdempotencyConflict):
        await tokens.issue("greeter")
    await tokens.issue("greeter", "another")
    with pytest.raises(InvalidField):
        await tokens.issue("not a name")


def test_a_file_that_is_not_one_of_ours_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="tokens"):
        Tokens(Keyring(SystemClock()), path).load()


async def test_a_token_with_scopes_may_do_that_and_read_here_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    keyring = Keyring(SystemClock())
    token, kept = await Tokens(keyring, path).issue(name="desk", scopes=("task",))
    again = Keyring(SystemClock())
    await anyio.to_thread.run_sync(Tokens(again, path).load)
    assert kept.scopes == ("read", "task")
    for ring in (keyring, again):
        principal = ring.principal_of_token(token)
        assert principal is not None
        assert (principal.name, principal.scopes) == ("desk", frozenset({"read", "task"}))


@pytest.mark.parametrize(("agent", "scopes"), [("", ()), ("greeter", ("task",))])
async def test_a_token_is_an_agents_or_has_scopes(tmp_path: Path, agent: str, scopes: tuple[Scope, ...]) -> None:
    with pytest.raises(InvalidField):
        await Tokens(Keyring(SystemClock()), tmp_path / "tokens.json").issue(agent, "x", scopes)


async def test_a_token_with_scopes_has_a_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidField):
        await Tokens(Keyring(SystemClock()), tmp_path / "tokens.json").issue(scopes=("task",))
