"""The settings of Agora: from a TOML file, then the environment, then the command line; the later one counts.

    agora.toml:  [web]            environment:  AGORA_WEB__PORT=8081           command line:  --port 8082
                 port = 8080

Rules: every setting is read by something; an unknown key, a value that makes no sense and settings that cannot go
together are refused, naming the file and line, the variable or the option, and the key. Secrets are no settings: a
provider's key is named by the environment variable that holds it.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import orjson

from actors.approvals import ApprovalsOptions
from actors.artifacts import ArtifactsOptions
from actors.coordinator import CoordinatorOptions
from actors.git.library import LIBRARY
from actors.journal_options import JournalOptions
from actors.ledger import LedgerOptions
from actors.logs import LogOptions
from actors.monitor import MonitorOptions
from actors.nodes import LightningOptions
from actors.personas import DEFAULT_PERSONAS
from actors.providers.settings import RouterOptions
from actors.rules import settings
from actors.rules.checkpoints import check_leave_out
from actors.rules.quotas import QuotasOptions
from actors.rules.settings import Tree
from actors.rules.webhooks import WebhookOptions
from actors.rules.webhooks import problem as webhook_problem
from actors.steps import AgentOptions
from actors.tracer import TracingOptions
from bus.errors import ConfigError
from bus.messages.agents import Persona
from bus.refusals import InvalidField
from web.options import WebOptions

PREFIX = "AGORA_"
SEPARATOR = "__"
FLAGS = {"data": "--data", "web.host": "--host", "web.port": "--port", "log.level": "--log-level"}
"""The settings that the command line takes, and as which option."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings. Each section is the options of the part that reads it."""

    data: str = "agora-data"
    """The directory that holds everything that lasts."""
    log: LogOptions = LogOptions()
    web: WebOptions = WebOptions()
    journal: JournalOptions = JournalOptions()
    coordinator: CoordinatorOptions = CoordinatorOptions()
    ledger: LedgerOptions = LedgerOptions()
    lightning: LightningOptions = LightningOptions()
    artifacts: ArtifactsOptions = ArtifactsOptions()
    router: RouterOptions = RouterOptions()
    agents: AgentOptions = AgentOptions()
    quotas: QuotasOptions = QuotasOptions()
    approvals: ApprovalsOptions = ApprovalsOptions()
    monitor: MonitorOptions = MonitorOptions()
    otel: TracingOptions = TracingOptions()
    webhooks: tuple[WebhookOptions, ...] = ()
    """Programs elsewhere that are told of events as they happen."""
    has_default_personas: bool = True
    """Whether the personas that come with Agora are there beside the configured ones."""
    personas: tuple[Persona, ...] = ()
    """Further agents; one with the name of a default persona takes its place."""

    @property
    def society(self) -> tuple[Persona, ...]:
        """The personas that make up the society, the default ones first."""
        own = {persona.name: persona for persona in self.personas}
        shipped = {persona.name: persona for persona in DEFAULT_PERSONAS if self.has_default_personas}
        return tuple((shipped | own).values())

    @property
    def hash(self) -> str:
        """SHA-256 over the canonical JSON of all settings, in hex: equal for equal settings, wherever they stand."""
        return hashlib.sha256(orjson.dumps(msgspec.to_builtins(self), option=orjson.OPT_SORT_KEYS)).hexdigest()


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """The settings in effect.

    `flags` are what the command line said, by path (`web.port`); the paths are those of `FLAGS`.

    Raises:
        ConfigError: a setting cannot be used.
    """
    return Settings(file, environment, flags).config


