"""Artifacts: named, owned content, such as the documents that tasks are about and the briefs that agents write."""

from typing import ClassVar, Final

from bus.address import Address
from bus.messages.base import AgentId, ArtifactId, BlobId, Command, Event, Microseconds, Query, Reply, TaskId

ARTIFACTS: Final = Address("artifacts")

CONTENT_BYTES_MAX = 4 * 1024 * 1024
"""A document of some 600,000 words; more is not read by any agent in one go."""


class ArtifactView(Reply, frozen=True):
    """What an artifact is; its content is read apart."""

    wire_name = "artifact"

    artifact: ArtifactId
    name: str
    media_type: str
    size_bytes: int
    blob: BlobId
    owner: str
    task: TaskId
    created_us: Microseconds


class ArtifactContent(Reply, frozen=True):
    """An artifact with its text."""

    wire_name = "artifact.content"

    artifact: ArtifactView
    text: str


class ArtifactPage(Reply, frozen=True):
    """Artifacts, newest first; `next` continues the listing and is empty at its end."""

    wire_name = "artifacts"

    artifacts: tuple[ArtifactView, ...]
    next: ArtifactId


class WriteArtifact(Command[ArtifactView], frozen=True):
    """Sent by who keeps a text. The same key with the same fields gives the same artifact."""

    wire_name = "artifact.write"

    name: str
    text: str
    media_type: str = "text/plain"
    owner: str = ""
    task: TaskId = TaskId("")
    idempotency_key: str = ""


class ReadArtifact(Query[ArtifactView], frozen=True):
    """Sent by whoever wants to know what an artifact is."""

    wire_name = "artifact.read"

    artifact: ArtifactId


class ReadArtifactContent(Query[ArtifactContent], frozen=True):
    """Sent by who reads an artifact's text; asynchronous, since the blob is on disk."""

    wire_name = "artifact.read_content"

    artifact: ArtifactId


class ListArtifacts(Query[ArtifactPage], frozen=True):
    """Sent by whoever wants to see artifacts."""

    wire_name = "artifact.list"

    limit: int = 50
    after: ArtifactId = ArtifactId("")


class ArtifactWritten(Event, frozen=True):
    """Recorded together with the blob that holds the artifact's content."""

    wire_name = "artifact.written"
    about = "artifact"
    personal: ClassVar[tuple[str, ...]] = ("name",)

    artifact: ArtifactId
    name: str
    media_type: str
    size_bytes: int
    blob: BlobId
    owner: str
    task: TaskId
    created_us: Microseconds
    idempotency_key: str = ""
    agent: AgentId = AgentId("")
