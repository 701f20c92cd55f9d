"""The composition root: puts the parts together, starts them in order and stops them in reverse.

Start: open and verify the journal; fold all to the head; check conservation; arm timers again; start the agents; open
the intake, which is the web. Stop: refuse intake, drain, wait for the watermark, save a checkpoint, then stop in
reverse order.
"""

import gc
import logging
import os
import secrets
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from actors import interpreter, supervised
from actors.agent import Agent
from actors.approvals import Approvals
from actors.artifacts import Artifacts
from actors.broadcaster import Broadcaster, BroadcasterOptions
from actors.config import Config
from actors.coordinator import Coordinator
from actors.history import JournalHistory, former_agents
from actors.journal import Journal, RunIdentity
from actors.ledger import Ledger
from actors.lightning import Lightning
from actors.memory import Memory
from actors.monitor import Health, Monitor
from actors.nodes import check_key, open_node
from actors.providers import ProviderOptions, discover, probe_http
from actors.quotas import Quotas
from actors.router import Neighbours, Router
from actors.rules.quotas import has_limits
from actors.rules.visitors import JOIN
from actors.runtime import ActorSystem, ChildSpec, GroupCommitLog, History, PersistentActor
from actors.runtime.lifecycle import Lifecycle
from actors.scheduler import Scheduler
from actors.surroundings import ALONE, Around, Reread, surroundings
from actors.tracer import TRACER, OpenExporter, Tracer, exporter_of
from actors.triggers import Triggers
from actors.upgrades import Upgrades
from actors.visitors import Visitors
from actors.webhooks import Webhooks, keys_of
from bus.address import Address
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.dice import Dice
from bus.errors import AgoraError
from bus.messages.agents import VISITORS, agent_address
from bus.messages.approvals import APPROVALS
from bus.messages.artifacts import ARTIFACTS
from bus.messages.base import MAIN_RUN, AgentId
from bus.messages.catalogue import EVENTS
from bus.messages.completions import ROUTER
from bus.messages.ledger import LEDGER
from bus.messages.lightning import LIGHTNING
from bus.messages.memory import MEMORY
from bus.messages.monitor import MONITOR
from bus.messages.quotas import QUOTAS
from bus.messages.schedules import SCHEDULER
from bus.messages.system import BROADCASTER, JOURNAL, EventsCommitted, SaveCheckpoint, SystemStarted
from bus.messages.tasks import COORDINATOR
from bus.messages.triggers import TRIGGERS
from bus.messages.upgrades import UPGRADES
from bus.messages.webhooks import WEBHOOKS
from bus.switch import Switch
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
CHECKS_NAME = "checks"
"""Where the working trees of checks stand while they run."""
TOKENS_NAME = "tokens.json"
AGORA_VERSION = version("agora")
"""Read at import: it looks at files, which the loop must not wait for."""
DRAIN_MAX_S = 5.0
"""How long messages may go on flowing after a stop was asked for."""
STOP_CHECKPOINT_MAX_S = 15.0
EMPTY: Mapping[str, str] = {}
STUCK_AFTER_S = 30.0
"""A message that waits longer in the mailbox of a running actor means that the actor stands still."""
WATERMARK_AGE_MAX_S = 5.0
"""Events that wait longer for the disk mean that it stands still."""


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


