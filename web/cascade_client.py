"""The part of the Python SDK for the cascade: completions as they were, its settings and its money.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
"""

from urllib.parse import quote, urlencode

from bus.messages.base import Microseconds
from bus.messages.completions import RouterView
from bus.messages.routing import Reconciled, Reloaded
from bus.messages.transcripts import Transcript, TranscriptPage
from web.agent_client import Post
from web.approvals_client import Get


class CascadeClient:
    """The cascade. Made by `AgoraClient.cascade`."""

    def __init__(self, get: Get, post: Post) -> None:
        self._get = get
        self._post = post

    async def show(self) -> RouterView:
        """The cascade of model providers: breakers, windows, latencies, spend."""
        return await self._get("/api/router", RouterView)

    async def completions(
        self, *, agent: str = "", task: str = "", before_us: Microseconds = 0, limit: int = 50
    ) -> TranscriptPage:
        """Completions that the log keeps, newest first."""
        wish = {"agent": agent, "task": task, "before": before_us or "", "limit": limit}
        query = urlencode({name: value for name, value in wish.items() if value})
        return await self._get(f"/api/completions?{query}", TranscriptPage)

    async def completion(self, completion: str) -> Transcript:
        """One, in full."""
        return await self._get(f"/api/completions/{quote(completion, safe='')}", Transcript)

    async def reload(self) -> Reloaded:
        """Have the settings read again. Refused with the reason where they cannot be used."""
        return await self._post("/api/router/reload", {}, Reloaded)

    async def reconcile(self, *, provider: str = "", spent_usd_micros: int = 0, unspent_usd_micros: int = 0) -> int:
        """Say what became of money of which nobody knew whether it was spent; how much is still not known."""
        body = {
            "provider": provider,
            "spent_usd_micros": spent_usd_micros,
            "unspent_usd_micros": unspent_usd_micros,
        }
        return (await self._post("/api/router/reconcile", body, Reconciled)).unknown_usd_micros
