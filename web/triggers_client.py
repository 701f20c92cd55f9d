"""The part of the Python SDK for triggers.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
"""

import msgspec

from bus.messages.triggers import TriggerPage, TriggerSpec, TriggerView
from web.agent_client import Post
from web.approvals_client import Get


class TriggersClient:
    """What happens when something has happened. Made by `AgoraClient.triggers`."""

    def __init__(self, get: Get, post: Post) -> None:
        self._get = get
        self._post = post

    async def all(self) -> TriggerPage:
        """All triggers, newest first."""
        return await self._get("/api/triggers", TriggerPage)

    async def create(self, spec: TriggerSpec, *, key: str = "") -> TriggerView:
        """Post a task, or wake an actor, for what comes. The same key with the same spec gives the same trigger."""
        return _view(await self._post("/api/triggers", spec, dict[str, msgspec.Raw], key=key))

    async def cancel(self, trigger: str) -> TriggerView:
        """It fires no more."""
        return _view(await self._post(f"/api/triggers/{trigger}/cancel", None, dict[str, msgspec.Raw]))


def _view(answer: dict[str, msgspec.Raw]) -> TriggerView:
    answer.pop("position", None)
    return msgspec.json.decode(msgspec.json.encode(answer), type=TriggerView)
