"""What an actor reads for those who ask, beside its turns: a few things at once, each answered when it is found.

Rules: more at once than the bound are told to come back. An error of ours that ends a read is the asker's answer; any
other is a fault of the actor. A slow read holds up no other.
"""

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec

from actors.runtime import Actor, Deferred, Job
from bus.errors import AgoraError
from bus.messages.base import Reply
from bus.refusals import Overloaded

P = ParamSpec("P")

RETRY_AFTER_S = 1.0


class Reads:
    """Those of one actor; begun only within its turns."""

    def __init__(self, actor: Actor, what: str, at_once_max: int) -> None:
        """`what` is what a refusal calls them."""
        self._actor = actor
        self._what = what
        self._at_once_max = at_once_max
        self._count = 0

    def begin(self, read: Callable[Concatenate[Job, P], Awaitable[Reply]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Answer the current request with what is read, later. Raises Overloaded."""
        if self._count >= self._at_once_max:
            raise Overloaded(self._what, RETRY_AFTER_S)
        self._count += 1
        self._actor.perform(self._answer, self._actor.defer(), read, *args, **kwargs)

    async def _answer(
        self,
        job: Job,
        deferred: Deferred[Reply],
        read: Callable[Concatenate[Job, P], Awaitable[Reply]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        try:
            reply = await read(job, *args, **kwargs)
        except AgoraError as error:
            deferred.refuse(error)
        else:
            deferred.answer(reply)
        finally:
            self._count -= 1
