"""Who there is: every actor of a society, in the order in which they start.

Rules: who is depended on comes first; the journal before all, then the monitor, so that whoever is started after it
finds the switch as it was left; the broadcaster after all that it tells of. What they stand on is given: the disk and
its journal in a server, their twins where a society is simulated.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from actors import supervised
from actors.agent import Agent
from actors.approvals import Approvals
from actors.artifacts import Artifacts
from actors.broadcaster import Broadcaster, BroadcasterOptions
from actors.config import Config
from actors.coordinator import Coordinator
from actors.ledger import Ledger
from actors.lightning import Lightning
from actors.memory import Memory
from actors.monitor import Health, Monitor
from actors.nodes import open_node
from actors.providers import ProviderOptions
from actors.quotas import Quotas
from actors.router import Neighbours, Router
from actors.rules.quotas import has_limits
from actors.rules.visitors import JOIN
from actors.runtime import ActorSystem, ChildSpec, History, PersistentActor
from actors.scheduler import Scheduler
from actors.surroundings import ALONE, Around
from actors.triggers import Triggers
from actors.upgrades import Upgrades
from actors.visitors import Visitors
from actors.webhooks import Webhooks
from bus.address import Address
from bus.messages.agents import VISITORS, agent_address
from bus.messages.approvals import APPROVALS
from bus.messages.artifacts import ARTIFACTS
from bus.messages.base import AgentId
from bus.messages.completions import ROUTER
from bus.messages.ledger import LEDGER
from bus.messages.lightning import LIGHTNING
from bus.messages.memory import MEMORY
from bus.messages.monitor import MONITOR
from bus.messages.quotas import QUOTAS
from bus.messages.schedules import SCHEDULER
from bus.messages.system import BROADCASTER
from bus.messages.tasks import COORDINATOR
from bus.messages.triggers import TRIGGERS
from bus.messages.upgrades import UPGRADES
from bus.messages.webhooks import WEBHOOKS
from bus.switch import Switch
from web.hub import Hub

CHECKS_NAME = "checks"
"""Where the working trees of checks stand while they run."""
EMPTY: Mapping[str, str] = {}


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
    """Everyone, in start order."""
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


def _society(
    config: Config,
    providers: tuple[ProviderOptions, ...],
    environment: Mapping[str, str],
    switch: Switch,
    around: Around = ALONE,
) -> tuple[ChildSpec, ...]:
    """Those who do the work, in start order."""
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


def _monitor(
    config: Config,
    system: ActorSystem,
    switch: Switch,
    free_bytes: Callable[[], int] | None,
) -> ChildSpec:
    return ChildSpec(
        MONITOR,
        lambda: Monitor(
            config.monitor,
            switch,
            actors=lambda: [Health(one.address, one.oldest_s, one.parked_at) for one in system.statistics()],
            free_bytes=free_bytes,
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


def _agent(config: Config, agent: AgentId, switch: Switch) -> ChildSpec:
    persona = next((persona for persona in config.society if persona.name == agent), None)
    has_quotas = has_limits(config.quotas)
    return ChildSpec(agent_address(agent), lambda: Agent(agent, persona, config.agents, switch, has_quotas=has_quotas))


def _restart() -> None:
    """Ask the command that serves for a stop after which the process above starts it again."""
    os.kill(os.getpid(), signal.SIGUSR1)
