"""The part of the Python SDK for the process itself: who is there, what is wrong, and the stop-everything switch.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
"""

import msgspec

from bus.messages.monitor import Alert
from web.agent_client import Post
from web.approvals_client import Get


class MailboxAnswer(msgspec.Struct, frozen=True):
    """An actor's mailbox."""

    depth: int
    size_max: int
    high_water: int
    """The most messages that have waited at once."""
    accepted: int
    taken: int
    refused: int
    dropped: int
    coalesced: int
    parked: int
    """Senders that wait for room."""


class ActorAnswer(msgspec.Struct, frozen=True):
    """An actor as the introspection shows it. Times are in seconds."""

    address: str
    kind: str
    state: str
    mailbox: MailboxAnswer
    handled: int
    restarts: int
    last_error: str
    is_busy: bool
    jobs: int
    lag: int
    """Messages that wait in its subscriptions."""
    parked_at: int
    """The poison fact that parked its durable subscription, or 0."""
    parent: str
    """Who supervises it; empty for those that the system started."""
    oldest_s: float
    """How long the oldest waiting message has waited."""
    handle_p50_s: float
    handle_p99_s: float
    backpressure_s: float
    """How long senders have waited for room, all together."""


class SystemAnswer(msgspec.Struct, frozen=True):
    """How the process fares."""

    epoch: int
    is_halted: bool
    alerts: tuple[Alert, ...]
    complaints: tuple[str, ...]
    actors: tuple[ActorAnswer, ...]


class SystemClient:
    """The process and its switch. Made by `AgoraClient.system`."""

    def __init__(self, get: Get, post: Post) -> None:
        self._get = get
        self._post = post

    async def show(self) -> SystemAnswer:
        """The actors, the alerts, and whether all is halted."""
        return await self._get("/api/system", SystemAnswer)

    async def halt(self, reason: str = "") -> None:
        """Stop everything: no new turn, call or assignment begins. A repeat changes nothing."""
        await self._post("/api/system/halt", {"reason": reason}, dict[str, msgspec.Raw])

    async def resume(self) -> None:
        """Let everything go on where it stood. A repeat changes nothing."""
        await self._post("/api/system/resume", {}, dict[str, msgspec.Raw])
