"""Tokens, links, sessions, and the file that holds the admin token."""

import os
import stat
from pathlib import Path

import pytest

from bus.clock import VirtualClock
from bus.errors import ConfigError
from web.auth import (
    LINK_S,
    LINKS_MAX,
    SCOPES,
    SESSION_S,
    SESSIONS_MAX,
    Keyring,
    Principal,
    check_reach,
    is_loopback,
    load_or_create_admin_token,
)


def test_a_token_names_its_principal_and_nothing_else_does() -> None:
    keyring = Keyring(VirtualClock())
    keyring.add_token("secret-token", "ops", frozenset(("task",)))
    assert keyring.principal_of_token("secret-token") == Principal("ops", frozenset(("task",)))
    assert keyring.principal_of_token("secret-toke") is None
    assert keyring.principal_of_token("") is None
    assert keyring.principal_of_token("\ud800") is None


def test_admin_includes_every_scope() -> None:
    assert all(Principal("a", frozenset(("admin",))).may(scope) for scope in SCOPES)
    assert not Principal("r", frozenset(("read",))).may("task")


def test_a_link_opens_one_session() -> None:
    keyring = Keyring(VirtualClock())
    link = keyring.issue_link()
    opened = keyring.open_session(link)
    assert opened is not None
    secret, principal = opened
    assert principal.may("admin")
    assert keyring.principal_of_session(secret) == principal
    assert keyring.open_session(link) is None
    assert keyring.principal_of_session(link) is None


def test_links_and_sessions_end_in_time() -> None:
    clock = VirtualClock()
    keyring = Keyring(clock)
    late = keyring.issue_link()
    link = keyring.issue_link()
    opened = keyring.open_session(link)
    assert opened is not None
    clock.advance(LINK_S)
    assert keyring.open_session(late) is None
    clock.advance(SESSION_S - LINK_S - 1)
    assert keyring.principal_of_session(opened[0]) is not None
    clock.advance(1)
    assert keyring.principal_of_session(opened[0]) is None


def test_a_closed_session_is_over() -> None:
    keyring = Keyring(VirtualClock())
    opened = keyring.open_session(keyring.issue_link())
    assert opened is not None
    keyring.close_session(opened[0])
    keyring.close_session("unknown")
    assert keyring.principal_of_session(opened[0]) is None


def test_links_and_sessions_are_bounded_and_the_oldest_go_first() -> None:
    keyring = Keyring(VirtualClock())
    links = [keyring.issue_link() for _ in range(LINKS_MAX + 1)]
    assert keyring.open_session(links[0]) is None
    assert keyring.open_session(links[1]) is not None
    secrets = []
    for _ in range(SESSIONS_MAX + 1):
        opened = keyring.open_session(keyring.issue_link())
        assert opened is not None
        secrets.append(opened[0])
    assert keyring.principal_of_session(secrets[0]) is None
    assert keyring.principal_of_session(secrets[-1]) is not None


def test_the_admin_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.token"
    token = load_or_create_admin_token(path)
    assert token.startswith("agora_")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_admin_token(path) == token


def test_a_token_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "admin.token"
    load_or_create_admin_token(path)
    os.chmod(path, 0o644)
    with pytest.raises(ConfigError, match="others may read"):
        load_or_create_admin_token(path)


def test_a_token_file_that_is_empty_or_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "admin.token"
    path.write_bytes(b"")
    os.chmod(path, 0o600)
    with pytest.raises(ConfigError, match="too short"):
        load_or_create_admin_token(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_or_create_admin_token(path)


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing/admin\.token"):
        load_or_create_admin_token(tmp_path / "missing" / "admin.token")


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        (None, True),
        ("192.168.1.5", False),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("localhost.evil.example", False),
    ],
)
def test_loopback_is_what_the_peers_address_says(host: str | None, is_local: bool) -> None:
    assert is_loopback(host) is is_local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_nobody_listens_beyond_this_machine_before_there_is_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="no token"):
        check_reach(host, has_token=False)
    check_reach(host, has_token=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_is_always_listened_to(host: str) -> None:
    check_reach(host, has_token=False)
