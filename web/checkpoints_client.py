"""The part of the Python SDK for checkpoints.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
A checkpoint is named by its id; where one is only looked at, also by its position, `step:N`, its label, a time or
`newest`.
"""

from bus.messages.checkpoints import CheckpointDifferences, CheckpointProof
from bus.messages.system import CheckpointPage, CheckpointsPruned, CheckpointView
from web.agent_client import Post, Send
from web.approvals_client import Get
from web.wire import encode


class CheckpointsClient:
    """What can be gone back to. Made by `AgoraClient.checkpoints`."""

    def __init__(self, get: Get, post: Post, send: Send) -> None:
        self._get = get
        self._post = post
        self._send = send

    async def all(self) -> CheckpointPage:
        """Those that are kept, newest first."""
        return await self._get("/api/checkpoints", CheckpointPage)

    async def save(self, label: str = "") -> CheckpointView:
        """Save one now."""
        return await self._post("/api/checkpoints", {"label": label}, CheckpointView)

    async def pin(self, checkpoint: str, *, is_pinned: bool = True) -> CheckpointView:
        """Let one stay whatever comes after it, or no longer."""
        body = encode({"pinned": is_pinned})
        return await self._send("PATCH", f"/api/checkpoints/{checkpoint}", CheckpointView, body=body)

    async def prune(self, keep: int) -> CheckpointsPruned:
        """Remove all but the newest and the pinned ones."""
        return await self._post("/api/checkpoints/prune", {"keep": keep}, CheckpointsPruned)

    async def verify(self, checkpoint: str = "newest") -> CheckpointProof:
        """Whether a start could go on from one; every byte of it is read."""
        return await self._get(f"/api/checkpoints/{checkpoint}/verify", CheckpointProof)

    async def compare(self, before: str, after: str = "newest") -> CheckpointDifferences:
        """What changed from one to another, actor by actor."""
        return await self._get(f"/api/checkpoints/{before}/diff", CheckpointDifferences, to=after)
