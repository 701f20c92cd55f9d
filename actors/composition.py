"""The composition root: puts the parts together, starts them in order and stops them in reverse.

Start: open and verify the journal; fold all to the head; check conservation; arm timers again; start the agents; open
the intake, which is the web. Stop: refuse intake, drain, wait for the watermark, save a checkpoint, then stop in
reverse order.
"""

import logging
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import anyio
import msgspec

from actors.agent import Agent
from actors.artifacts import Artifacts
from actors.config import Config
from actors.coordinator import Coordinator
from actors.journal import Journal, JournalHistory, RunIdentity
from actors.ledger import Ledger
from actors.providers import ProviderOptions, discover, probe_http
from actors.router import Router, RouterOptions
from actors.runtime import ActorSystem, ChildSpec, GroupCommitLog
from bus.clock import SystemClock
from bus.codec import Catalogue
from bus.dice import Dice
from bus.errors import AgoraError
from bus.messages.agents import agent_address
from bus.messages.artifacts import ARTIFACTS
from bus.messages.base import AgentId, RunId
from bus.messages.catalogue import EVENTS
from bus.messages.completions import ROUTER
from bus.messages.ledger import LEDGER
from bus.messages.system import JOURNAL, SaveCheckpoint
from bus.messages.tasks import COORDINATOR
from storage.checkpoints import CheckpointStore
from storage.events import EventStore

logger = logging.getLogger(__name__)

MAIN_RUN = RunId("main")
"""The served society; other runs are processes of their own."""
DRAIN_MAX_S = 5.0
"""How long messages may go on flowing after a stop was asked for."""
STOP_CHECKPOINT_MAX_S = 15.0
SWITCH_INTERVAL_S = 0.0005
"""A busy loop gives the interpreter to the journal's thread this often; the default starves it (measured)."""


class Running(msgspec.Struct):
    """A society that runs in this process."""

    system: ActorSystem
    data: Path
    providers: tuple[ProviderOptions, ...]
    """The cascade in its order."""
    replayed: int
    """Events that were folded on top of the checkpoint."""


@asynccontextmanager
async def running(config: Config, environment: Mapping[str, str]) -> AsyncIterator[Running]:
    """Run the society of a data directory until the block ends.

    Raises StorageError when the directory cannot be used, and what a start raises.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    data = Path(config.data)
    clock = SystemClock()
    providers = config.router.providers or await discover(environment, probe_http)
    async with (
        EventStore.open(data, Catalogue(EVENTS), clock) as events,
        CheckpointStore.open(config.journal.checkpoints_in(data)) as checkpoints,
    ):
        checkpoint = await checkpoints.load_newest(events.holds)
        history = JournalHistory(events, checkpoint)
        log = GroupCommitLog(events, head=events.head, epoch=events.epoch, clock=clock)
        async with ActorSystem(log=log, history=history, clock=clock, dice=Dice(secrets.token_hex(8))) as system:
            journal = ChildSpec(
                JOURNAL,
                lambda: Journal(
                    events=events,
                    checkpoints=checkpoints,
                    history=history,
                    log=log,
                    snapshots=system.snapshots,
                    identity=RunIdentity(MAIN_RUN, config.hash, version("agora")),
                    options=config.journal,
                ),
            )
            await system.start(journal, *_society(config, providers, environment))
            replayed = events.head - (checkpoint.view.position if checkpoint is not None else 0)
            try:
                yield Running(system=system, data=data, providers=providers, replayed=replayed)
            finally:
                await _wind_down(system)


def _society(
    config: Config, providers: tuple[ProviderOptions, ...], environment: Mapping[str, str]
) -> tuple[ChildSpec, ...]:
    """Everyone but the journal, in start order: who is depended on comes first."""
    router = msgspec.structs.replace(config.router, providers=providers)
    return (
        ChildSpec(LEDGER, lambda: Ledger(config.ledger)),
        ChildSpec(ARTIFACTS, lambda: Artifacts(config.artifacts)),
        ChildSpec(COORDINATOR, lambda: Coordinator(config.coordinator)),
        ChildSpec(ROUTER, lambda: _router(router, environment)),
        *(_agent(config, AgentId(persona.name)) for persona in config.society),
    )


def _router(options: RouterOptions, environment: Mapping[str, str]) -> Router:
    return Router(options, environment)


def _agent(config: Config, agent: AgentId) -> ChildSpec:
    persona = next((persona for persona in config.society if persona.name == agent), None)
    return ChildSpec(agent_address(agent), lambda: Agent(agent, persona, config.agents))


async def _wind_down(system: ActorSystem) -> None:
    """Finish what is queued and save a checkpoint; what cannot be finished in time is in the journal all the same."""
    with anyio.CancelScope(shield=True):
        if system.log.has_failed:
            return
        if not await system.drain(DRAIN_MAX_S):
            logger.warning("messages were still flowing when the drain's time was over")
        try:
            await system.ask_inside(JOURNAL, SaveCheckpoint(reason="stop"), timeout_s=STOP_CHECKPOINT_MAX_S)
        except AgoraError as error:
            logger.warning("no checkpoint was saved at the stop", extra={"error": str(error)})