class Settings:
    """The settings in effect, and where each of them comes from."""

    def __init__(self, file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]) -> None:
        self._file = str(file) if file is not None else ""
        self._lines: dict[settings.Path, int] = {}
        self._tree: Tree = {}
        self._origins: dict[settings.Path, str] = {}
        if file is not None:
            self._read_file(file)
        self._read_environment(environment)
        for name, value in flags.items():
            self._put(tuple(name.split(".")), value, FLAGS[name])
        self.config = self._convert()
        self._refuse_impossible()

    def origin(self, path: settings.Path) -> str:
        """Where a setting comes from: `FILE:LINE`, a variable, an option, or `default`."""
        if not settings.holds(self._tree, path):
            return "default"
        for length in range(len(path), 0, -1):
            if path[:length] in self._origins:
                return self._origins[path[:length]]
            if path[:length] in self._lines:
                return f"{self._file}:{self._lines[path[:length]]}"
        return "default"

    def _read_file(self, file: Path) -> None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
            raise ConfigError(str(file), "the file", f"cannot be read: {reason}") from error
        try:
            self._tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line, reason = _syntax(str(error), text)
            raise ConfigError(f"{file}:{line}", "syntax", reason) from error
        self._lines = settings.lines_of(text)
        if (found := settings.unknown(Config, self._tree)) is not None:
            path, nearest = found
            raise ConfigError(self._where(path), settings.shown(path), _no_such(nearest))

    def _read_environment(self, environment: Mapping[str, str]) -> None:
        for name, text in sorted(environment.items()):
            if not name.startswith(PREFIX) or SEPARATOR not in name:
                continue
            path: settings.Path = tuple(name.removeprefix(PREFIX).lower().split(SEPARATOR))
            kind = settings.kind_of(Config, path)
            if kind is None:
                tree: Tree = {}
                settings.put(tree, path, text)
                found = settings.unknown(Config, tree)
                raise ConfigError(name, settings.shown(path), _no_such(found[1] if found else ""))
            if settings.is_section(kind):
                raise ConfigError(name, settings.shown(path), "it is a table; name one of its settings")
            try:
                value = settings.value_of(kind, text)
            except msgspec.DecodeError as error:
                reason = settings.blame(error)[1] if isinstance(error, msgspec.ValidationError) else str(error)
                raise ConfigError(name, settings.shown(path), reason) from error
            self._put(path, value, name)

    def _put(self, path: settings.Path, value: object, origin: str) -> None:
        settings.put(self._tree, path, value)
        self._origins[path] = origin

    def _convert(self) -> Config:
        try:
            return msgspec.convert(self._tree, Config)
        except msgspec.ValidationError as error:
            path, reason = settings.blame(error)
            raise ConfigError(self._where(path), settings.shown(path) or "settings", reason) from error

    def _refuse_impossible(self) -> None:
        config = self.config
        if not 0 <= config.web.port <= 65_535:
            self._refuse(("web", "port"), f"{config.web.port} is no port")
        if config.agents.heartbeat_s >= config.coordinator.lease_s:
            reason = f"a lease of {config.coordinator.lease_s:g} s (coordinator.lease_s) would run out before it"
            self._refuse(("agents", "heartbeat_s"), reason)
        try:
            check_leave_out(config.journal.checkpoint_leave_out)
        except InvalidField as error:
            self._refuse(("journal", "checkpoint_leave_out"), error.reason)
        repositories = {LIBRARY, *(one.name for one in config.approvals.changes.repositories)}
        for index, filing in enumerate(config.agents.filing):
            if filing.repository not in repositories:
                where = ("agents", "filing", index, "repository")
                self._refuse(where, f"there is no repository {filing.repository!r} in approvals.changes.repositories")
        if (found := webhook_problem(config.webhooks)) is not None:
            self._refuse(("webhooks", found[0], found[1]), found[2])
        if not config.society:
            self._refuse(("has_default_personas",), "without them and without personas nobody would ever bid")
        for index, persona in enumerate(config.personas):
            if persona.name in (before.name for before in config.personas[:index]):
                self._refuse(("personas", index, "name"), f"a persona before it is called {persona.name!r} too")
            self._check_persona(index, persona)

    def _check_persona(self, index: int, persona: Persona) -> None:
        if not _is_agent_name(persona.name):
            self._refuse(("personas", index, "name"), "it must be 1 to 64 of a-z, 0-9, - and _, as in an address")
        if not persona.capabilities:
            self._refuse(("personas", index, "capabilities"), "without one it could do no task that asks for any")
        for key, value, least in (
            ("price_msat", persona.price_msat, 1),
            ("price_per_1000_characters_msat", persona.price_per_1000_characters_msat, 0),
            ("concurrency_max", persona.concurrency_max, 1),
        ):
            if value < least:
                self._refuse(("personas", index, key), f"{value} is less than {least}")

    def _refuse(self, path: settings.Path, reason: str) -> None:
        raise ConfigError(self._where(path), settings.shown(path), reason)

    def _where(self, path: settings.Path) -> str:
        origin = self.origin(path)
        if origin != "default" or not self._file:
            return origin
        return f"{self._file}:{settings.nearest_line(self._lines, path)}"


def _no_such(nearest: str) -> str:
    return f"there is no such setting; did you mean {nearest!r}?" if nearest else "there is no such setting"


def _is_agent_name(name: str) -> bool:
    plain = name.replace("-", "").replace("_", "")
    return 1 <= len(name) <= 64 and plain.isascii() and plain.isalnum() and name == name.lower()


def _syntax(words: str, text: str) -> tuple[int, str]:
    """The line of a syntax error, which the parser tells in its words, and those words without it."""
    reason, _, place = words.rpartition(" (at ")
    if place.startswith("line "):
        return int(place.removeprefix("line ").partition(",")[0]), reason[:1].lower() + reason[1:]
    return max(1, len(text.splitlines())), (reason or words)[:1].lower() + (reason or words)[1:]
