"""One attempt of a completion, as a job of the router: call the provider once, and report.

Rules: an attempt reports exactly once, however it ends but by cancellation; a report that is told twice counts once.
The wait for a commit, where there was one, is part of the deadline. Of attempts that run beside each other, the first
to speak is heard.
"""

from collections.abc import Callable

import msgspec

from actors.providers.calls import Call, Flight
from actors.providers.dialect import ModelReply, ProviderFault, shorten
from actors.providers.replay import replayed
from actors.rules import schema, tooling
from actors.rules.cascade import ErrorClass
from actors.rules.recordings import Recordings
from actors.runtime import Job
from bus.address import Address
from bus.errors import DeadlinePassed, MailboxFull
from bus.messages.base import Command, CompletionId, Done, Message

REPORT_TIMEOUT_S = 30.0
"""How long an attempt waits for its report to be taken before it tells it again; it gets through in the end."""


class AttemptAnswered(Command[Done], frozen=True):
    """Sent by an attempt to its router: the provider has answered."""

    wire_name = "router.attempt_answered"

    completion: CompletionId
    attempt: int
    reply: ModelReply
    elapsed_s: float
    first_s: float | None = None
    """After how long the first words came, of an answer that was streamed."""


class AttemptFailed(Command[Done], frozen=True):
    """Sent by an attempt to its router: the provider has not answered."""

    wire_name = "router.attempt_failed"

    completion: CompletionId
    attempt: int
    error: ErrorClass
    reason: str
    retry_after_s: float
    elapsed_s: float
    first_s: float | None = None


class AttemptSpoke(Message, frozen=True):
    """Sent by an attempt to its router: its words are the first of a stream."""

    wire_name = "router.attempt_spoke"

    completion: CompletionId
    attempt: int


class Attempt(msgspec.Struct, frozen=True):
    """What an attempt needs to know. Times are seconds."""

    router: Address
    call: Call
    flight: Flight
    limit_s: float
    least_s: float
    """With less time than this before the deadline nothing is sent."""
    now_s: Callable[[], float]
    recordings: Recordings | None = None
    """Where answers come from when completions are replayed."""


async def attempt(job: Job, what: Attempt) -> None:
    """Call the provider once and report."""
    call, flight, now_s = what.call, what.flight, what.now_s
    begun_s = now_s()
    voice = _Voice(job, what, begun_s)
    limit_s = min(what.limit_s, call.deadline_s - begun_s)
    report: AttemptAnswered | AttemptFailed
    try:
        if limit_s < what.least_s:
            raise ProviderFault(ErrorClass.LATE, "the wait for the commit has used up the deadline; nothing was sent")
        if why := flight.seat.unfit(call):  # the settings may have changed while it waited for its commit
            raise ProviderFault(ErrorClass.LATE, shorten(f"{why}; nothing was sent"))
        reply = await _ask(what, limit_s, voice)
        report = AttemptAnswered(call.completion, flight.number, reply, now_s() - begun_s, voice.first_s)
    except ProviderFault as fault:
        report = AttemptFailed(
            call.completion,
            flight.number,
            fault.error,
            fault.reason,
            fault.retry_after_s,
            now_s() - begun_s,
            voice.first_s,
        )
    if job.report(report):
        return
    while True:
        try:
            await job.ask(what.router, report, timeout_s=REPORT_TIMEOUT_S, is_edge=False)
        except (DeadlinePassed, MailboxFull):
            continue  # both come after a wait
        return


class _Voice:
    """Takes the words of one attempt, and notes when the first of them came."""

    __slots__ = ("_begun_s", "_job", "_what", "first_s")

    def __init__(self, job: Job, what: Attempt, begun_s: float) -> None:
        self._job = job
        self._what = what
        self._begun_s = begun_s
        self.first_s: float | None = None

    def say(self, words: str) -> None:
        what = self._what
        if self.first_s is None:
            self.first_s = what.now_s() - self._begun_s
        if what.call.say(what.flight.number, words):
            self._job.tell(what.router, AttemptSpoke(what.call.completion, what.flight.number))


async def _ask(what: Attempt, limit_s: float, voice: _Voice) -> ModelReply:
    call, seat = what.call, what.flight.seat
    request, stream = call.request, call.stream
    if what.recordings is not None:
        recorded = await replayed(what.recordings, call, seat.name, limit_s)
        if recorded is not None:
            if stream is not None and recorded.text:
                voice.say(recorded.text)
            return recorded
    if call.texts is not None:
        return await seat.provider.embed(seat.texts(call.texts), limit_s=limit_s)
    if stream is not None and not request.schema:
        reply = await seat.provider.stream(seat.prompt(request, is_streamed=True), voice.say, limit_s=limit_s)
    else:
        reply = await seat.provider.complete(seat.prompt(request), limit_s=limit_s)
    if request.tools or reply.tool_calls:
        reply = msgspec.structs.replace(reply, tool_calls=tooling.kept(request, reply.tool_calls))
        if wrong := tooling.fault_of(request, reply.tool_calls):
            raise ProviderFault(ErrorClass.INVALID, shorten(wrong))
    if stream is not None and not request.schema:
        return reply
    if reply.tool_calls:
        return reply  # a schema is for what it says in the end
    if request.schema and (wrong := schema.fault_of(request.schema, reply.text)):
        raise ProviderFault(ErrorClass.INVALID, shorten(wrong))
    if stream is not None:
        call.say(what.flight.number, reply.text)  # in one piece: nobody reads what may yet turn out to be wrong
    return reply
