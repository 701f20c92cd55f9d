"""What every endpoint stands on: the door to the actors, the hub, who may do what, and how fast.

Rules: an endpoint authorises before it reads a body; a request that acts pays with a token of its client's bucket. A
cookie counts for a request that acts only with an Origin of ours, which the guard has checked.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from bus.address import Address
from bus.clock import Clock
from bus.envelope import Answer
from bus.errors import NoSuchActor
from bus.messages.agents import agent_of
from bus.messages.base import Message, R
from bus.messages.base import Request as ActorRequest
from bus.refusals import InvalidField, NotAuthenticated, NotFound, NotPermitted, Overloaded
from web.auth import ANONYMOUS, Credential, Keyring, Principal, Scope, is_loopback
from web.gateway import ASK_TIMEOUT_S, Gateway
from web.hub import Hub
from web.options import WebOptions
from web.wire import WHOLE, decode, encode

CLIENTS_MAX = 1_024
"""Buckets that are kept; the longest unused goes first."""

T = TypeVar("T")


class Throttle:
    """A token bucket per client."""

    def __init__(self, per_s: float, burst: int, clock: Clock) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Pay for one request. Raises Overloaded when the bucket is empty."""
        now_s = self._clock.monotonic_s()
        tokens, filled_s = self._buckets.pop(client, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - filled_s) * self._per_s)
        is_enough = tokens >= 1.0
        self._buckets[client] = (tokens - 1.0 if is_enough else tokens, now_s)
        if len(self._buckets) > CLIENTS_MAX:
            self._buckets.popitem(last=False)
        if not is_enough:
            raise Overloaded("this client", (1.0 - tokens) / self._per_s)


class Edge:
    """The parts that endpoints share."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        hub: Hub,
        keyring: Keyring,
        options: WebOptions,
        clock: Clock,
        complaints: Callable[[], Sequence[str]] = tuple,
        actors: Callable[[], Sequence[object]] = tuple,
    ) -> None:
        self.gateway = gateway
        self.hub = hub
        self.keyring = keyring
        self.options = options
        self.clock = clock
        self.complaints = hub.complaints = complaints
        """Why the process is not ready: parked subscriptions, stuck actors, a disk that stands still. The live feed's
        beats tell it as well."""
        self.actors = actors
        """All actors as the introspection shows them."""
        self._throttle = Throttle(options.commands_per_s, options.commands_burst, clock)

    @property
    def cookie(self) -> str:
        """The session cookie's name. Browsers share cookies between ports, so the port is part of it."""
        return f"agora_{self.options.port}"

    def principal(self, connection: HTTPConnection) -> Principal:
        """Who asks. Raises NotAuthenticated for a bad token, or for nobody from elsewhere."""
        return self.credential(connection).principal

    def credential(self, connection: HTTPConnection) -> Credential:
        """Who asks, and what that rests on. Raises NotAuthenticated for a bad token, or for nobody from elsewhere."""
        scheme, _, token = _given_token(connection).partition(" ")
        if scheme:
            found = self.keyring.credential_of_token(token.strip()) if scheme.lower() == "bearer" else None
            if found is None:
                raise NotAuthenticated("the bearer token is not known")
            return found
        secret = connection.cookies.get(self.cookie)
        if secret and (found := self.keyring.credential_of_session(secret)) is not None:
            return found
        return Credential(self.principal_of_nobody(connection))

    def principal_of_nobody(self, connection: HTTPConnection) -> Principal:
        """Who asks without a token: a reader on loopback. Raises NotAuthenticated elsewhere."""
        if not is_loopback(connection.client.host if connection.client else None):
            raise NotAuthenticated("a token is needed from another machine")
        return ANONYMOUS

    def authorise(self, request: Request, scope: Scope) -> Principal:
        """Who asks, if they may. Raises NotAuthenticated, NotPermitted or Overloaded."""
        is_acting = request.method not in ("GET", "HEAD")
        if is_acting:
            self.throttle(request)
        principal = self.principal(request)
        if not principal.may(scope):
            if principal == ANONYMOUS:
                raise NotAuthenticated(f"a token with the scope {scope} is needed")
            raise NotPermitted(f"{principal.name} lacks the scope {scope}")
        if is_acting and not _given_token(request) and "origin" not in request.headers:
            raise NotPermitted("a session acts only from its own page: the Origin header is missing")
        return principal

    def throttle(self, request: Request) -> None:
        """Count a request that acts against its client. Raises Overloaded."""
        self._throttle.take(request.client.host if request.client else "local")

    async def ask(self, to: Address, request: ActorRequest[R], *, timeout_s: float = ASK_TIMEOUT_S) -> Answer[R]:
        """Ask an actor. Raises what `Gateway.exchange` raises, and NotFound for an agent that there is not.

        A wrong field is named as the client named it: what a command holds as its `spec` is the whole of the body.
        """
        try:
            return await self.gateway.exchange(to, request, timeout_s=timeout_s)
        except InvalidField as error:
            if error.path.partition(".")[0] != "spec":
                raise
            raise InvalidField(error.path.removeprefix("spec").lstrip(".") or WHOLE, error.reason) from error
        except NoSuchActor as error:
            agent = agent_of(to)
            if agent is None or error.address != to:
                raise
            raise NotFound("agent", agent) from error


def _given_token(connection: HTTPConnection) -> str:
    """What the client shows; clients of Anthropic's dialect have a header of their own for it."""
    key = connection.headers.get("x-api-key", "")
    return connection.headers.get("authorization", "") or (f"Bearer {key}" if key else "")


async def read_body(request: Request, kind: type[T]) -> T:
    """The request's JSON as a type. Raises Malformed, InvalidField or TooLarge."""
    return decode(await request.body() or b"{}", kind)


def json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that no cache keeps."""
    return raw_json(encode(value), status, headers)


def raw_json(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that is encoded already."""
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, "application/json")


def accepted(answer: Answer[Message], status: int) -> Response:
    """The reply to a command, with the position of its first event."""
    return raw_json(with_position(answer), status)


def with_position(answer: Answer[Message]) -> bytes:
    """A reply's fields and the position of the first event that the request caused, unless it tells one of its own."""
    body = encode(answer.message)
    if "position" in answer.message.__struct_fields__:
        return body
    comma = b"" if body == b"{}" else b","
    return body[:-1] + comma + b'"position":%d}' % answer.position
