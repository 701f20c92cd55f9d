"""The composition root: puts the parts together, starts them in order and stops them in reverse.

Who there is stands in `actors.population`; here is what they stand on (the disk, the web), and when what begins.

Start: open and verify the journal; fold all to the head; check conservation; arm timers again; start the agents; open
the intake, which is the web. Stop: refuse intake, drain, wait for the watermark, save a checkpoint, then stop in
reverse order.
"""

import gc
import logging
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from actors import interpreter
from actors.config import Config
from actors.history import JournalHistory, former_agents
from actors.journal import Journal
from actors.nodes import check_key
from actors.population import population
from actors.providers import ProviderOptions, discover, probe_http
from actors.readiness import complaints_of
from actors.runtime import ActorSystem, ChildSpec, GroupCommitLog
from actors.saving import RunIdentity
from actors.surroundings import Reread, surroundings
from actors.tracer import TRACER, OpenExporter, Tracer, exporter_of
from actors.webhooks import keys_of
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.dice import Dice
from bus.errors import AgoraError
from bus.messages.base import MAIN_RUN
from bus.messages.catalogue import EVENTS
from bus.messages.system import BROADCASTER, JOURNAL, EventsCommitted, SaveCheckpoint, SystemStarted
from storage.checkpoints import CheckpointStore
from storage.events import EventStore
from web.app import build_app
from web.auth import ADMIN_SCOPES, Keyring, check_reach, load_or_create_admin_token
from web.edge import Edge
from web.hub import Hub
from web.options import WebOptions
from web.ring import Ring
from web.server import bound, listen, serving, url_of
from web.tokens import Tokens

logger = logging.getLogger(__name__)

TOKEN_NAME = "admin.token"
TOKENS_NAME = "tokens.json"
AGORA_VERSION = version("agora")
"""Read at import: it looks at files, which the loop must not wait for."""
DRAIN_MAX_S = 5.0
"""How long messages may go on flowing after a stop was asked for."""
STOP_CHECKPOINT_MAX_S = 15.0


class Running(msgspec.Struct, frozen=True):
    """A society that runs in this process."""

    system: ActorSystem
    providers: tuple[ProviderOptions, ...]
    """The cascade in its order."""
    replayed: int
    """Events that were folded on top of the checkpoint."""
    url: str
    """Where it is served; empty when it runs headless."""
    token_path: Path
    """The file with the admin token, which only the owner can read."""
    link: Callable[[], str]
    """Makes a fresh address of the page that opens one session with all rights."""


@asynccontextmanager
async def running(
    config: Config, environment: Mapping[str, str], *, web: bool, reread: Reread | None = None
) -> AsyncIterator[Running]:
    """Run the society of a data directory until the block ends; with `web`, serve it as the config says.

    `reread` reads the settings again, where they can change while all runs.

    Raises CannotListen when the port is taken, StorageError when the directory cannot be used, and what a start raises.
    """
    interpreter.share()
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(await _listening(config)) if web and config.web.enabled else None
        keys_of(config.webhooks, environment)  # a secret that is missing is told before anything begins
        check_key(config.lightning, environment)
        open_exporter = exporter_of(config.otel, environment)
        providers = config.router.providers or await discover(environment, probe_http)
        past = await stack.enter_async_context(_past(config, clock))
        hub = _hub(config, past, clock)
        log = GroupCommitLog(past.events, head=past.events.head, epoch=past.events.epoch, clock=clock)
        around = await stack.enter_async_context(  # before the system, which ends before what it writes to
            surroundings(config, environment, providers, MAIN_RUN, reread or (lambda: config))
        )
        dice = Dice(secrets.token_hex(8))
        system = await stack.enter_async_context(ActorSystem(log=log, history=past.history, clock=clock, dice=dice))
        people = population(
            config,
            system=system,
            journal=_journal(config, past, system),
            history=past.history,
            hub=hub,
            providers=providers,
            environment=environment,
            former=await former_agents(past.history, [one.name for one in config.society], past.events.head),
            free_bytes=lambda: shutil.disk_usage(config.data).free,
            around=around,
        )
        await populate(system, people)
        if open_exporter is not None:
            await trace(system, open_exporter, past.events.epoch)
        gc.freeze()  # what was folded lives long: looking through all of it again would hold the loop up
        stack.callback(gc.unfreeze)
        stack.push_async_callback(_wind_down, system)
        keyring, tokens = await _keys(config, clock)
        url = ""
        if listener is not None:
            url = url_of(listener, config.web)
            edge = edge_of(system, hub, keyring, bound(listener, config.web))
            await stack.enter_async_context(serving(build_app(edge, tokens=tokens), hub, listener))
        yield Running(
            system=system,
            providers=providers,
            replayed=past.replayed,
            url=url,
            token_path=Path(config.data) / TOKEN_NAME,
            link=lambda: f"{url}/#token={keyring.issue_link()}",
        )


