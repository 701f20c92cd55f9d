"""Tokens: of agents, each of which may speak for one agent and do nothing else that acts, and of people and programs,
each with the scopes that it was given.

Rules: a token is shown once, when it is made; what is kept is its SHA-256 digest, in a file that only the owner of the
data directory can read. A name is given to one token at a time. Making and revoking them needs the scope `admin`, and
both hold at once.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.errors import ConfigError
from bus.refusals import IdempotencyConflict, InvalidField, NotFound, Overloaded
from web.auth import TOKEN_BYTES, Keyring, Principal, Scope
from web.documents import IssuedToken, RevokedDocument, TokensDocument
from web.edge import Edge, json, read_body
from web.operation import described

TOKENS_MAX = 1_000
_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/tokens`: a token of an agent, or one with scopes."""

    agent: str = ""
    name: str = ""
    """What it is called when it is listed and revoked; the agent's name if it is left out."""
    scopes: tuple[Scope, ...] = ()


class KeptToken(msgspec.Struct, frozen=True):
    """What is kept of a token."""

    name: str
    agent: str
    digest: str
    """SHA-256, in hex."""
    scopes: tuple[Scope, ...] = ()
    """Empty for an agent's."""

    @property
    def principal(self) -> Principal:
        """Who acts with it."""
        if self.scopes:
            return Principal(self.name, frozenset(self.scopes))
        return Principal(f"agents/{self.agent}", frozenset(("read", "agent")), self.agent)


class Tokens:
    """The tokens that are kept in a file."""

    def __init__(self, keyring: Keyring, path: Path) -> None:
        self._keyring = keyring
        self._path = path
        self._kept: dict[str, KeptToken] = {}
        self._lock = anyio.Lock()

    def load(self) -> None:
        """Accept all that are kept. Blocking: called before anything is served. Raises ConfigError."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=tuple[KeptToken, ...])
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(str(self._path), "tokens", f"cannot be read: {error}") from error
        for kept in found:
            self._kept[kept.name] = kept
            self._keyring.add_digest(bytes.fromhex(kept.digest), kept.principal)

    @property
    def kept(self) -> tuple[KeptToken, ...]:
        """All tokens, by name."""
        return tuple(self._kept[name] for name in sorted(self._kept))

    async def issue(self, agent: str = "", name: str = "", scopes: Sequence[Scope] = ()) -> tuple[str, KeptToken]:
        """A new token for an agent, or with scopes. Raises InvalidField, IdempotencyConflict or Overloaded."""
        if bool(agent) is bool(scopes):
            raise InvalidField("agent", "either an agent is named, or scopes are")
        if agent and _AGENT.fullmatch(agent) is None:
            raise InvalidField("agent", "must be 1 to 64 of a-z, 0-9, - and _")
        name = name or agent
        if not 0 < len(name) <= 64 or not name.isprintable():
            raise InvalidField("name", "must be 1 to 64 printable characters")
        async with self._lock:
            if name in self._kept:
                raise IdempotencyConflict(f"the token name {name}")
            if len(self._kept) >= TOKENS_MAX:
                raise Overloaded(f"the keyring of {TOKENS_MAX} tokens", 60.0)
            token = "agora_" + secrets.token_urlsafe(TOKEN_BYTES)
            digest = hashlib.sha256(token.encode()).hexdigest()
            kept = KeptToken(name, agent, digest, tuple(sorted({"read", *scopes})) if scopes else ())
            await self._save({**self._kept, name: kept})
            self._keyring.add_digest(bytes.fromhex(kept.digest), kept.principal)
        return token, kept

    async def revoke(self, name: str) -> None:
        """Accept a token no more. Raises NotFound."""
        async with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                raise NotFound("token", name)
            await self._save({other: one for other, one in self._kept.items() if other != name})
            self._keyring.drop_digest(bytes.fromhex(kept.digest))

    async def _save(self, kept: dict[str, KeptToken]) -> None:
        content = msgspec.json.encode(tuple(kept.values()))
        await anyio.to_thread.run_sync(_write, self._path, content)
        self._kept = kept


class TokensApi:
    """The endpoints for agents' tokens."""

    def __init__(self, edge: Edge, tokens: Tokens) -> None:
        self._edge = edge
        self._tokens = tokens

    def routes(self) -> list[Route]:
        return [
            Route("/api/tokens", self.list_tokens, methods=["GET"]),
            Route("/api/tokens", self.issue, methods=["POST"]),
            Route("/api/tokens/{name}", self.revoke, methods=["DELETE"]),
        ]

    @described("the tokens that are good, without their secrets", scope="admin", answer=TokensDocument)
    async def list_tokens(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        return json({"tokens": [_shown(kept) for kept in self._tokens.kept]})

    @described(
        "a token that may speak for one `agent`, or one with `scopes`",
        scope="admin",
        body=TokenBody,
        answer=IssuedToken,
        status=201,
    )
    async def issue(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        body = await read_body(request, TokenBody)
        token, kept = await self._tokens.issue(body.agent, body.name, body.scopes)
        return json({**_shown(kept), "token": token}, 201)

    @described("a token is good no more", scope="admin", answer=RevokedDocument)
    async def revoke(self, request: Request) -> Response:
        self._edge.authorise(request, "admin")
        name = request.path_params["name"]
        await self._tokens.revoke(name)
        return json({"name": name, "revoked": True})


def _shown(kept: KeptToken) -> dict[str, object]:
    return {"name": kept.name, "agent": kept.agent, "scopes": sorted(kept.principal.scopes)}


def _write(path: Path, content: bytes) -> None:
    """Replace the file, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
