"""Who may do what: tokens, one-use links, sessions of the page.

Rules: reading from a loopback peer needs nothing; reading from elsewhere needs the scope `read`; whatever acts needs a
principal with its scope, on loopback too, since agents' own child processes live there. Secrets are kept as SHA-256
digests and compared in constant time; they never stand in a URL or a log. Links are used once and soon, sessions end
after twelve hours; both are bounded, the oldest go first.
"""

import hashlib
import hmac
import ipaddress
import os
import secrets
import stat
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from bus.clock import Clock
from bus.errors import ConfigError

Scope = Literal["read", "task", "agent", "ledger", "approve", "admin"]
SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))

LINK_S = 3_600.0
"""A link is on the operator's screen; an hour is enough to click it and too short to be found in an old log."""
LINKS_MAX = 16
SESSION_S = 12 * 3_600.0
SESSIONS_MAX = 256
TOKEN_BYTES = 32


class Principal(msgspec.Struct, frozen=True):
    """Who acts. The scope `admin` includes all others."""

    name: str
    scopes: frozenset[Scope]
    agent: str = ""
    """The one agent that it may speak for; empty for whoever may speak for all."""

    def may(self, scope: Scope) -> bool:
        """Whether the principal holds the scope."""
        return scope in self.scopes or "admin" in self.scopes

    def may_speak_for(self, agent: str) -> bool:
        """Whether the principal may bid and report in an agent's name."""
        return self.may("agent") and self.agent in ("", agent)


class Credential(msgspec.Struct, frozen=True):
    """Who somebody is, and what that rests on, for what lasts longer than a request."""

    principal: Principal
    digest: bytes = b""
    """Of the token or of the session's secret; empty for whoever needs none."""


ANONYMOUS: Final = Principal("anonymous", frozenset[Scope](("read",)))
"""Whoever reads on loopback."""
ADMIN_SCOPES: Final = SCOPES


class _Grant(msgspec.Struct, frozen=True):
    principal: Principal
    expires_s: float


class Keyring:
    """The tokens, links and sessions that are good now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[bytes, Principal] = {}
        self._links: dict[bytes, _Grant] = {}
        self._sessions: dict[bytes, _Grant] = {}

    def add_token(self, token: str, name: str, scopes: frozenset[Scope]) -> None:
        """Accept a token from now on."""
        self._tokens[_digest(token)] = Principal(name, scopes)

    def add_digest(self, digest: bytes, principal: Principal) -> None:
        """Accept the token with that SHA-256 digest from now on."""
        self._tokens[digest] = principal

    def drop_digest(self, digest: bytes) -> None:
        """Accept that token no more; one that is not known is fine."""
        self._tokens.pop(digest, None)

    def principal_of_token(self, token: str) -> Principal | None:
        """Whose token it is."""
        digest = _digest(token)
        found = None
        for known, principal in self._tokens.items():
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def credential_of_token(self, token: str) -> Credential | None:
        """Whose token it is, and what to ask `is_good` about later."""
        principal = self.principal_of_token(token)
        return Credential(principal, _digest(token)) if principal is not None else None

    def credential_of_session(self, secret: str) -> Credential | None:
        """Whose session it is, and what to ask `is_good` about later."""
        principal = self.principal_of_session(secret)
        return Credential(principal, _digest(secret)) if principal is not None else None

    def is_good(self, credential: Credential) -> bool:
        """Whether the token has not been revoked since, and the session neither closed nor run out."""
        if not credential.digest or credential.digest in self._tokens:
            return True
        grant = self._sessions.get(credential.digest)
        return grant is not None and grant.expires_s > self._clock.monotonic_s()

    def issue_link(self, principal: Principal | None = None) -> str:
        """A code that opens one session; without a principal the operator's."""
        code = secrets.token_urlsafe(TOKEN_BYTES)
        grant = _Grant(principal or Principal("admin", ADMIN_SCOPES), self._clock.monotonic_s() + LINK_S)
        _keep(self._links, _digest(code), grant, LINKS_MAX)
        return code

    def open_session(self, link: str) -> tuple[str, Principal] | None:
        """Trade a link for a session, once. Returns the session's secret."""
        grant = self._take(self._links, link)
        if grant is None:
            return None
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        session = _Grant(grant.principal, self._clock.monotonic_s() + SESSION_S)
        _keep(self._sessions, _digest(secret), session, SESSIONS_MAX)
        return secret, grant.principal

    def principal_of_session(self, secret: str) -> Principal | None:
        """Whose session it is, while it lasts."""
        grant = _find(self._sessions, secret)
        if grant is None or grant.expires_s <= self._clock.monotonic_s():
            return None
        return grant.principal

    def close_session(self, secret: str) -> None:
        """End a session; unknown ones are fine."""
        self._take(self._sessions, secret)

    def _take(self, grants: dict[bytes, _Grant], secret: str) -> _Grant | None:
        grant = grants.pop(_digest(secret), None)
        return grant if grant is not None and grant.expires_s > self._clock.monotonic_s() else None


def load_or_create_admin_token(path: Path) -> str:
    """The admin token in the file, which only its owner may read; made on the first start.

    Blocking: called before the loop runs. Raises ConfigError when the file is not the owner's alone or cannot be used.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_token(path)
    except OSError as error:
        raise ConfigError(str(path), "admin token", error.strerror or "cannot be written") from error
    token = "agora_" + secrets.token_urlsafe(TOKEN_BYTES)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def check_reach(host: str, *, has_token: bool) -> None:
    """Refuse to listen beyond this machine while nobody has been given a token. Raises ConfigError."""
    if not has_token and host != "localhost" and not is_loopback(host):
        wish = "create a token first: start once on 127.0.0.1, then `agora token create --name NAME --scope SCOPE`"
        raise ConfigError("web.host", host, f"reaches beyond this machine, and there is no token; {wish}")


def is_loopback(host: str | None) -> bool:
    """Whether a peer is on this machine. Without an address it came over a Unix socket, which only its owner opens."""
    if not host:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _read_token(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "admin token", "cannot be read") from error
    if mode & 0o077:
        raise ConfigError(
            str(path), "admin token", f"others may read the file (mode {mode:04o}); remove it or chmod 600"
        )
    if len(token) < TOKEN_BYTES:
        raise ConfigError(str(path), "admin token", "is too short to be one; remove the file to get a new one")
    return token


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _find(grants: dict[bytes, _Grant], secret: str) -> _Grant | None:
    """Looked up by digest: what the time of the look-up tells is about the digest, not about the secret."""
    return grants.get(_digest(secret))


def _keep(grants: dict[bytes, _Grant], digest: bytes, grant: _Grant, size_max: int) -> None:
    grants[digest] = grant
    while len(grants) > size_max:
        del grants[next(iter(grants))]
