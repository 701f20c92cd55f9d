"""What is kept of a completion, and how it reads.

Rules: what is kept in full is redacted word by word; of a request marked `local`, and where only the trace is kept, no
word of the prompt or of an answer is, but what happened is. A request is known by its hash either way, which is taken
from what was really asked. A readable page tells the same as the record, in the order in which it happened.

Pure.
"""

import re
from collections.abc import Callable, Sequence

import msgspec

from actors.rules.recordings import request_hash
from actors.rules.redaction import Redactor
from bus.messages.base import Microseconds, RunId
from bus.messages.transcripts import AttemptTrace, Transcript, TranscriptRow, TranscriptSummary

ONLY_TRACE = "only the trace is kept (`router.log`)"
IS_LOCAL = "it was marked local (`router.log_local`)"
DAY_CHARACTERS = 10
"""Of a time as ISO 8601 has it."""
TimeOf = Callable[[Microseconds], str]
"""A time as ISO 8601 has it, UTC."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class Keeping(msgspec.Struct, frozen=True):
    """What may be kept."""

    has_words: bool = True
    is_local_kept: bool = False


def redacted(transcript: Transcript, keeping: Keeping, redactor: Redactor, run: RunId) -> Transcript:
    """The completion as it may be kept."""
    request = transcript.request
    assert request is not None, "what the router tells is whole"
    withheld = ""
    if not keeping.has_words:
        withheld = ONLY_TRACE
    elif request.privacy == "local" and not keeping.is_local_kept:
        withheld = IS_LOCAL
    attempts = tuple(_attempt(one, redactor, withheld) for one in transcript.attempts)
    kept = None
    if not withheld:
        kept = msgspec.convert(redactor.tree(msgspec.to_builtins(request)), type(request))
    return msgspec.structs.replace(
        transcript,
        run=run,
        request=kept,
        request_hash=request_hash(request, transcript.dimensions),
        attempts=attempts,
        reason=redactor.text(transcript.reason),
        withheld=withheld,
    )


def rows(
    transcripts: Sequence[Transcript], keeping: Keeping, redactor: Redactor, run: RunId, time_of: TimeOf
) -> tuple[list[TranscriptRow], list[tuple[str, str]]]:
    """Completions as they are stored; and as they read, each with the file that it belongs to."""
    found: list[TranscriptRow] = []
    readable: list[tuple[str, str]] = []
    for transcript in transcripts:
        kept = redacted(transcript, keeping, redactor, run)
        summary = msgspec.json.encode(summary_of(kept))
        found.append(
            TranscriptRow(kept.completion, kept.asked_us, kept.agent, kept.task, summary, msgspec.json.encode(kept))
        )
        time = time_of(kept.asked_us)
        readable.append((file_of(kept, time), page_of(kept, time)))
    return found, readable


def summary_of(transcript: Transcript) -> TranscriptSummary:
    """The completion at a glance."""
    return TranscriptSummary(
        completion=transcript.completion,
        agent=transcript.agent,
        task=transcript.task,
        asked_us=transcript.asked_us,
        elapsed_s=transcript.elapsed_s,
        ending=transcript.ending,
        provider=transcript.provider,
        attempts=len(transcript.attempts),
        cost_usd_micros=transcript.cost_usd_micros,
    )


def file_of(transcript: Transcript, time: str) -> str:
    """Where a completion is written to be read: by run, agent and day (UTC)."""
    return f"{_plain(transcript.run)}/{_plain(transcript.agent)}/{time[:DAY_CHARACTERS]}.md"


def page_of(transcript: Transcript, time: str) -> str:
    """The completion as a person reads it, in Markdown."""
    task = f" for {transcript.task}" if transcript.task else ""
    lines = [
        f"## {transcript.completion}{task}: {transcript.ending}",
        "",
        f"{time}, {transcript.elapsed_s:.3f} s, {transcript.cost_usd_micros / 1e6:.6f} USD",
        "",
    ]
    for one in transcript.attempts:
        beside = ", beside the one before" if one.is_hedge else ""
        reason = f": {one.reason}" if one.reason else ""
        lines.append(
            f"{one.number}. {one.provider} ({one.model}), {one.began_s:.3f} to {one.ended_s:.3f} s{beside}: "
            f"{one.outcome}{reason}"
        )
    if transcript.withheld:
        lines += ["", f"The words are not kept: {transcript.withheld}."]
    if transcript.request is not None:
        for message in transcript.request.messages:
            lines += ["", f"### {message.role}", "", str(message.content)]
    answer = next((one.answer for one in transcript.attempts if one.answer is not None), None)
    if answer is not None:
        lines += ["", f"### answer of {transcript.provider}", "", str(answer.get("text", ""))]
    elif transcript.reason:
        lines += ["", f"No answer: {transcript.reason}"]
    return "\n".join(lines) + "\n\n"


def _attempt(trace: AttemptTrace, redactor: Redactor, withheld: str) -> AttemptTrace:
    answer = None
    if trace.answer is not None and not withheld:
        answer = {name: redactor.tree(value) for name, value in trace.answer.items()}
    return msgspec.structs.replace(trace, reason=redactor.text(trace.reason), answer=answer)


def _plain(name: str) -> str:
    """A name that is safe in a path."""
    return _UNSAFE.sub("_", name) or "_"
