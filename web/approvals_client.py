"""The part of the Python SDK for approvals: what waits for a word, its diff, and the word.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
"""

from typing import Literal, Protocol, TypeVar

import msgspec

from bus.messages.approvals import ProposalPage, ProposalView
from bus.messages.repositories import BranchPage, OutputPart
from web.agent_client import Post

T = TypeVar("T")


class Get(Protocol):
    """How the client reads."""

    async def __call__(self, path: str, kind: type[T], **parameters: str) -> T: ...


class GetText(Protocol):
    """How the client reads plain text."""

    async def __call__(self, path: str) -> str: ...


class ApprovalsClient:
    """What waits for a person. Made by `AgoraClient.approvals`."""

    def __init__(self, get: Get, get_text: GetText, post: Post) -> None:
        self._get = get
        self._get_text = get_text
        self._post = post

    async def all(self, *, state: str = "", limit: int = 50, after: str = "") -> ProposalPage:
        """Proposals, newest first."""
        return await self._get("/api/approvals", ProposalPage, state=state, limit=str(limit), after=after)

    async def one(self, proposal: str) -> ProposalView:
        """One proposal, with its history."""
        return await self._get(f"/api/approvals/{proposal}", ProposalView)

    async def diff(self, proposal: str) -> str:
        """The whole diff of a change."""
        return await self._get_text(f"/api/approvals/{proposal}/diff")

    async def checks(self, proposal: str, after: int = 0) -> OutputPart:
        """What running checks have said since; waits for something, ten seconds at most."""
        return await self._get(f"/api/approvals/{proposal}/checks", OutputPart, after=str(after))

    async def branches(self) -> BranchPage:
        """The refs that keep what was proposed."""
        return await self._get("/api/approvals/branches", BranchPage)

    async def propose(self, *, key: str = "", **fields: str | tuple[str, ...]) -> ProposalView:
        """Propose something; the fields are those of the body of `POST /api/approvals`."""
        return await self._change("/api/approvals", fields, key)

    async def decide(
        self, proposal: str, word: Literal["approve", "reject", "rollback"], hash_: str, reason: str, *, key: str = ""
    ) -> ProposalView:
        """Decide on exactly what the hash names."""
        return await self._change(f"/api/approvals/{proposal}/{word}", {"hash": hash_, "reason": reason}, key)

    async def withdraw(self, proposal: str, reason: str, *, key: str = "") -> ProposalView:
        """Take one's own proposal back."""
        return await self._change(f"/api/approvals/{proposal}/withdraw", {"reason": reason}, key)

    async def _change(self, path: str, body: object, key: str) -> ProposalView:
        answer = await self._post(path, body, dict[str, msgspec.Raw], key=key)
        answer.pop("position", None)
        return msgspec.json.decode(msgspec.json.encode(answer), type=ProposalView)
