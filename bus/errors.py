"""Every error that Agora raises.

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


class IllegalTransition(Refused):
    """The subject's state does not allow the command (HTTP 409)."""

    code = "illegal_transition"

    def __init__(self, subject: str, state: str, command: str) -> None:
        super().__init__(f"{subject} is {state}; it cannot be {command}")
        self.subject = subject
        self.state = state
        self.command = command


class NotFound(Refused):
    """Nothing with that id is known (HTTP 404)."""

    code = "not_found"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no {kind} is called {name!r}")
        self.kind = kind
        self.name = name


class InvalidField(Refused):
    """A field's value makes no sense; `path` names it (HTTP 422)."""

    code = "invalid_field"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class InsufficientFunds(Refused):
    """An account cannot cover an amount (HTTP 402)."""

    code = "insufficient_funds"

    def __init__(self, account: str, available: int, needed: int, currency: str) -> None:
        super().__init__(f"{account} has {available} {currency} available; {needed} are needed")
        self.account = account
        self.available = available
        self.needed = needed
        self.currency = currency


class IdempotencyConflict(Refused):
    """An id was used before with other fields (HTTP 409)."""

    code = "idempotency_conflict"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was used before with other fields")
        self.name = name


class NotEligible(Refused):
    """An agent may not bid on a task now: it is away, cannot do it, or has its hands full (HTTP 422)."""

    code = "not_eligible"

    def __init__(self, agent: str, task: str, reason: str) -> None:
        super().__init__(f"{agent} cannot bid on task {task}: {reason}")
        self.agent = agent
        self.task = task
        self.reason = reason


class LeaseNotHeld(IllegalTransition):
    """The attempt that an agent speaks for is not its own, or no longer (HTTP 409)."""

    code = "lease_not_held"

    def __init__(self, agent: str, task: str, attempt: int, command: str) -> None:
        super().__init__(f"attempt {attempt} of task {task}", f"not held by {agent}", command)
        self.agent = agent
        self.task = task
        self.attempt = attempt


class BudgetExhausted(Refused):
    """A money budget cannot cover the call; nothing was sent (HTTP 402)."""

    code = "budget_exhausted"

    def __init__(self, budget: str, left_usd_micros: int, needed_usd_micros: int) -> None:
        super().__init__(f"budget {budget} has {left_usd_micros} USD micros left; {needed_usd_micros} are needed")
        self.budget = budget
        self.left_usd_micros = left_usd_micros
        self.needed_usd_micros = needed_usd_micros


class Halted(Refused):
    """Everything was halted by an operator; it goes on when somebody resumes it (HTTP 503)."""

    code = "halted"

    def __init__(self) -> None:
        super().__init__("all is halted; nothing new begins until an operator resumes it")


class Overloaded(Refused):
    """A limit is reached; try again after `retry_after_s` (HTTP 429)."""

    code = "overloaded"

    def __init__(self, what: str, retry_after_s: float) -> None:
        super().__init__(f"{what} is overloaded; try again in {retry_after_s:.1f} s")
        self.what = what
        self.retry_after_s = retry_after_s


class AllProvidersFailed(Refused):
    """No provider of the cascade gave an answer; `attempts` says why each did not (HTTP 502)."""

    code = "all_providers_failed"

    def __init__(self, attempts: tuple[str, ...]) -> None:
        super().__init__("no provider answered: " + ("; ".join(attempts) or "none is configured"))
        self.attempts = attempts


class RequestRejected(Refused):
    """A provider said that the request itself is wrong; no other provider is asked (HTTP 422)."""

    code = "request_rejected"

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(f"{provider} rejected the request: {reason}")
        self.provider = provider
        self.reason = reason


class StreamBroken(Refused):
    """A streamed answer ended in the middle; `text` is what had arrived (HTTP 502)."""

    code = "stream_broken"

    def __init__(self, provider: str, reason: str, text: str) -> None:
        super().__init__(f"the answer of {provider} broke off after {len(text)} characters: {reason}")
        self.provider = provider
        self.reason = reason
        self.text = text


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


class NotAuthenticated(Refused):
    """Nobody is known by the token or session, or none was given where one is needed (HTTP 401)."""

    code = "not_authenticated"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotPermitted(Refused):
    """The principal lacks the scope, or the request comes from where none may come (HTTP 403)."""

    code = "not_permitted"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Malformed(Refused):
    """The bytes are not what they should be, such as JSON (HTTP 400)."""

    code = "malformed"

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class TooLarge(Refused):
    """More bytes than the limit allows (HTTP 413)."""

    code = "too_large"

    def __init__(self, what: str, bytes_max: int) -> None:
        super().__init__(f"{what} is larger than {bytes_max} bytes")
        self.what = what
        self.bytes_max = bytes_max


class StaleEpoch(Refused):
    """A position belongs to another history than the one that is served; begin anew (close code 4409)."""

    code = "stale_epoch"

    def __init__(self, asked: int, served: int) -> None:
        super().__init__(f"epoch {asked} is not served any more; the epoch is {served}")
        self.asked = asked
        self.served = served


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


class WorkFailed(AgoraError):
    """A command did its part and the work came to nothing; the reason has been said in full."""

    code = "work_failed"


class NotServing(AgoraError):
    """No server runs on the data directory, and the command needs one."""

    code = "not_serving"

    def __init__(self, data: str) -> None:
        super().__init__(f"no server runs on {data}; start one with `agora serve`")
        self.data = data


class StaleDecision(IllegalTransition):
    """A decision was made on another version of the proposal than the one that stands (HTTP 409)."""

    code = "stale_decision"

    def __init__(self, proposal: str, what: str, given: str, actual: str) -> None:
        super().__init__(f"proposal {proposal}", f"at {what} {actual or 'none'}, not {given or 'none'}", "decided")
        self.proposal = proposal
        self.what = what


class OwnProposal(NotPermitted):
    """A proposer wants to approve what it has proposed itself (HTTP 403)."""

    code = "own_proposal"


class ForbiddenByPolicy(NotPermitted):
    """The policies let nobody do this, whoever approves (HTTP 403)."""

    code = "forbidden_by_policy"


class ChangeRefused(Refused):
    """A change to a repository cannot be worked out, checked or applied; everything is as it was (HTTP 422)."""

    code = "change_refused"
