"""The errors that Agora raises; every answer that says no is in `bus/refusals.py`.

The class says whose fault it was: a `Refused` is an answer, `Undeliverable` and `DeadlinePassed` concern the road,
`StorageError` the disk, `ProtocolViolation` a client, `ActorFault` a bug. Fields are plain values; the message is
built from them. `code` is the stable name that edges show.
"""

from typing import ClassVar


class AgoraError(Exception):
    """Base of every error raised here."""

    code: ClassVar[str] = "agora_error"


class Refused(AgoraError):
    """A rule said no. An expected answer: it goes back to the asker and never restarts an actor."""

    code = "refused"


class Undeliverable(AgoraError):
    """A message could not reach its actor."""

    code = "undeliverable"


class NoSuchActor(Undeliverable):
    """No actor has that address."""

    code = "no_such_actor"

    def __init__(self, address: str) -> None:
        super().__init__(f"no actor at {address!r}")
        self.address = address


class MailboxFull(Undeliverable):
    """The mailbox is at its bound and its policy refuses more."""

    code = "mailbox_full"

    def __init__(self, address: str, size_max: int) -> None:
        super().__init__(f"the mailbox of {address} is full ({size_max} messages)")
        self.address = address
        self.size_max = size_max


class ActorStopped(Undeliverable):
    """The actor stopped before it answered."""

    code = "actor_stopped"

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} has stopped")
        self.address = address


class AskCycle(Undeliverable):
    """The ask would wait for itself; `chain` lists who waits for whom."""

    code = "ask_cycle"

    def __init__(self, chain: tuple[str, ...]) -> None:
        super().__init__("an ask would wait for itself: " + " -> ".join(chain))
        self.chain = chain


class TooManyHops(Undeliverable):
    """A message was passed on more often than any honest chain needs."""

    code = "too_many_hops"

    def __init__(self, address: str, hops: int) -> None:
        super().__init__(f"a message to {address} has been passed on {hops} times")
        self.address = address
        self.hops = hops


class UnhandledMessage(Undeliverable):
    """The actor has no handler for messages of that class."""

    code = "unhandled_message"

    def __init__(self, address: str, message: str) -> None:
        super().__init__(f"{address} does not handle {message}")
        self.address = address
        self.message = message


class DeadlinePassed(AgoraError):
    """The answer did not come in time. What became of the request is unknown: retry with the same key."""

    code = "deadline_passed"

    def __init__(self, what: str, timeout_s: float) -> None:
        super().__init__(f"{what} did not answer within {timeout_s:g} s")
        self.what = what
        self.timeout_s = timeout_s


class ActorFault(AgoraError):
    """The handler raised something that is not a refusal: a bug. The actor is restarted; the asker gets this."""

    code = "actor_fault"

    def __init__(self, address: str, message: str, error: str) -> None:
        super().__init__(f"{address} failed while handling {message}: {error}")
        self.address = address
        self.message = message
        self.error = error


class ActorStuck(AgoraError):
    """A handler made no progress for its actor's declared time: a bug. The actor is restarted."""

    code = "actor_stuck"

    def __init__(self, address: str, message: str, stuck_after_s: float) -> None:
        super().__init__(f"{address} has made no progress with {message} for {stuck_after_s:g} s")
        self.address = address
        self.message = message
        self.stuck_after_s = stuck_after_s


class ActorKilled(AgoraError):
    """Someone let the actor fail on purpose. It is restarted as after a bug."""

    code = "actor_killed"

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} was killed")
        self.address = address


class SystemStopping(Undeliverable):
    """Intake is closed because the system is stopping (HTTP 503)."""

    code = "system_stopping"

    def __init__(self) -> None:
        super().__init__("the system is stopping and takes nothing new")


class StorageError(AgoraError):
    """The disk, or what is on it, is not what it should be."""

    code = "storage_error"
    is_passing: ClassVar[bool] = False
    """Whether waiting helps, such as for room on a full disk."""


class ConservationBroken(AgoraError):
    """The books do not add up: a bug or damage. Nothing may be moved on them; `problems` says what is off."""

    code = "conservation_broken"

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("the ledger's books do not add up: " + "; ".join(problems))
        self.problems = problems


class ConfigError(AgoraError):
    """A setting cannot be used; `where` is the file and line, or the environment variable."""

    code = "config_error"

    def __init__(self, where: str, key: str, reason: str) -> None:
        super().__init__(f"{where}: {key}: {reason}")
        self.where = where
        self.key = key
        self.reason = reason


class ProtocolViolation(AgoraError):
    """The client broke the wire contract; `close_code` is how its socket ends."""

    code = "protocol_violation"

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(reason)
        self.close_code = close_code
        self.reason = reason


class CannotListen(AgoraError):
    """The address cannot be listened on: the port is taken, or is not ours to take."""

    code = "cannot_listen"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"cannot listen on {where}: {reason}")
        self.where = where
        self.reason = reason


class BadUsage(AgoraError):
    """A command was given something that it cannot work on; nothing was done."""

    code = "bad_usage"


class NotServing(AgoraError):
    """No server runs on the data directory, and the command needs one."""

    code = "not_serving"

    def __init__(self, data: str) -> None:
        super().__init__(f"no server runs on {data}; start one with `agora serve`")
        self.data = data
