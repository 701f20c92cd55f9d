"""A live session, as pure rules: parsed frames in, outputs out. No socket, loop or clock.

Rules:
- `hello` comes first and once. It names the client (a token, or nobody on loopback) and may name the position from
  which the client goes on; a position of another epoch ends the session with 4409.
- A subscription scans positions one after another. Each batch says which it has scanned, first to last, matching or
  not, so that `next.first == last + 1` proves that nothing was missed; what cannot be sent is told as a gap.
- A lossless subscription is fed from the ring, from storage when it is older than the ring. A conflating one skips to
  the newest events when it falls behind, and says so. The `state` is always conflated: the whole, then patches.
- Everything that acts needs its scope. A frame that breaks the contract ends the session; a wrong field is an answer.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Literal

from bus.errors import AgoraError, ProtocolViolation, Refused
from bus.messages.base import Position
from bus.refusals import InvalidField, Malformed, NotAuthenticated, NotPermitted, Overloaded, StaleEpoch
from web import methods
from web.auth import Principal
from web.cursors import next_due
from web.frames import (
    FORBIDDEN,
    LAST_MAX,
    NAME_MAX,
    NO_HELLO,
    PROTOCOL,
    RATE,
    RESTART,
    STALE,
    SUBPROTOCOL,
    TOO_SLOW,
    UNAUTHENTICATED,
    Ask,
    Close,
    Due,
    Empty,
    Frame,
    From,
    Hello,
    Horizon,
    Identify,
    Limits,
    Locate,
    Look,
    Output,
    Send,
    ShowState,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from web.methods import Wish
from web.problems import code_of, detail_of, is_retryable
from web.wire import Filter, check_patterns, decode, encode, parse_time

REFUSALS_MAX = 200
"""Frames over the rate that are answered before the session ends."""


class Phase(Enum):
    OPENING = "opening"
    IDENTIFYING = "identifying"
    OPEN = "open"
    CLOSED = "closed"


class Session:
    """One client's session. A thousand of them wait at a time, so each is small."""

    __slots__ = (
        "_epoch",
        "_filled_s",
        "_hello_id",
        "_in_flight",
        "_limits",
        "_located",
        "_phase",
        "_principal",
        "_refusals",
        "_resume",
        "_subscriptions",
        "_tokens",
    )

    def __init__(self, epoch: int, limits: Limits, now_s: float) -> None:
        self._epoch = epoch
        self._limits = limits
        self._phase = Phase.OPENING
        self._hello_id: int | str = 0
        self._resume: Position | None = None
        self._principal: Principal | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._in_flight: dict[int | str, None] = {}
        self._located: dict[int | str, tuple[str, Filter, bool]] = {}
        """Subscriptions whose first position is being looked up, by request."""
        self._tokens = float(limits.frames_burst)
        self._filled_s = now_s
        self._refusals = 0

    @property
    def is_opening(self) -> bool:
        """Whether the client has not said hello yet."""
        return self._phase is Phase.OPENING

    @property
    def is_closed(self) -> bool:
        """Whether nothing may be sent any more but the close."""
        return self._phase is Phase.CLOSED

    @property
    def principal(self) -> Principal | None:
        """Who the client is, once it has said hello."""
        return self._principal

    def receive(self, text: str, now_s: float, horizon: Horizon) -> Sequence[Output]:
        """Take a text frame."""
        if self._phase is Phase.CLOSED:
            return ()
        try:
            frame = self._parse(text)
            try:
                self._pay(now_s)
                return self._hello(frame) if frame.method == "hello" else self._dispatch(frame, horizon)
            except Refused as error:
                return (self._error(frame.id, error),)
        except ProtocolViolation as error:
            return self._end(error.close_code, error.reason)

    def received_binary(self) -> Sequence[Output]:
        """Take a binary frame: there are none."""
        return self._end(PROTOCOL, "frames are text")

    def hello_is_late(self) -> Sequence[Output]:
        """The time for hello is over."""
        return self._end(NO_HELLO, "no hello came in time") if self._phase is Phase.OPENING else ()

    def identified(self, principal: Principal | None, horizon: Horizon) -> Sequence[Output]:
        """Take the answer to `Identify`."""
        assert self._phase is Phase.IDENTIFYING
        if principal is None:
            error = NotAuthenticated("the token is not known, or one is needed here")
            return (self._error(self._hello_id, error), *self._end(UNAUTHENTICATED, str(error)))
        if not principal.may("read"):
            refusal = NotPermitted("the scope read is needed")
            return (self._error(self._hello_id, refusal), *self._end(FORBIDDEN, str(refusal)))
        self._principal = principal
        self._phase = Phase.OPEN
        result = {
            "epoch": self._epoch,
            "head": horizon.head,
            "oldest": horizon.oldest,
            "principal": principal.name,
            "scopes": sorted(principal.scopes),
            "limits": self._limits,
        }
        return (Send(encode({"t": "welcome", "id": self._hello_id, "result": result}).decode()),)

    def answered(self, id_: int | str, result: bytes) -> Send:
        """Answer a request: `result` is JSON."""
        self._in_flight.pop(id_, None)
        return Send((b'{"id":' + encode(id_) + b',"result":' + result + b"}").decode())

    def refused(self, id_: int | str, error: AgoraError) -> Send:
        """Answer a request with an error."""
        self._in_flight.pop(id_, None)
        self._located.pop(id_, None)
        return self._error(id_, error)

    def stall(self) -> Sequence[Output]:
        """The client took nothing for too long."""
        return self._goodbye(TOO_SLOW, "too slow: nothing was taken in time", 1_000)

    def expelled(self) -> Sequence[Output]:
        """The token was revoked, or the page's session has ended."""
        return self._end(UNAUTHENTICATED, "the token or the session is good no more")

    def restart(self, reason: str) -> Sequence[Output]:
        """The server cannot go on with this session; another try may."""
        return self._goodbye(RESTART, reason, 500)

    def due(self, horizon: Horizon) -> Due | None:
        """What is to be sent next, fairly among the subscriptions; None when all are at the head, or shared."""
        if self._phase is not Phase.OPEN:
            return None
        for subscription in self._subscriptions.values():
            due = None if subscription.is_shared else next_due(subscription, horizon, self._limits)
            if due is not None:
                if len(self._subscriptions) > 1:
                    del self._subscriptions[subscription.name]  # it goes to the end of the line
                    self._subscriptions[subscription.name] = subscription
                return due
        return None

    @property
    def subscriptions(self) -> Iterable[Subscription]:
        """What the client follows."""
        return self._subscriptions.values()

    def is_current(self, subscription: Subscription) -> bool:
        """Whether the client still has the subscription: it may have ended while storage was read."""
        return self._phase is Phase.OPEN and self._subscriptions.get(subscription.name) is subscription

    def replace(self, subscription: Subscription, by: Subscription) -> None:
        """Let another cursor stand for this one: a shared one that is at the same place, or a copy of a shared one."""
        assert self._subscriptions[subscription.name] is subscription
        self._subscriptions[subscription.name] = by

    def _parse(self, text: str) -> Frame:
        if len(text.encode("utf-8", "replace")) > self._limits.frame_bytes:
            raise ProtocolViolation(PROTOCOL, f"a frame has more than {self._limits.frame_bytes} bytes")
        try:
            frame = decode(text.encode("utf-8", "surrogatepass"), Frame)
        except (Malformed, InvalidField) as error:
            raise ProtocolViolation(PROTOCOL, f"not a frame of {SUBPROTOCOL}: {error}") from error
        if isinstance(frame.id, str) and len(frame.id) > NAME_MAX:
            raise ProtocolViolation(PROTOCOL, f"id: is longer than {NAME_MAX} characters")
        if (frame.method == "hello") is not (self._phase is Phase.OPENING):
            raise ProtocolViolation(PROTOCOL, "hello comes first, and once")
        return frame

    def _pay(self, now_s: float) -> None:
        """Count the frame against the rate. Raises Overloaded, and ProtocolViolation when that does not help."""
        burst = float(self._limits.frames_burst)
        self._tokens = min(burst, self._tokens + (now_s - self._filled_s) * self._limits.frames_per_s)
        self._filled_s = now_s
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return
        self._refusals += 1
        if self._refusals > REFUSALS_MAX:
            raise ProtocolViolation(RATE, "too many frames")
        raise Overloaded("this session", 1.0 / self._limits.frames_per_s)

    def _hello(self, frame: Frame) -> Sequence[Output]:
        try:
            hello = decode(frame.params, Hello, "params")
        except (Malformed, InvalidField) as error:
            return (self._error(frame.id, error), *self._end(PROTOCOL, str(error)))
        self._hello_id = frame.id
        if hello.resume is not None:
            if hello.resume.epoch != self._epoch:
                return self._stale(frame.id, hello.resume.epoch)
            self._resume = Position(max(0, hello.resume.position))
        self._phase = Phase.IDENTIFYING
        return (Identify(hello.token),)

    def _dispatch(self, frame: Frame, horizon: Horizon) -> Sequence[Output]:
        match frame.method:
            case "subscribe":
                return self._subscribe(frame, decode(frame.params, Subscribe, "params"), horizon)
            case "unsubscribe":
                name = decode(frame.params, Unsubscribe, "params").sub
                is_there = self._subscriptions.pop(name, None) is not None
                return (self.answered(frame.id, encode({"sub": name, "ended": is_there})),)
            case "ping":
                decode(frame.params, Empty, "params")
                return (self.answered(frame.id, encode({"head": horizon.head})),)
            case "query":
                assert self._principal is not None
                return self._ask(frame, methods.query(decode(frame.params, Look, "params"), self._principal))
            case _:
                assert self._principal is not None
                return self._ask(frame, methods.command(frame, self._principal))

    def _subscribe(self, frame: Frame, wish: Subscribe, horizon: Horizon) -> Sequence[Output]:
        if not 0 < len(wish.sub) <= NAME_MAX:
            raise InvalidField("params.sub", f"is not a name of 1 to {NAME_MAX} characters")
        if wish.sub not in self._subscriptions and len(self._subscriptions) >= self._limits.subscriptions:
            raise self._too_many()
        if wish.topics == "state":
            self._subscriptions[wish.sub] = Subscription(wish.sub, None, Position(-1))
            return (self.answered(frame.id, encode({"sub": wish.sub, "head": horizon.head})),)
        if isinstance(wish.start, From) and wish.start.epoch not in (None, self._epoch):
            return self._stale(frame.id, wish.start.epoch or 0)
        topics = (wish.topics,) if isinstance(wish.topics, str) else wish.topics
        types = (wish.filter.type,) if isinstance(wish.filter.type, str) else wish.filter.type
        wanted = Filter(
            topics=() if "#" in topics else check_patterns("params.topics", topics),
            types=check_patterns("params.filter.type", types),
            task=wish.filter.task,
            agent=wish.filter.agent,
            source=wish.filter.source,
            run=wish.filter.run,
            correlation=wish.filter.correlation,
        )
        is_conflating = wish.policy == "conflate"
        if isinstance(wish.start, From) and wish.start.time is not None:
            time_us = _time_of(wish.start)
            self._begin_request(frame.id)
            self._located[frame.id] = (wish.sub, wanted, is_conflating)
            return (Locate(frame.id, time_us),)
        start = self._start(wish.start, horizon)
        return (self._follow(frame.id, Subscription(wish.sub, wanted, start, is_conflating, is_behind=True), horizon),)

    def located(self, id_: int | str, position: Position, horizon: Horizon) -> Send | None:
        """Take the answer to `Locate`: the first position to scan."""
        name, wanted, is_conflating = self._located.pop(id_)
        if self._phase is not Phase.OPEN:
            return None
        if name not in self._subscriptions and len(self._subscriptions) >= self._limits.subscriptions:
            return self.refused(id_, self._too_many())
        return self._follow(id_, Subscription(name, wanted, position, is_conflating, is_behind=True), horizon)

    def _follow(self, id_: int | str, subscription: Subscription, horizon: Horizon) -> Send:
        self._subscriptions[subscription.name] = subscription
        result = {"sub": subscription.name, "next": subscription.next, "head": horizon.head}
        return self.answered(id_, encode(result))

    def _start(self, start: Literal["head"] | From | None, horizon: Horizon) -> Position:
        """The first position to scan."""
        if start is None and self._resume is not None:
            start = From(position=self._resume)
        if not isinstance(start, From):
            return Position(horizon.head + 1)
        if (start.last is None) == (start.position is None):
            raise InvalidField("params.from", "names either last, position or time")
        if start.last is not None:
            if not 0 <= start.last <= LAST_MAX:
                raise InvalidField("params.from.last", f"is not between 0 and {LAST_MAX}")
            return Position(max(horizon.head - start.last + 1, horizon.oldest, 1))
        position = start.position or 0
        if not 0 <= position <= horizon.head:
            raise InvalidField("params.from.position", f"is not between 0 and the head {horizon.head}")
        return Position(position + 1)

    def _ask(self, frame: Frame, wish: Wish | None) -> Sequence[Output]:
        if wish is None:
            return (ShowState(frame.id),)
        assert self._principal is not None
        if not self._principal.may(wish.scope):
            raise NotPermitted(f"the scope {wish.scope} is needed")
        if len(frame.idem) > 256:
            raise InvalidField("idem", "is longer than 256 characters")
        self._begin_request(frame.id)
        return (Ask(frame.id, wish.to, wish.request, wish.timeout_s),)

    def _begin_request(self, id_: int | str) -> None:
        if id_ in self._in_flight:
            raise InvalidField("id", "is that of a request that is still under way")
        if len(self._in_flight) >= self._limits.commands_in_flight:
            raise Overloaded(f"the session with {len(self._in_flight)} requests under way", 0.5)
        self._in_flight[id_] = None

    def _too_many(self) -> Overloaded:
        return Overloaded(f"the session with {self._limits.subscriptions} subscriptions", 1.0)

    def _error(self, id_: int | str, error: AgoraError) -> Send:
        data: dict[str, object] = {"retryable": is_retryable(error)}
        if isinstance(error, InvalidField):
            data["path"] = error.path
        if isinstance(error, Overloaded):
            data["retry_after_s"] = error.retry_after_s
        return Send(
            encode({"id": id_, "error": {"code": code_of(error), "message": detail_of(error), "data": data}}).decode()
        )

    def _stale(self, id_: int | str, epoch: int) -> Sequence[Output]:
        error = StaleEpoch(epoch, self._epoch)
        return (self._error(id_, error), *self._end(STALE, str(error)))

    def _goodbye(self, code: int, reason: str, retry_ms: int) -> Sequence[Output]:
        bye = Send(encode({"t": "bye", "reason": reason, "retry_ms": retry_ms}).decode())
        return (bye, *self._end(code, reason))

    def _end(self, code: int, reason: str) -> Sequence[Output]:
        self._phase = Phase.CLOSED
        self._subscriptions.clear()
        # A close frame holds 123 bytes of reason.
        return (Close(code, reason.encode("utf-8", "replace")[:120].decode("utf-8", "ignore")),)


def _time_of(start: From) -> int:
    if start.last is not None or start.position is not None:
        raise InvalidField("params.from", "names either last, position or time")
    return parse_time("params.from.time", start.time or "")
