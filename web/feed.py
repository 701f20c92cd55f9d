"""The endpoint of the live socket: takes a client in, and lets the server hand its socket over.

Rules: who is one too many, or comes before there is something to show, is refused in the words of HTTP. A server that
offers its sockets (`EXTENSION`) keeps nothing of the request afterwards; elsewhere two tasks carry the messages.
"""

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from bus.refusals import NotAuthenticated, Overloaded
from web.auth import Credential
from web.connection import Connection, Shared
from web.door import EXTENSION, Offer, PlainDoor
from web.edge import Edge
from web.frames import SUBPROTOCOL, Limits
from web.problems import problem_response


class Feed:
    """The endpoint."""

    def __init__(self, edge: Edge, limits: Limits | None = None) -> None:
        self._edge = edge
        self.limits = limits or Limits(stall_s=edge.options.stall_s)
        self._shared = Shared(edge, self.limits)

    @property
    def stalled(self) -> int:
        """Clients that were closed because they took nothing."""
        return self._shared.stalled

    async def __call__(self, websocket: WebSocket) -> None:
        """Take one client in; where its socket is not handed over, serve it until it goes or is closed."""
        try:
            if not self._edge.hub.is_ready:
                raise Overloaded("the start", 1.0)
            connection = Connection(self._shared, self._stranger(websocket))
        except Overloaded as error:
            await _deny(websocket, problem_response(error))
            return
        try:
            await self._open(websocket, connection)
        except WebSocketDisconnect:
            connection.lost()  # the client went while it was taken in
        except BaseException:
            connection.lost()
            raise

    async def _open(self, websocket: WebSocket, connection: Connection) -> None:
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        offer: Offer | None = websocket.scope.get("extensions", {}).get(EXTENSION, {}).get("socket")
        if offer is not None:
            offer.hand_over(connection.open)
            return
        door = PlainDoor(websocket)
        await door.serve(connection.open(door))

    def _stranger(self, websocket: WebSocket) -> Credential | None:
        """Who the client is without a token."""
        try:
            return self._edge.credential(websocket)
        except NotAuthenticated:
            return None


async def _deny(websocket: WebSocket, response: Response) -> None:
    """Refuse the upgrade in the words of HTTP."""
    await websocket.send_denial_response(response)
