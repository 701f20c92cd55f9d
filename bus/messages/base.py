"""The kinds of message and the plain types that they share.

A command or a query is a `Request` with one typed reply; an event is a fact in the past tense. Messages are frozen
structs of plain values, refused at the edge when a field is unknown or wrong. `wire_name` is the stable name on the
wire and in the journal; an event's `version` rises when its fields change, with an upcaster beside it.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, NewType, TypeVar

import msgspec

Position = NewType("Position", int)
"""An event's place in the journal: gap-free, strictly increasing, never reused. 0 is before the first."""

TaskId = NewType("TaskId", str)
AgentId = NewType("AgentId", str)
ArtifactId = NewType("ArtifactId", str)
AccountId = NewType("AccountId", str)
TransferId = NewType("TransferId", str)
CompletionId = NewType("CompletionId", str)
BlobId = NewType("BlobId", str)
"""The SHA-256 of a blob's bytes, in lowercase hex."""
RunId = NewType("RunId", str)
MAIN_RUN: Final = RunId("main")
"""The served society; each other run has a journal of its own."""

Microseconds = int
"""Wall-clock time: microseconds since 1970-01-01 UTC."""
Fields = dict[str, Any]  # untyped on purpose: the fields of a version that no class describes any more
Upcaster = Callable[[Fields], Fields]
"""Turns the fields of one version of an event into those of the next."""


class Message(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Anything that travels in an envelope.

    The garbage collector does not look at messages: plain values point to nothing that points back at them. One that
    carries an error says `gc=True`: an error keeps the frames that it came through, with all that they hold.
    """

    wire_name: ClassVar[str] = ""


class Reply(Message, frozen=True):
    """The answer to a request."""


R = TypeVar("R", bound=Message, covariant=True)


class Request(Message, Generic[R], frozen=True):
    """A message that has one reply of type `R`."""


class Command(Request[R], Generic[R], frozen=True):
    """Asks for a change, in the imperative."""


class Query(Request[R], Generic[R], frozen=True):
    """Asks what is; changes nothing."""


class Event(Message, frozen=True):
    """A fact in the past tense. Journaled, ordered, replayable, at most 32 KiB.

    The fields `task`, `agent` and `run`, where an event has them, are what the journal can be queried by.
    `about` names the field that is its subject. `sealed` names fields that never leave the process: the
    journal keeps them apart, and the feed, queries and exports show the event without them. `is_kept` puts
    it on the hash chain that retention never prunes. `personal` names texts that may have to be forgotten one
    day, such as `spec.title`: the journal encrypts them with a key of their own, which can be destroyed.
    `upcasters` has one for each older version, from version 1 on.
    """

    version: ClassVar[int] = 1
    about: ClassVar[str] = ""
    sealed: ClassVar[tuple[str, ...]] = ()
    personal: ClassVar[tuple[str, ...]] = ()
    is_kept: ClassVar[bool] = False
    upcasters: ClassVar[tuple[Upcaster, ...]] = ()
    nothing: ClassVar[str] = ""
    """What stands where an event has no such field."""


class Done(Reply, frozen=True):
    """The command was carried out and there is nothing else to say."""

    wire_name = "done"
