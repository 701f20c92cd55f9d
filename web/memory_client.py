"""The part of the Python SDK for the memory.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
"""

from collections.abc import Sequence

import msgspec

from bus.messages.memory import Audience, FactHistory, FactPage, FactView, Which
from web.agent_client import Post
from web.approvals_client import Get


class MemoryClient:
    """What is remembered. Made by `AgoraClient.memory`."""

    def __init__(self, get: Get, post: Post) -> None:
        self._get = get
        self._post = post

    async def all(self, *, which: Which = "valid", as_of: str = "", limit: int = 50, after: str = "") -> FactPage:
        """Facts, newest first: those that are valid, or the newest version of every one."""
        return await self._get("/api/memory", FactPage, which=which, as_of=as_of, limit=str(limit), after=after)

    async def recall(self, query: str, *, as_of: str = "", limit: int = 10) -> FactPage:
        """The facts that match the words best, best first."""
        return await self._get("/api/memory", FactPage, query=query, as_of=as_of, limit=str(limit))

    async def history(self, fact: str) -> FactHistory:
        """Every version of a fact, newest first."""
        return await self._get(f"/api/memory/{fact}", FactHistory)

    async def remember(
        self,
        subject: str,
        text: str,
        *,
        audience: Audience = "everyone",
        readers: Sequence[str] = (),
        valid_from: str = "",
        valid_to: str = "",
        task: str = "",
        key: str = "",
    ) -> FactView:
        """Remember a fact. The same key with the same words gives the same fact; times are RFC 3339."""
        body = {
            "subject": subject,
            "text": text,
            "audience": audience,
            "readers": tuple(readers),
            "valid_from": valid_from,
            "valid_to": valid_to,
            "task": task,
        }
        return await self._change("/api/memory", body, key)

    async def correct(
        self, fact: str, text: str, *, reason: str = "", valid_from: str = "", valid_to: str = "", key: str = ""
    ) -> FactView:
        """Put a text in the fact's place."""
        body = {"text": text, "reason": reason, "valid_from": valid_from, "valid_to": valid_to}
        return await self._change(f"/api/memory/{fact}/correct", body, key)

    async def end(self, fact: str, *, reason: str = "") -> FactView:
        """Say that it is no longer so."""
        return await self._change(f"/api/memory/{fact}/end", {"reason": reason}, "")

    async def _change(self, path: str, body: object, key: str) -> FactView:
        answer = await self._post(path, body, dict[str, msgspec.Raw], key=key)
        answer.pop("position", None)
        return msgspec.json.decode(msgspec.json.encode(answer), type=FactView)
