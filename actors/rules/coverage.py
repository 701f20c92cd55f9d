"""How far the newest checkpoint reaches, and what there has been since.

Rules: a checkpoint covers a position and a step; when the next is due is measured from there, and from the time at
which it was saved. Steps are counted from the journal at a start, and those that are committed meanwhile exactly once.

Pure: the time arrives as an argument, in seconds of one clock that never goes back.
"""

from collections.abc import Sequence

from actors.rules.checkpoints import Schedule, Since, is_due, next_look_s
from bus.messages.base import Position


class Coverage:
    """Of one system."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._early_steps: list[Position] | None = []
        """Committed while those before are being counted; None once they are."""
        self.step = 0
        """How many there have been in all."""
        self._covered = Position(0)
        self._covered_step = 0
        self._saved_s = 0.0
        self._failed_s: float | None = None

    def begin(self, now_s: float) -> None:
        """The system starts: time without a checkpoint counts from here."""
        self._saved_s = now_s

    def note_saved(self, position: Position, step: int, now_s: float) -> None:
        """A checkpoint stands on the position."""
        self._covered, self._covered_step = position, step
        self._saved_s, self._failed_s = now_s, None

    def note_failed(self, now_s: float) -> None:
        """A checkpoint could not be saved."""
        self._failed_s = now_s

    def note_steps(self, steps: Sequence[Position]) -> None:
        """These events of a commit were steps."""
        if self._early_steps is None:
            self.step += len(steps)
        else:
            self._early_steps.extend(steps)

    def count_on(self, counted: int, head: Position) -> None:
        """So many steps were in the journal up to its head: from now on they are counted as they come."""
        self.step = counted + sum(position > head for position in self._early_steps or ())
        self._early_steps = None

    def is_due(self, watermark: Position, now_s: float) -> bool:
        """Whether a checkpoint is to be made now; never before the steps are counted."""
        return self._early_steps is None and is_due(self._schedule, self._since(watermark, now_s))

    def next_look_s(self, watermark: Position, now_s: float) -> float | None:
        """After how many seconds one may become due by the passing of time alone; None when never."""
        return next_look_s(self._schedule, self._since(watermark, now_s))

    def _since(self, watermark: Position, now_s: float) -> Since:
        return Since(
            events=watermark - self._covered - 1,  # the event that tells of a checkpoint is no news
            elapsed_s=now_s - self._saved_s,
            steps=self.step - self._covered_step,
            failed_s=None if self._failed_s is None else now_s - self._failed_s,
        )
