"""One attempt of a completion, as a job of the router: call the provider once, and report.

Rules: an attempt reports exactly once, however it ends but by cancellation; a report that is told twice counts once.
The wait for a commit, where there was one, is part of the deadline.
"""

from collections.abc import Callable

import msgspec

from actors.providers.calls import Call
from actors.providers.dialect import ModelReply, ProviderFault, shorten
from actors.providers.seats import Seat
from actors.rules import schema
from actors.rules.cascade import ErrorClass
from actors.runtime import Job
from bus.address import Address
from bus.errors import DeadlinePassed, MailboxFull
from bus.messages.base import Command, CompletionId, Done

REPORT_TIMEOUT_S = 30.0
"""How long an attempt waits for its report to be taken before it tells it again; it gets through in the end."""


class AttemptAnswered(Command[Done], frozen=True):
    """Sent by an attempt to its router: the provider has answered."""

    wire_name = "router.attempt_answered"

    completion: CompletionId
    attempt: int
    reply: ModelReply
    elapsed_s: float


class AttemptFailed(Command[Done], frozen=True):
    """Sent by an attempt to its router: the provider has not answered."""

    wire_name = "router.attempt_failed"

    completion: CompletionId
    attempt: int
    error: ErrorClass
    reason: str
    retry_after_s: float
    elapsed_s: float


class Attempt(msgspec.Struct, frozen=True):
    """What an attempt needs to know. Times are seconds."""

    router: Address
    call: Call
    seat: Seat
    limit_s: float
    least_s: float
    """With less time than this before the deadline nothing is sent."""
    now_s: Callable[[], float]


async def attempt(job: Job, what: Attempt) -> None:
    """Call the provider once and report."""
    call, seat, now_s = what.call, what.seat, what.now_s
    number = call.attempts
    begun_s = now_s()
    limit_s = min(what.limit_s, call.deadline_s - begun_s)
    report: AttemptAnswered | AttemptFailed
    try:
        if limit_s < what.least_s:
            raise ProviderFault(ErrorClass.LATE, "the wait for the commit has used up the deadline; nothing was sent")
        reply = await _ask(call, seat, limit_s)
        report = AttemptAnswered(call.completion, number, reply, now_s() - begun_s)
    except ProviderFault as fault:
        elapsed_s = now_s() - begun_s
        report = AttemptFailed(call.completion, number, fault.error, fault.reason, fault.retry_after_s, elapsed_s)
    while True:
        try:
            await job.ask(what.router, report, timeout_s=REPORT_TIMEOUT_S, is_edge=False)
        except (DeadlinePassed, MailboxFull):
            continue  # both come after a wait
        return


async def _ask(call: Call, seat: Seat, limit_s: float) -> ModelReply:
    assert not seat.unfit(call), "who may not have a request is never sent it"
    request, stream = call.request, call.stream
    if stream is not None and not request.schema:
        return await seat.provider.stream(seat.prompt(request, is_streamed=True), stream.say, limit_s=limit_s)
    reply = await seat.provider.complete(seat.prompt(request), limit_s=limit_s)
    if request.schema and (wrong := schema.fault_of(request.schema, reply.text)):
        raise ProviderFault(ErrorClass.INVALID, shorten(wrong))
    if stream is not None:
        stream.say(reply.text)  # in one piece: nobody reads what may yet turn out to be wrong
    return reply
