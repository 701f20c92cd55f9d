"""The page's session: a one-use link is traded for a cookie that scripts cannot read."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.refusals import NotAuthenticated
from web.auth import ANONYMOUS, SESSION_S, Principal
from web.documents import LinkDocument, SessionDocument
from web.edge import Edge, json, read_body
from web.operation import described


class OpenSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/session`."""

    link: str


class Sessions:
    """The endpoints for sessions and links."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/session", self.show, methods=["GET"]),
            Route("/api/session", self.open, methods=["POST"]),
            Route("/api/session", self.close, methods=["DELETE"]),
            Route("/api/links", self.issue, methods=["POST"]),
        ]

    @described("who you are and what you may do", scope="", answer=SessionDocument)
    async def show(self, request: Request) -> Response:
        """Who the request comes from, and what it may do."""
        return json(_shown(self._edge.principal(request)))

    @described("trade a link for a session", scope="", body=OpenSession, answer=SessionDocument)
    async def open(self, request: Request) -> Response:
        """Trade a link for a session."""
        self._edge.throttle(request)
        wish = await read_body(request, OpenSession)
        opened = self._edge.keyring.open_session(wish.link)
        if opened is None:
            raise NotAuthenticated("the link was used already, is too old, or is not one of ours")
        secret, principal = opened
        response = json(_shown(principal))
        response.set_cookie(
            self._edge.cookie, secret, max_age=int(SESSION_S), path="/", httponly=True, samesite="strict"
        )
        return response

    @described("end the session", scope="", answer=SessionDocument)
    async def close(self, request: Request) -> Response:
        """End the session of the cookie."""
        self._edge.throttle(request)
        secret = request.cookies.get(self._edge.cookie, "")
        self._edge.keyring.close_session(secret)
        response = json(_shown(ANONYMOUS))
        response.delete_cookie(self._edge.cookie, path="/", httponly=True, samesite="strict")
        return response

    @described("a fresh link for the page", scope="admin", answer=LinkDocument, status=201)
    async def issue(self, request: Request) -> Response:
        """A fresh link for whoever holds the admin token."""
        principal = self._edge.authorise(request, "admin")
        return json({"link": self._edge.keyring.issue_link(principal)}, 201)


def _shown(principal: Principal) -> dict[str, object]:
    return {"principal": principal.name, "scopes": sorted(principal.scopes)}
