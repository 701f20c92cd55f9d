"""The part of the Python SDK for programs that work as agents, and for their tokens.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
Auctions and assignments are heard over the client's feed, which goes on where it was when a socket is lost:

    async with AgoraClient(url, token=token) as agora:
        me = agora.worker("greeter")
        await me.register(["greet"])
        async for event in agora.feed(("task.bidding", "task.assigned")):
            ...
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from bus.messages.base import Position
from web.wire import encode

T = TypeVar("T")


class Post(Protocol):
    """How the client posts."""

    async def __call__(self, path: str, body: object, kind: type[T], *, key: str = "") -> T: ...


class WorkAnswer(msgspec.Struct, frozen=True):
    """The reply to what an agent says about a task. `position` is 0 for a repeat, which changes nothing."""

    task: str
    position: Position
    state: str = ""
    lease_s: float = 0.0


class RegisteredAnswer(msgspec.Struct, frozen=True):
    """The reply to a registration."""

    agent: str
    capabilities: tuple[str, ...]
    concurrency_max: int
    position: Position


class TokenAnswer(msgspec.Struct, frozen=True):
    """A fresh token of an agent."""

    name: str
    agent: str
    token: str
    scopes: tuple[str, ...] = ()


class TokenName(msgspec.Struct, frozen=True):
    """A token that is good, without its secret."""

    name: str
    agent: str
    """The one that it may speak for; empty for a token with scopes."""
    scopes: tuple[str, ...] = ()


class TokensAnswer(msgspec.Struct, frozen=True):
    """All tokens of agents."""

    tokens: tuple[TokenName, ...]


class Send(Protocol):
    """How the client sends a request."""

    async def __call__(self, method: str, path: str, kind: type[T], *, body: bytes | None = None) -> T: ...


class TokensClient:
    """The tokens of agents; needs a token with all rights. Made by `AgoraClient.tokens`."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def issue(self, agent: str = "", name: str = "", scopes: Sequence[str] = ()) -> TokenAnswer:
        """A token that may speak for one agent and do nothing else that acts, or one with scopes; told this once."""
        body = encode({"agent": agent, "name": name, "scopes": list(scopes)})
        return await self._send("POST", "/api/tokens", TokenAnswer, body=body)

    async def all(self) -> tuple[TokenName, ...]:
        """Those that are good, without the secrets."""
        return (await self._send("GET", "/api/tokens", TokensAnswer)).tokens

    async def revoke(self, name: str) -> None:
        """Let a token be good no more."""
        await self._send("DELETE", f"/api/tokens/{name}", dict[str, msgspec.Raw])


class AgentClient:
    """What one agent says. Made by `AgoraClient.worker`."""

    def __init__(self, agent: str, post: Post) -> None:
        self._agent = agent
        self._post = post

    async def register(self, capabilities: Sequence[str], *, concurrency_max: int = 1) -> RegisteredAnswer:
        """Be an agent that may bid."""
        body = {"agent": self._agent, "capabilities": list(capabilities), "concurrency_max": concurrency_max}
        return await self._post("/api/agents", body, RegisteredAnswer)

    async def retire(self, reason: str = "") -> None:
        """Give back what is held and leave; registering again ends it."""
        await self._post(f"/api/agents/{self._agent}/retire", {"reason": reason}, dict[str, msgspec.Raw])

    async def pause(self) -> None:
        """Take no new work. A repeat changes nothing."""
        await self._post(f"/api/agents/{self._agent}/pause", None, dict[str, msgspec.Raw])

    async def resume(self) -> None:
        """Take work again. A repeat changes nothing."""
        await self._post(f"/api/agents/{self._agent}/resume", None, dict[str, msgspec.Raw])

    async def bid(self, task: str, price_msat: int) -> WorkAnswer:
        """Bid, or replace the bid before."""
        return await self._say(task, "bids", price_msat=price_msat)

    async def decline(self, task: str) -> WorkAnswer:
        """Say that no bid will come, so that the auction can close early."""
        return await self._say(task, "bids")

    async def start(self, task: str, attempt: int) -> WorkAnswer:
        """Begin; `attempt` is that of the assignment."""
        return await self._say(task, "start", attempt=attempt)

    async def heartbeat(self, task: str, attempt: int) -> WorkAnswer:
        """Keep the lease for another period, which the answer tells."""
        return await self._say(task, "heartbeat", attempt=attempt)

    async def complete(self, task: str, attempt: int, *, text: str = "", summary: str = "") -> WorkAnswer:
        """Deliver: `text` becomes an artifact of the agent's."""
        return await self._say(task, "complete", attempt=attempt, text=text, summary=summary)

    async def fail(self, task: str, attempt: int, reason: str, *, is_retryable: bool = True) -> WorkAnswer:
        """Give the task back."""
        return await self._say(task, "fail", attempt=attempt, reason=reason, is_retryable=is_retryable)

    async def _say(self, task: str, what: str, **fields: str | int) -> WorkAnswer:
        return await self._post(f"/api/tasks/{task}/{what}", {"agent": self._agent, **fields}, WorkAnswer)
