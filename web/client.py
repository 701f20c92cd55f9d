"""The Python SDK: Agora over HTTP and its live socket.

Rules: everything is typed; a refusal raises `RequestFailed` with the server's own words. A feed yields every matching
event once and in order: it opens its socket again when it is lost, goes on after the last position that was scanned,
and raises `FeedGap` when the server says, or the positions show, that events are missing.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import anyio
import msgspec

from bus.errors import AgoraError
from bus.messages.artifacts import ArtifactPage, ArtifactView
from bus.messages.base import Position
from bus.messages.ledger import Balances, Conservation
from bus.messages.system import EventSummary, PruneReport
from bus.messages.tasks import TaskPage, TaskSpec, TaskView
from web.agent_client import AgentClient, TokensClient
from web.approvals_client import ApprovalsClient
from web.cascade_client import CascadeClient
from web.checkpoints_client import CheckpointsClient
from web.invoices_client import InvoicesClient
from web.live_feed import LiveFeed, RequestFailed
from web.memory_client import MemoryClient
from web.schedules_client import SchedulesClient
from web.system_client import SystemClient
from web.tables_client import TablesClient
from web.triggers_client import TriggersClient
from web.wire import WireEvent, encode

T = TypeVar("T")

EMPTY: Mapping[str, str] = {}
TIMEOUT_S = 30.0
TRIES_MAX = 8
"""Tries of one request that the server asks to repeat, or that did not reach it."""
WAIT_MAX_S = 5.0
WAIT_MIN_S = 0.1


class Unreachable(AgoraError):
    """The server did not answer, however often it was asked."""

    code = "unreachable"


class TaskAnswer(msgspec.Struct, frozen=True):
    """The reply to a command on a task."""

    task: str
    state: str
    position: Position


class EventsAnswer(msgspec.Struct, frozen=True):
    """A page of events. `next` continues in the same direction; None at the end."""

    events: tuple[WireEvent, ...]
    scanned: Position
    head: Position
    epoch: int
    next: Position | None


class SessionAnswer(msgspec.Struct, frozen=True):
    """Who a request comes from, and what it may do."""

    principal: str
    scopes: tuple[str, ...]


class LinkAnswer(msgspec.Struct, frozen=True):
    """A one-use code that opens the page's session."""

    link: str


class ReadyAnswer(msgspec.Struct, frozen=True):
    """Whether the server can work, and what stands in the way."""

    ready: bool
    reasons: tuple[str, ...]


class _ProblemBody(msgspec.Struct, frozen=True):
    detail: str = ""
    code: str = "unknown"
    path: str = ""


