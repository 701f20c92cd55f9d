"""HTTP for what can be asked of checkpoints: whether one is sound, and what changed since.

Rules: both read and change nothing. Going back and branching off are commands of the line: they need the server to
stand still.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.checkpoints import CheckpointDifferences, CheckpointProof, CompareCheckpoints, VerifyCheckpoint
from bus.messages.system import JOURNAL
from web.edge import Edge, json
from web.gateway import CHECKPOINT_TIMEOUT_S
from web.operation import Text, described
from web.parameters import Parameters


class CheckpointsApi:
    """The endpoints that look into checkpoints."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/checkpoints/{checkpoint}/verify", self.verify, methods=["GET"]),
            Route("/api/checkpoints/{checkpoint}/diff", self.diff, methods=["GET"]),
        ]

    @described(
        "whether a start could go on from a checkpoint: by its id, position, `step:N`, label, time, or `newest`",
        scope="read",
        answer=CheckpointProof,
    )
    async def verify(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        query = VerifyCheckpoint(request.path_params["checkpoint"])
        return json((await self._edge.ask(JOURNAL, query, timeout_s=CHECKPOINT_TIMEOUT_S)).message)

    @described(
        "what changed since a checkpoint, actor by actor; `to` is another one, and `newest` where it is left out",
        scope="read",
        answer=CheckpointDifferences,
        query={"to": Text},
    )
    async def diff(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        wish = Parameters(request, ("to",))
        query = CompareCheckpoints(request.path_params["checkpoint"], wish.text("to") or "newest")
        return json((await self._edge.ask(JOURNAL, query, timeout_s=CHECKPOINT_TIMEOUT_S)).message)
