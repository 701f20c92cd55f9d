"""What every request must pass before anything else looks at it.

Rules: the Host header names this server, so that a rebound name reaches nothing; a request that acts, or a socket, from
a browser comes from an Origin of ours; bodies are bounded, by their length and as they come; every response says what
a browser may do with it. Origins that are configured may read and, with a token, act; never with a cookie.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bus.errors import AgoraError
from bus.refusals import Malformed, NotPermitted, TooLarge
from web.auth import is_loopback
from web.options import WebOptions
from web.problems import Problem, problem_response

BODY_BYTES_MAX = 64 * 1024
ARTIFACT_BYTES_MAX = 5 * 1024 * 1024
"""The largest artifact, with room for what JSON adds."""
PROMPT_BYTES_MAX = 16 * 1024 * 1024
"""A prompt with some images in base64."""
LARGE_PATHS: Mapping[str, int] = {
    "/api/artifacts": ARTIFACT_BYTES_MAX,
    "/v1/chat/completions": PROMPT_BYTES_MAX,
    "/v1/messages": PROMPT_BYTES_MAX,
    "/v1/embeddings": ARTIFACT_BYTES_MAX,
}
"""Where artifacts come, or prompts, which may hold one."""

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
ANY_ADDRESS = frozenset(("", "0.0.0.0", "::"))

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
CORS_METHODS = "GET, POST, PATCH, DELETE"
CORS_HEADERS = "authorization, content-type, idempotency-key"
CORS_AGE_S = 600


class Guard:
    """ASGI middleware around all of the application."""

    def __init__(self, app: ASGIApp, options: WebOptions) -> None:
        self._app = app
        self._hosts = LOOPBACK_NAMES | {_host_of(name) for name in (options.host, *options.hosts)} - ANY_ADDRESS
        self._is_any_address = options.host in ANY_ADDRESS
        self._is_unix = bool(options.socket_path)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in options.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "").lower()
        guarded = self._marked(send, origin if origin in self._origins else "")
        try:
            self._check(scope, headers, origin)
            limited = _Body(scope, headers, receive)
        except AgoraError as error:
            await _refuse(problem_response(error), scope, receive, guarded)
            return
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and origin in self._origins:
            await Response(status_code=204)(scope, receive, guarded)
            return
        await self._app(scope, limited.receive if scope["type"] == "http" else receive, guarded)

    def _check(self, scope: Scope, headers: Headers, origin: str) -> None:
        host = headers.get("host", "").lower()
        if not self._is_known(_host_of(host)):
            raise Problem(421, "misdirected", "the Host header does not name this server; add it to web.hosts")
        is_reading = scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS")
        if is_reading:
            return
        if "origin" in headers and origin not in self._origins:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.netloc != host:
                raise NotPermitted("the request comes from a page of another origin")
        if headers.get("sec-fetch-site") == "cross-site" and origin not in self._origins:
            raise NotPermitted("the request comes from a page of another site")

    def _is_known(self, host: str) -> bool:
        if host in self._hosts or self._is_unix:
            return True
        # A page can make its own name point here, but not a bare address: only names can be rebound.
        return self._is_any_address and (is_loopback(host) or _is_address(host))

    def _marked(self, send: Send, allowed_origin: str) -> Send:
        async def marked(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if self._origins:
                    headers.add_vary_header("Origin")
                if allowed_origin:
                    headers["access-control-allow-origin"] = allowed_origin
                    headers["access-control-allow-methods"] = CORS_METHODS
                    headers["access-control-allow-headers"] = CORS_HEADERS
                    headers["access-control-max-age"] = str(CORS_AGE_S)
                else:
                    headers.setdefault("cross-origin-resource-policy", "same-origin")
            await send(message)

        return marked


class _Body:
    """Counts a request's body as it comes. Raises Malformed or TooLarge for what the headers say already."""

    def __init__(self, scope: Scope, headers: Headers, receive: Receive) -> None:
        self._receive = receive
        self._bytes_max = LARGE_PATHS.get(scope["path"], BODY_BYTES_MAX)
        self._seen = 0
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Malformed("content-length", "is not a number")
        if int(length) > self._bytes_max:
            raise TooLarge("the body", self._bytes_max)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._bytes_max:
                raise TooLarge("the body", self._bytes_max)
        return message


def _host_of(text: str) -> str:
    """The name in a Host header: without port, brackets and the root's dot."""
    text = text.strip().lower()
    if text.startswith("["):
        name, bracket, _ = text[1:].partition("]")
        return name if bracket else ""
    name = text if text.count(":") > 1 else text.partition(":")[0]
    return name.rstrip(".")


def _is_address(host: str) -> bool:
    return ":" in host or (host.count(".") == 3 and host.replace(".", "").isdigit())


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await response(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        await send(
            {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await send({"type": "websocket.http.response.body", "body": response.body})
    else:
        await send({"type": "websocket.close", "code": 4403})