class AgoraClient:
    """A server, over HTTP. Open it with `async with`."""

    def __init__(self, url: str, *, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def __aenter__(self) -> Self:
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        self._http = aiohttp.ClientSession(headers=headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def state(self) -> dict[str, msgspec.Raw]:
        """The whole at a glance, its parts not yet decoded."""
        return await self._get("/api/state", dict[str, msgspec.Raw])

    async def session(self) -> SessionAnswer:
        """Who this client is to the server."""
        return await self._get("/api/session", SessionAnswer)

    async def issue_link(self) -> str:
        """A one-use code for the page."""
        return (await self._post("/api/links", None, LinkAnswer)).link

    async def ready(self) -> ReadyAnswer:
        """Whether the server can work."""
        status, body = await self._send("GET", "/readyz", None, {}, {})
        if status not in (200, 503):
            raise _failed(status, body)
        return msgspec.json.decode(body, type=ReadyAnswer)

    async def create_task(self, spec: TaskSpec, *, key: str = "") -> TaskAnswer:
        """Post a task. The same key with the same spec gives the same task."""
        return await self._post("/api/tasks", spec, TaskAnswer, key=key)

    async def cancel_task(self, task: str, reason: str = "") -> TaskAnswer:
        """Withdraw a task."""
        return await self._post(f"/api/tasks/{task}/cancel", {"reason": reason}, TaskAnswer)

    @property
    def tokens(self) -> TokensClient:
        """The tokens of agents."""
        return TokensClient(self._repeated)

    @property
    def worker(self) -> Callable[[str], AgentClient]:
        """The calls of a program that works as an agent, by the agent's name."""
        return lambda agent: AgentClient(agent, self._post)

    async def task(self, task: str) -> TaskView:
        """One task."""
        return await self._get(f"/api/tasks/{task}", TaskView)

    async def tasks(self, *, state: str = "", limit: int = 50, after: str = "") -> TaskPage:
        """Tasks, newest first."""
        return await self._get("/api/tasks", TaskPage, state=state, limit=str(limit), after=after)

    async def write_artifact(
        self, name: str, text: str, *, media_type: str = "text/plain", key: str = ""
    ) -> ArtifactView:
        """Keep a text."""
        body = {"name": name, "text": text, "media_type": media_type}
        answer = await self._post("/api/artifacts", body, dict[str, msgspec.Raw], key=key)
        answer.pop("position", None)
        return msgspec.json.decode(msgspec.json.encode(answer), type=ArtifactView)

    async def artifacts(self, *, limit: int = 50, after: str = "") -> ArtifactPage:
        """Artifacts, newest first."""
        return await self._get("/api/artifacts", ArtifactPage, limit=str(limit), after=after)

    async def artifact_text(self, artifact: str) -> str:
        """An artifact's text."""
        return await self._get_text(f"/api/artifacts/{artifact}/content")

    @property
    def approvals(self) -> ApprovalsClient:
        """What waits for a person."""
        return ApprovalsClient(self._get, self._get_text, self._post)

    async def events(self, **parameters: str) -> EventsAnswer:
        """Events of the past, newest first unless `after` is given; parameters as in `GET /api/events`."""
        return await self._get("/api/events", EventsAnswer, **parameters)

    async def summary(self, minutes: float = 60.0) -> EventSummary:
        """How many events of each type the last minutes hold."""
        return await self._get("/api/events/summary", EventSummary, minutes=f"{minutes:g}")

    async def balances(self) -> Balances:
        """All balances."""
        return await self._get("/api/ledger/accounts", Balances)

    async def check_ledger(self) -> Conservation:
        """The proof that no money came from nowhere."""
        return await self._get("/api/ledger/check", Conservation)

    @property
    def tables(self) -> TablesClient:
        """Balances, days, transfers and decisions, as CSV or JSON Lines."""
        return TablesClient(self._pieces)

    @property
    def triggers(self) -> TriggersClient:
        """What happens when something has happened."""
        return TriggersClient(self._get, self._post)

    @property
    def memory(self) -> MemoryClient:
        """What agents and people remember."""
        return MemoryClient(self._get, self._post)

    @property
    def schedules(self) -> SchedulesClient:
        """Tasks that are posted later, or again and again."""
        return SchedulesClient(self._get, self._post)

    @property
    def invoices(self) -> InvoicesClient:
        """Money from outside, over Lightning."""
        return InvoicesClient(self._get, self._post)

    @property
    def system(self) -> SystemClient:
        """The process itself: who is there, what is wrong, and the stop-everything switch."""
        return SystemClient(self._get, self._post)

    @property
    def cascade(self) -> CascadeClient:
        """Completions as they were, and the cascade's settings and money."""
        return CascadeClient(self._get, self._post)

    @property
    def checkpoints(self) -> CheckpointsClient:
        """What can be gone back to."""
        return CheckpointsClient(self._get, self._post, self._repeated)

    async def prune_events(self, upto: Position) -> PruneReport:
        """Let old events go, up to a position, or as the server's settings say where that is 0."""
        return await self._post("/api/events/prune", {"upto": upto}, PruneReport)

    def feed(
        self,
        topics: Sequence[str] = ("#",),
        *,
        after: Position | None = None,
        last: int | None = None,
        wanted: Mapping[str, str] | None = None,
    ) -> LiveFeed:
        """Live events: after a position, the last ones, or from now on."""
        return LiveFeed(
            self.url, token=self._token, topics=tuple(topics), after=after, last=last, wanted=dict(wanted or {})
        )

    async def _get(self, path: str, kind: type[T], **parameters: str) -> T:
        parameters = {name: value for name, value in parameters.items() if value}
        return await self._repeated("GET", path, kind, parameters=parameters)

    async def _get_text(self, path: str) -> str:
        status, body = await self._send("GET", path, None, {}, {})
        if status != 200:
            raise _failed(status, body)
        return body.decode()

    async def _pieces(self, path: str, parameters: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """A body as it comes. It has no limit in time as a whole: it may be as long as it likes."""
        patience = aiohttp.ClientTimeout(total=None, sock_read=self._timeout.total)
        try:
            async with self._http.get(self.url + path, params=parameters, timeout=patience) as response:
                if response.status != 200:
                    raise _failed(response.status, await response.read())
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"{self.url} did not answer: {error or type(error).__name__}") from error

    async def _post(self, path: str, body: object, kind: type[T], *, key: str = "") -> T:
        headers = {"idempotency-key": key} if key else {}
        content = b"" if body is None else encode(body)
        return await self._repeated("POST", path, kind, body=content, headers=headers)

    async def _repeated(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: bytes | None = None,
        parameters: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
    ) -> T:
        """Ask again while the server says that it is busy; after a lost connection only what repeats without harm."""
        is_repeatable = method == "GET" or "idempotency-key" in headers
        wait_s = WAIT_MIN_S
        for attempt in range(1, TRIES_MAX + 1):
            try:
                status, content = await self._send(method, path, body, parameters, headers)
            except Unreachable:
                if not is_repeatable or attempt == TRIES_MAX:
                    raise
            else:
                if status < 400:
                    return msgspec.json.decode(content, type=kind)
                if (status != 429 and not (status == 503 and is_repeatable)) or attempt == TRIES_MAX:
                    raise _failed(status, content)
            await anyio.sleep(wait_s)
            wait_s = min(wait_s * 2, WAIT_MAX_S)
        raise AssertionError("the last try returns or raises")

    async def _send(
        self, method: str, path: str, body: bytes | None, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        sent = {"content-type": "application/json", **headers} if body is not None else headers
        try:
            async with self._http.request(
                method, self.url + path, data=body, params=parameters, headers=sent
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f"{self.url} did not answer: {error or type(error).__name__}") from error


def _failed(status: int, body: bytes) -> RequestFailed:
    try:
        problem = msgspec.json.decode(body, type=_ProblemBody)
    except msgspec.DecodeError:
        problem = _ProblemBody(detail=f"the server answered {status}")
    return RequestFailed(status, problem.code, problem.detail, problem.path)
