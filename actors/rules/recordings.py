"""What was answered before, to be answered again.

Rules: requests are the same when all that shapes the answer is the same: the messages, the model that was wished for,
the bounds, the schema, and whether it is to be words or vectors; not who asked, why, or how long there was time. The
attempts at one provider for one request are given again in their order, what failed as it failed; after the last of
them the last one is given again. A provider that has no attempt of its own gives an answer that another one gave. Where
there is neither, nothing was recorded.

Pure: the recordings are handed in.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from bus.messages.completions import Complete
from bus.messages.transcripts import AttemptTrace, Transcript

WHO_ASKED = {
    "agent": "",
    "task": "",
    "deadline_s": 0.0,
    "privacy": "any",
    "may_restart": False,
    "ticket": "",
    "hedge_after_s": 0.0,
    "is_shown": False,
}
"""What of a request does not shape its answer, at values that say nothing."""
NO_TRIAL = ("cancelled", "outrun", "late", "unrecorded")
"""How an attempt ends that says nothing of what the provider would have answered."""

_encoder = msgspec.json.Encoder(order="sorted")


def request_hash(request: Complete, dimensions: int | None = None) -> str:
    """SHA-256 over what shapes the answer, in hex; of vectors with their length, 0 for the model's own."""
    shape = msgspec.structs.replace(request, **WHO_ASKED)
    return hashlib.sha256(_encoder.encode(shape if dimensions is None else (shape, dimensions))).hexdigest()


class Recordings:
    """Recorded attempts. Each one that is given moves on to the next of its kind."""

    def __init__(self, transcripts: Iterable[Transcript], *, asks_on: bool = False, takes_time: bool = False) -> None:
        self.asks_on = asks_on
        """Whether a request that was not recorded goes on to the provider itself."""
        self.takes_time = takes_time
        """Whether an answer takes as long as it took."""
        self._attempts: dict[tuple[str, str], list[AttemptTrace]] = {}
        self._answers: dict[str, list[AttemptTrace]] = {}
        self._given: dict[tuple[str, str], int] = {}
        self.completions = 0
        for transcript in transcripts:
            self.completions += 1
            for trace in transcript.attempts:
                self._add(transcript.request_hash, trace)

    def next(self, hash_: str, provider: str) -> AttemptTrace | None:
        """What this provider does with the request this time; None when nothing was recorded."""
        key = (hash_, provider)
        recorded = self._attempts.get(key) or self._answers.get(hash_)
        if not recorded:
            return None
        given = self._given.get(key, 0)
        self._given[key] = given + 1
        return recorded[min(given, len(recorded) - 1)]

    def _add(self, hash_: str, trace: AttemptTrace) -> None:
        if trace.outcome in NO_TRIAL or (trace.outcome == "ok" and trace.answer is None):
            return
        self._attempts.setdefault((hash_, trace.provider), []).append(trace)
        if trace.outcome == "ok":
            self._answers.setdefault(hash_, []).append(trace)