async def populate(system: ActorSystem, people: Sequence[ChildSpec]) -> None:
    """Start everyone; from then on the broadcaster hears of each commit. Raises what a start raises."""
    await system.start(*people)
    system.log.on_commit(lambda stored: system.tell(BROADCASTER, EventsCommitted(stored)))


async def trace(system: ActorSystem, open_exporter: OpenExporter, epoch: int) -> None:
    """Start the tracer; it hears of each commit from then on."""
    await system.start(ChildSpec(TRACER, lambda: Tracer(open_exporter, epoch)))
    system.log.on_commit(lambda stored: system.tell(TRACER, EventsCommitted(stored)))


def edge_of(system: ActorSystem, hub: Hub, keyring: Keyring, options: WebOptions) -> Edge:
    """What the web's endpoints stand on."""
    return Edge(
        gateway=system,
        hub=hub,
        keyring=keyring,
        options=options,
        clock=system.clock,
        complaints=lambda: complaints_of(system),
        actors=system.statistics,
    )


def _hub(config: Config, past: "_Past", clock: SystemClock) -> Hub:
    epoch = past.events.epoch
    ring = Ring(epoch, MAIN_RUN, events_max=config.web.events_cached, bytes_max=config.web.bytes_cached)
    return Hub(epoch=epoch, ring=ring, clock=clock, clients_max=config.web.sockets_max)


async def _keys(config: Config, clock: SystemClock) -> tuple[Keyring, Tokens]:
    """Who may do what: the operator by the token in the data directory, others by theirs."""
    keyring = Keyring(clock)
    token = await anyio.to_thread.run_sync(load_or_create_admin_token, Path(config.data) / TOKEN_NAME)
    keyring.add_token(token, "admin", ADMIN_SCOPES)
    tokens = Tokens(keyring, Path(config.data) / TOKENS_NAME)
    await anyio.to_thread.run_sync(tokens.load)
    return keyring, tokens


async def _listening(config: Config) -> socket.socket:
    """A bound socket. Raises ConfigError when it would reach beyond this machine and nobody has a token."""
    if not config.web.socket_path:
        data = Path(config.data)
        has_token = [await anyio.Path(data / name).exists() for name in (TOKEN_NAME, TOKENS_NAME)]
        check_reach(config.web.host, has_token=any(has_token))
    return listen(config.web)


class _Past(msgspec.Struct, frozen=True):
    """What is on disk, opened and held."""

    events: EventStore
    checkpoints: CheckpointStore
    history: JournalHistory
    checkpoint: str
    """The checkpoint that this start goes on from, or empty."""
    replayed: int


@asynccontextmanager
async def _past(config: Config, clock: SystemClock) -> AsyncIterator[_Past]:
    data = Path(config.data)
    async with (
        EventStore.open(data, Catalogue(EVENTS), clock, config.journal.segments) as events,
        CheckpointStore.open(config.journal.checkpoints_in(data)) as checkpoints,
    ):
        checkpoint = await checkpoints.load_newest(events.holds)
        replayed = events.head - (checkpoint.view.position if checkpoint is not None else 0)
        name = checkpoint.view.checkpoint if checkpoint is not None else ""
        yield _Past(events, checkpoints, JournalHistory(events, checkpoint), name, replayed)


def _journal(config: Config, past: _Past, system: ActorSystem) -> ChildSpec:
    identity = RunIdentity(MAIN_RUN, config.hash, AGORA_VERSION)
    starts = [SystemStarted(MAIN_RUN, identity.agora_version, config.hash, past.checkpoint, past.replayed)]
    return ChildSpec(
        JOURNAL,
        lambda: Journal(
            events=past.events,
            checkpoints=past.checkpoints,
            history=past.history,
            log=system.log,
            copies=system.copies,
            identity=identity,
            started=starts.pop() if starts else None,  # a restart of the actor is no start of the system
            options=config.journal,
        ),
    )


async def _wind_down(system: ActorSystem) -> None:
    """Finish what is queued and save a checkpoint; what cannot be finished in time is in the journal all the same."""
    with anyio.CancelScope(shield=True):
        if system.has_failed or system.log.has_failed:
            return  # nothing comes to rest any more: what is durable is all that can be saved
        if not await system.drain(DRAIN_MAX_S):
            logger.warning("messages were still flowing when the drain's time was over")
        try:
            await system.ask_inside(JOURNAL, SaveCheckpoint(reason="stop"), timeout_s=STOP_CHECKPOINT_MAX_S)
        except AgoraError as error:
            logger.warning("no checkpoint was saved at the stop", extra={"error": str(error)})
