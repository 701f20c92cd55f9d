"""The artifacts: it keeps texts under a name, and reads them back.

Its state is the shelf (`actors.rules.artifacts`): what there is. The contents are blobs, made durable together with
the event that names them and read through the journal.

Rules: an artifact never changes. What is read is what was written: its hash is checked each time. At most `READS_MAX`
contents are being read at once; more are refused with a time to come back.
"""

from typing import Annotated, ClassVar

import msgspec

from actors.rules import artifacts
from actors.rules.artifacts import Shelf
from actors.runtime import Deferred, Job, PersistentActor
from bus.errors import AgoraError, StorageError
from bus.messages.artifacts import (
    ArtifactContent,
    ArtifactPage,
    ArtifactView,
    ListArtifacts,
    ReadArtifact,
    ReadArtifactContent,
    WriteArtifact,
)
from bus.messages.base import BlobId, Event, Message
from bus.messages.system import JOURNAL, ReadBlob
from bus.refusals import Overloaded

READS_MAX = 64
"""Contents that are read at once: 256 MiB at their largest."""


class ArtifactsOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How contents are read."""

    read_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0
    """How long the journal may take to find a content."""


class ContentRead(Message, frozen=True, gc=True):
    """Told to oneself when a content has come from the journal, or has not."""

    wire_name = "content.read"

    number: int
    blob: BlobId
    text: str
    error: AgoraError | None


class Artifacts(PersistentActor[Shelf]):
    """The one actor that keeps texts."""

    state_type: ClassVar[type[Shelf]] = Shelf

    def __init__(self, options: ArtifactsOptions) -> None:
        self._options = options
        self._reads: dict[int, tuple[ArtifactView, Deferred[ArtifactContent]]] = {}
        self._read_count = 0

    def initial(self) -> Shelf:
        return Shelf()

    def apply(self, event: Event) -> None:
        artifacts.apply(self.state, event)

    def on_write_artifact(self, command: WriteArtifact) -> ArtifactView:
        # Encoding and hashing the longest text takes some 5 ms; a thread would cost more than most texts do.
        content = artifacts.encoded(command.text)
        events = artifacts.decide_write(self.state, command, content, self.now_us)
        if events:
            self.persist(*events, blobs=(content,))
            return self.state.artifacts[events[0].artifact]
        known = artifacts.repeated(self.state, command, self.now_us)
        assert known is not None, "what causes nothing repeats something"
        return known

    def on_read_artifact(self, query: ReadArtifact) -> ArtifactView:
        return artifacts.view(self.state, query.artifact)

    def on_list_artifacts(self, query: ListArtifacts) -> ArtifactPage:
        return artifacts.page(self.state, query)

    def on_read_artifact_content(self, query: ReadArtifactContent) -> None:
        view = artifacts.view(self.state, query.artifact)
        if len(self._reads) >= READS_MAX:
            raise Overloaded("reading artifacts", retry_after_s=1.0)
        self._read_count += 1
        self._reads[self._read_count] = (view, self.defer())
        self.perform(self._read, self._read_count, view.blob)

    def on_content_read(self, message: ContentRead) -> None:
        view, deferred = self._reads.pop(message.number, (None, None))
        if view is None or deferred is None or view.blob != message.blob:
            return  # it was asked for before a restart, and whoever asked has been answered
        if message.error is not None:
            deferred.refuse(message.error)
        else:
            deferred.answer(ArtifactContent(view, message.text))

    async def _read(self, job: Job, number: int, blob: BlobId) -> None:
        try:
            found = await job.ask(JOURNAL, ReadBlob(blob), timeout_s=self._options.read_timeout_s)
            if artifacts.blob_id(found.content) != blob:
                raise StorageError(f"blob {blob} is not what was written")
        except AgoraError as error:  # whatever it is, it is the asker's answer
            job.tell(self.address, ContentRead(number, blob, "", error))
        else:
            job.tell(self.address, ContentRead(number, blob, found.content.decode(), None))
