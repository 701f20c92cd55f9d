"""Which artifacts there are, and what may be written.

Rules: an artifact has a name, at most `CONTENT_BYTES_MAX` of text in UTF-8, and never changes. A repeated key with the
same content and fields gives the same artifact, with others it is a conflict; keys are kept for 24 hours.

Pure: no clock, no disk; the content itself is a blob in the journal. `apply` is the only mutator.
"""

import hashlib
import re

import msgspec

from actors.rules import idempotency
from actors.rules.fields import check_id, check_integer, check_line
from actors.rules.idempotency import Keys
from bus.messages.artifacts import (
    CONTENT_BYTES_MAX,
    ArtifactPage,
    ArtifactView,
    ArtifactWritten,
    ListArtifacts,
    WriteArtifact,
)
from bus.messages.base import AgentId, ArtifactId, BlobId, Event, Microseconds
from bus.refusals import IdempotencyConflict, InvalidField, NotFound

NAME_CHARS_MAX = 200
PAGE_MAX = 200
"""The most artifacts on one page."""
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}/[a-z0-9][a-z0-9.+-]{0,63}")
_AGENTS = "agents/"


class Shelf(msgspec.Struct):
    """All artifacts, in the order in which they were written."""

    artifacts: dict[ArtifactId, ArtifactView] = {}
    keys: Keys = msgspec.field(default_factory=Keys)


def encoded(text: str) -> bytes:
    """The content as it is kept. Raises `InvalidField`."""
    # Four bytes are the most that a character takes, and one the least: no need to encode what is far too long.
    if len(text) > CONTENT_BYTES_MAX:
        raise InvalidField("text", f"is longer than {CONTENT_BYTES_MAX} bytes")
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidField("text", "is not valid Unicode") from error
    if len(content) > CONTENT_BYTES_MAX:
        raise InvalidField("text", f"is longer than {CONTENT_BYTES_MAX} bytes")
    return content


def blob_id(content: bytes) -> BlobId:
    """The name of a blob: what it contains."""
    return BlobId(hashlib.sha256(content).hexdigest())


def decide_write(
    shelf: Shelf, command: WriteArtifact, content: bytes, now_us: Microseconds
) -> tuple[ArtifactWritten, ...]:
    """A new artifact; a repeat of its key causes nothing. `content` is the command's text, encoded."""
    key = idempotency.check_key(command.idempotency_key)
    if _MEDIA_TYPE.fullmatch(command.media_type) is None:
        raise InvalidField("media_type", "must be like text/plain")
    agent = command.owner.removeprefix(_AGENTS) if command.owner.startswith(_AGENTS) else ""
    written = ArtifactWritten(
        artifact=ArtifactId(f"a-{len(shelf.artifacts) + 1}"),
        name=check_line("name", command.name, NAME_CHARS_MAX),
        media_type=command.media_type,
        size_bytes=len(content),
        blob=blob_id(content),
        owner=check_id("owner", command.owner, may_be_empty=True),
        task=command.task,
        created_us=now_us,
        idempotency_key=key,
        agent=AgentId(agent),
    )
    check_id("task", command.task, may_be_empty=True)
    known = repeated(shelf, command, now_us)
    if known is None:
        return (written,)
    if _fields(known) != _fields(_view(written)):
        raise IdempotencyConflict(f"key {key}")
    return ()


def repeated(shelf: Shelf, command: WriteArtifact, now_us: Microseconds) -> ArtifactView | None:
    """The artifact that the command's key has made already."""
    return shelf.artifacts.get(ArtifactId(idempotency.subject_of(shelf.keys, command.idempotency_key, now_us)))


def view(shelf: Shelf, artifact: ArtifactId) -> ArtifactView:
    """The artifact, or `NotFound`."""
    found = shelf.artifacts.get(artifact)
    if found is None:
        raise NotFound("artifact", artifact)
    return found


def page(shelf: Shelf, query: ListArtifacts) -> ArtifactPage:
    """One page of artifacts, newest first; `InvalidField` for a limit or a cursor that makes no sense."""
    check_integer("limit", query.limit, 1, PAGE_MAX)
    end = len(shelf.artifacts) + 1
    if query.after:
        digits = query.after.removeprefix("a-")
        if digits == query.after or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
            raise InvalidField("after", f"{query.after!r} is no artifact id")
        end = min(end, int(digits))
    start = max(1, end - query.limit)
    views = tuple(shelf.artifacts[ArtifactId(f"a-{number}")] for number in reversed(range(start, end)))
    return ArtifactPage(views, views[-1].artifact if views and start > 1 else ArtifactId(""))


def apply(shelf: Shelf, event: Event) -> None:
    """Fold one event."""
    if isinstance(event, ArtifactWritten):
        shelf.artifacts[event.artifact] = _view(event)
        idempotency.remember(shelf.keys, event.idempotency_key, event.artifact, event.created_us)


def _view(event: ArtifactWritten) -> ArtifactView:
    return ArtifactView(
        artifact=event.artifact,
        name=event.name,
        media_type=event.media_type,
        size_bytes=event.size_bytes,
        blob=event.blob,
        owner=event.owner,
        task=event.task,
        created_us=event.created_us,
    )


def _fields(one: ArtifactView) -> tuple[str, ...]:
    """What a key stands for."""
    return (one.name, one.media_type, one.blob, one.owner, one.task)
