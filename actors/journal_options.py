"""The settings of the journal: its checkpoints, its files, and how much of the past it keeps."""

from pathlib import Path
from typing import Annotated

import msgspec

from actors.rules.checkpoints import Schedule
from bus.messages.system import JournalFiles
from storage.layout import Layout
from storage.retention import DAY_US, Limits
from storage.segments import SegmentLimits

CHECKPOINTS_NAME = "checkpoints"


class JournalOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often checkpoints are made, and where they are kept."""

    checkpoint_every_events: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    """A checkpoint is due after so many events; 0 switches this off."""
    checkpoint_every_s: Annotated[float, msgspec.Meta(ge=0)] = 300.0
    """A checkpoint is due after so many seconds in which something happened; 0 switches this off."""
    checkpoint_every_steps: Annotated[int, msgspec.Meta(ge=0)] = 500
    """A checkpoint is due after so many steps of agents; 0 switches this off."""
    checkpoint_retry_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """After a checkpoint that could not be saved, the next try waits so long."""
    checkpoint_keep: Annotated[int, msgspec.Meta(ge=1)] = 3
    """How many checkpoints are kept, the newest."""
    mirror: str = ""
    """A file to which every committed event is appended as a line of JSON, for `tail -f`; empty means none."""
    checkpoint_leave_out: tuple[str, ...] = ()
    """Actors that checkpoints do not hold, as patterns such as `agents/*`: they are folded from the journal alone. The
    ledger, tasks and approvals cannot be left out."""
    segment_events: Annotated[int, msgspec.Meta(ge=1_000)] = 250_000
    """A file of the journal holds so many events before the next begins; pruning drops whole files."""
    retain_events: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many of the newest events are kept at least; of older ones only the ledger's and approvals'. 0 keeps all."""
    retain_days: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """How many days of events are kept at least; of older ones only the ledger's and approvals'. 0 keeps all."""
    retain_check_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    """How often old events are looked for."""
    checkpoint_directory: str = ""
    """Where they are kept, of one journal alone; empty means `checkpoints` in the data directory. A restore moves them
    aside as well."""

    @property
    def schedule(self) -> Schedule:
        """The times at which a checkpoint is due."""
        return Schedule(
            self.checkpoint_every_events, self.checkpoint_every_s, self.checkpoint_every_steps, self.checkpoint_retry_s
        )

    @property
    def limits(self) -> Limits:
        """How much of the past is kept."""
        return Limits(self.retain_events, round(self.retain_days * DAY_US))

    @property
    def segments(self) -> SegmentLimits:
        """How large the journal's files become."""
        return SegmentLimits(events=self.segment_events)

    def files(self, layout: Layout) -> JournalFiles:
        """How the journal lies in files, and what of it stays."""
        pruned = sum(segment.state == "pruned" for segment in layout.segments)
        count = len(layout.segments)
        return JournalFiles(count, pruned, self.segment_events, self.retain_events, self.retain_days)

    def checkpoints_in(self, data: Path) -> Path:
        """The directory of the checkpoints of a data directory."""
        return Path(self.checkpoint_directory) if self.checkpoint_directory else data / CHECKPOINTS_NAME
