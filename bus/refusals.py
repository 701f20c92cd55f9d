"""Every way in which Agora says no: the refusals, each an expected answer with the fields that explain it.

A rule raises one, the runtime carries it back to the asker, and an edge shows its `code` and the HTTP status that its
docstring names. None of them restarts an actor.
"""

from bus.errors import Refused


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

    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        super().__init__(f"no {kind} is called {name!r}{'; ' if hint else ''}{hint}")
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


class WrongPreimage(Refused):
    """A preimage does not hash to the invoice's payment hash: it proves no payment (HTTP 422)."""

    code = "wrong_preimage"

    def __init__(self, invoice: str) -> None:
        super().__init__(f"the preimage is not that of invoice {invoice}: its SHA-256 is not the payment hash")
        self.invoice = invoice


class NodeFailed(Refused):
    """The Lightning backend gave no usable answer (HTTP 502)."""

    code = "node_failed"

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(f"{backend}: {reason}")
        self.backend = backend
        self.reason = reason


class BudgetExhausted(Refused):
    """A money budget cannot cover the call; nothing was sent (HTTP 402)."""

    code = "budget_exhausted"

    def __init__(self, budget: str, left_usd_micros: int, needed_usd_micros: int) -> None:
        what = f"has {left_usd_micros} USD micros left; {needed_usd_micros} are needed"
        if needed_usd_micros <= left_usd_micros:  # a call before it needed more, and what is spent stays so
            what = "is spent until there is more of it"
        super().__init__(f"budget {budget} {what}")
        self.budget = budget
        self.left_usd_micros = left_usd_micros
        self.needed_usd_micros = needed_usd_micros


class QuotaExhausted(Refused):
    """An agent's quota has no room for what it would use; nothing was used (HTTP 429).

    `retry_after_s` says when there will be room; 0 means never, since it is more than the quota itself. `policy` says
    whether the agent shall wait or skip what it has in hand.
    """

    code = "quota_exhausted"

    def __init__(
        self,
        agent: str,
        resource: str,
        used: int,
        limit: int,
        wanted: int,
        *,
        retry_after_s: float = 0.0,
        policy: str = "wait",
    ) -> None:
        when = f"; there is room in {retry_after_s:.0f} s" if retry_after_s else ""
        super().__init__(f"{agent} has used {used} of {limit} {resource}; {wanted} more do not fit{when}")
        self.agent = agent
        self.resource = resource
        self.used = used
        self.limit = limit
        self.wanted = wanted
        self.retry_after_s = retry_after_s
        self.policy = policy


class MemoryFull(Refused):
    """There is no room for another fact: some have to end, or to be corrected instead (HTTP 422)."""

    code = "memory_full"

    def __init__(self, whose: str, what: str) -> None:
        super().__init__(f"{whose} holds {what}, which is the most; correct or end a fact instead")
        self.whose = whose
        self.what = what


class Halted(Refused):
    """Everything was halted by an operator; it goes on when somebody resumes it (HTTP 503)."""

    code = "halted"

    def __init__(self) -> None:
        super().__init__("all is halted; nothing new begins until an operator resumes it")


class IntakePaused(Refused):
    """The journal waits for the disk, such as for room on a full one; it goes on by itself (HTTP 507)."""

    code = "intake_paused"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the journal cannot be written ({reason}); nothing new is taken until it can, and nothing that was "
            "acknowledged is lost"
        )
        self.reason = reason


class CheckpointNotSaved(Refused):
    """A checkpoint could not be written; the run goes on, and the next one is tried as ever (HTTP 503)."""

    code = "checkpoint_not_saved"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the checkpoint was not saved: {reason}; the run goes on without it")
        self.reason = reason


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


class AllProvidersThrottled(AllProvidersFailed):
    """Whoever could answer is left alone for a while, as he asked or his limits say; try again after `retry_after_s`
    (HTTP 429)."""

    code = "all_providers_throttled"

    def __init__(self, attempts: tuple[str, ...], retry_after_s: float) -> None:
        super().__init__(attempts)
        self.retry_after_s = retry_after_s


class NoTimeLeft(AllProvidersFailed):
    """The deadline was over before any provider had answered; `attempts` says who was tried (HTTP 504)."""

    code = "no_time_left"


class NotCapable(Refused):
    """No provider of the cascade declares what the request needs (HTTP 422)."""

    code = "not_capable"

    def __init__(self, capability: str, reason: str) -> None:
        super().__init__(f"no provider can serve this: {capability} ({reason})")
        self.capability = capability
        self.reason = reason


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


class NotRecorded(Refused):
    """Completions are replayed, and none was recorded for this request; nobody was asked (HTTP 404)."""

    code = "not_recorded"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SettingsUnusable(Refused):
    """Settings that were to be read again cannot be used; everything is as it was (HTTP 422)."""

    code = "settings_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
