"""An answer on its way to its reader.

Rules: the reader asks for more than it has seen and is answered as soon as there is more; what came meanwhile arrives
as one part, so a slow reader costs nobody anything. A stream that begins anew says so. No clock, no loop.
"""

from actors.runtime import Deferred
from bus.errors import AgoraError
from bus.messages.completions import Completion, ReadStream, StreamPart


class Stream:
    """What was said so far, and who waits for more."""

    def __init__(self) -> None:
        self.text = ""
        self.restarts = 0
        self._waiting: tuple[ReadStream, Deferred[StreamPart]] | None = None
        self._outcome: Completion | AgoraError | None = None

    @property
    def is_over(self) -> bool:
        """Whether its outcome is known."""
        return self._outcome is not None

    def say(self, words: str) -> None:
        """More of the answer has come."""
        self.text += words
        self._serve()

    def restart(self) -> None:
        """What was said counts no more."""
        self.text = ""
        self.restarts += 1

    def end(self, outcome: Completion | AgoraError) -> None:
        """The completion is over."""
        self._outcome = outcome
        self._serve()

    def part(self, read: ReadStream) -> StreamPart | None:
        """What the reader has not seen; None when it has seen all. Raises what ended the completion."""
        seen = read.seen if read.restarts == self.restarts else 0
        text = self.text[seen:]
        if isinstance(self._outcome, AgoraError):
            raise self._outcome
        if not text and self._outcome is None and read.restarts == self.restarts:
            return None
        return StreamPart(text, self.restarts, self._outcome)

    def wait(self, read: ReadStream, owed: Deferred[StreamPart]) -> None:
        """Answer the reader later. One that asks twice is answered on its later question."""
        self.pacify()
        self._waiting = (read, owed)

    def pacify(self) -> None:
        """Answer the reader who waits: there is nothing yet."""
        before, self._waiting = self._waiting, None
        if before is not None and before[1].is_open:
            before[1].answer(StreamPart("", self.restarts))

    def _serve(self) -> None:
        if self._waiting is None:
            return
        read, owed = self._waiting
        if not owed.is_open:
            self._waiting = None
            return
        try:
            part = self.part(read)
        except AgoraError as error:
            self._waiting = None
            owed.refuse(error)
            return
        if part is not None:
            self._waiting = None
            owed.answer(part)