def population(
    config: Config,
    *,
    system: ActorSystem,
    journal: ChildSpec,
    history: History,
    hub: Hub,
    providers: tuple[ProviderOptions, ...] = (),
    environment: Mapping[str, str] = EMPTY,
    former: Sequence[AgentId] = (),
    free_bytes: Callable[[], int] | None = None,
    around: Around = ALONE,
) -> tuple[ChildSpec, ...]:
    """Everyone, in start order: who is depended on comes first.

    What they stand on is given: the disk and its journal here, their twins where a society is simulated.
    """
    switch = Switch()
    return (
        journal,
        _monitor(config, system, switch, free_bytes),
        *around.before,
        *_society(config, providers, environment, switch, around),
        ChildSpec(TRIGGERS, lambda: Triggers(system.catch_up, system.log.committed)),
        *[_agent(config, agent, switch) for agent in former],
        _broadcaster(config, providers, history, system, hub),
        *around.after,
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


def _broadcaster(
    config: Config, providers: tuple[ProviderOptions, ...], history: History, system: ActorSystem, hub: Hub
) -> ChildSpec:
    options = BroadcasterOptions(
        providers=tuple(provider.name for provider in providers),
        budget_run_usd_micros=config.router.budget_run_usd_micros,
        budget_day_usd_micros=config.router.budget_day_usd_micros,
    )
    return ChildSpec(BROADCASTER, lambda: Broadcaster(hub, history, system.log, options))


def complaints_of(system: ActorSystem) -> list[str]:
    """Why the society is not ready, one line each."""
    actors = system.statistics()
    parked = [actor for actor in actors if actor.parked_at]
    found = [f"{actor.address} is parked at position {actor.parked_at}" for actor in parked]
    found += [
        f"{actor.address} is stuck: a message has waited for {actor.oldest_s:.0f} s"
        for actor in actors
        if actor.oldest_s > STUCK_AFTER_S and actor.state is Lifecycle.RUNNING
    ]
    if system.log.has_failed:
        found.append("the journal cannot be written")
    if (stalled := system.log.stalled) is not None:
        found.append(f"the journal waits for the disk ({stalled.code.replace('_', ' ')}): the intake is paused")
    elif system.log.watermark_age_s > WATERMARK_AGE_MAX_S and not system.log.has_failed:
        found.append(f"events have waited {system.log.watermark_age_s:.0f} s for the disk")
    return found


def _society(
    config: Config,
    providers: tuple[ProviderOptions, ...],
    environment: Mapping[str, str],
    switch: Switch,
    around: Around = ALONE,
) -> tuple[ChildSpec, ...]:
    """Everyone but the journal and the monitor, in start order: who is depended on comes first."""
    router = msgspec.structs.replace(config.router, providers=providers)
    known, recordings = Neighbours(ledger=LEDGER, log=around.log, audience=BROADCASTER), around.recordings
    data, is_supervised = Path(config.data).absolute(), supervised.ENVIRONMENT in environment
    return (
        ChildSpec(LEDGER, lambda: Ledger(config.ledger)),
        ChildSpec(LIGHTNING, lambda: Lightning(config.lightning, open_node(config.lightning, environment))),
        ChildSpec(QUOTAS, lambda: Quotas(config.quotas)),
        ChildSpec(ARTIFACTS, lambda: Artifacts(config.artifacts)),
        ChildSpec(MEMORY, Memory),
        ChildSpec(COORDINATOR, lambda: Coordinator(config.coordinator, switch)),
        ChildSpec(ROUTER, lambda: Router(router, environment, switch, neighbours=known, recordings=recordings)),
        ChildSpec(APPROVALS, lambda: Approvals(config.approvals, data / CHECKS_NAME, is_supervised=is_supervised)),
        ChildSpec(
            UPGRADES,
            lambda: Upgrades(
                data,
                ready_within_s=config.approvals.changes.ready_within_s,
                restart=_restart if is_supervised else None,
            ),
        ),
        ChildSpec(SCHEDULER, Scheduler),
        ChildSpec(WEBHOOKS, lambda: Webhooks(config.webhooks, environment)),
        ChildSpec(
            VISITORS,
            lambda: Visitors(
                frozenset(AgentId(persona.name) for persona in config.society),
                is_asked=any(policy.kind == JOIN for policy in config.approvals.policies),
            ),
        ),
        *(_agent(config, AgentId(persona.name), switch) for persona in config.society),
    )


def persistent_actor(config: Config, address: Address) -> PersistentActor[msgspec.Struct] | None:
    """The actor of an address as it was before any event, outside any system: to fold its events, or to ask its state.

    None for what is not a persistent actor.
    """
    switch = Switch()
    specs = {spec.address: spec for spec in _society(config, (), {}, switch)}
    specs[MONITOR] = ChildSpec(MONITOR, lambda: Monitor(config.monitor, switch))
    specs[TRIGGERS] = ChildSpec(TRIGGERS, Triggers)
    agent = AgentId(address.removeprefix("agents/"))
    spec = specs.get(address) or (_agent(config, agent, switch) if address == agent_address(agent) else None)
    actor = spec.factory() if spec is not None else None
    if not isinstance(actor, PersistentActor):
        return None
    actor.state = actor.initial()
    return actor


def _monitor(
    config: Config,
    system: ActorSystem,
    switch: Switch,
    free_bytes: Callable[[], int] | None,
) -> ChildSpec:
    """The monitor comes first: whoever is started after it finds the switch as it was left."""
    return ChildSpec(
        MONITOR,
        lambda: Monitor(
            config.monitor,
            switch,
            actors=lambda: [Health(one.address, one.oldest_s, one.parked_at) for one in system.statistics()],
            free_bytes=free_bytes,
        ),
    )


def _restart() -> None:
    """Ask the command that serves for a stop after which the process above starts it again."""
    os.kill(os.getpid(), signal.SIGUSR1)


def _agent(config: Config, agent: AgentId, switch: Switch) -> ChildSpec:
    persona = next((persona for persona in config.society if persona.name == agent), None)
    has_quotas = has_limits(config.quotas)
    return ChildSpec(agent_address(agent), lambda: Agent(agent, persona, config.agents, switch, has_quotas=has_quotas))


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
