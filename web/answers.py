"""A completion that is read at the edge, whatever dialect it leaves in.

Rules: whoever leaves before its end cancels it, and the provider's socket is closed; a stream begins once there is
something to say, so that whatever goes wrong before is a plain HTTP error. One that is not read word by word may begin
anew at another provider when it breaks: its reader has heard nothing yet.
"""

from typing import Self

import anyio
import msgspec
from starlette.requests import Request

from bus.errors import AgoraError
from bus.messages.base import CompletionId
from bus.messages.completions import (
    ROUTER,
    CancelCompletion,
    Complete,
    Completion,
    ReadStream,
    StreamCompletion,
    StreamPart,
)
from bus.refusals import Overloaded
from web.edge import Edge

PART_WAIT_S = 5.0
"""How long one question for more waits; shorter than the router's patience with a silent reader."""
MARGIN_S = 10.0
"""Past the completion's own deadline the router must have answered."""


class Answer:
    """A completion under way. Whoever leaves it before its end cancels it."""

    def __init__(self, edge: Edge, completion: CompletionId, patience_s: float) -> None:
        self._edge = edge
        self._ends_s = edge.clock.monotonic_s() + patience_s
        self._seen = 0
        self._restarts = 0
        self._is_over = False
        self.completion = completion

    @classmethod
    async def begin(cls, edge: Edge, asked: Complete, *, is_streamed: bool) -> Self:
        """Ask the cascade. Raises AgoraError."""
        command = StreamCompletion(msgspec.structs.replace(asked, may_restart=not is_streamed))
        begun = (await edge.ask(ROUTER, command)).message
        return cls(edge, begun.completion, asked.deadline_s + MARGIN_S)

    async def more(self) -> StreamPart:
        """What has come since. Raises AgoraError."""
        left_s = max(self._ends_s - self._edge.clock.monotonic_s(), PART_WAIT_S)
        query = ReadStream(self.completion, self._seen, self._restarts, PART_WAIT_S)
        try:
            part = (await self._edge.ask(ROUTER, query, timeout_s=left_s)).message
        except AgoraError:
            self._is_over = True
            raise
        self._seen = len(part.text) + (self._seen if part.restarts == self._restarts else 0)
        self._restarts = part.restarts
        self._is_over = part.outcome is not None
        return part

    async def whole(self, request: Request) -> Completion:
        """All of it; it ends when the client hangs up meanwhile. Raises AgoraError."""
        part = await self.first(request, is_whole=True)
        assert part.outcome is not None, "it was read to its end"
        return part.outcome

    async def first(self, request: Request, *, is_whole: bool = False) -> StreamPart:
        """The first part with words, or the last part; it ends when the client hangs up meanwhile."""
        part = StreamPart("", 0)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_watch, request, tasks.cancel_scope)
                part = await self.more()
                while part.outcome is None and (is_whole or not part.text):
                    part = await self.more()
                tasks.cancel_scope.cancel()
        except* AgoraError as errors:
            raise _first(errors) from None
        finally:
            if is_whole or not (part.text or part.outcome):
                self.end()
        if part.outcome is None and (is_whole or not part.text):
            raise Overloaded("a client that has hung up", 1.0)
        return part

    def end(self) -> None:
        """Nobody reads on."""
        if not self._is_over:
            self._is_over = True
            self._edge.gateway.tell(ROUTER, CancelCompletion(self.completion))


async def _watch(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _first(errors: BaseExceptionGroup[AgoraError]) -> AgoraError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
