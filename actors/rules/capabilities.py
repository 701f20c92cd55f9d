"""Decide who can do what a request needs: tools, vision, a JSON schema, embeddings, a context that is large enough.

Rules: a capability is declared, never guessed; who does not declare what a request needs is never sent it. Where nobody
declares it, the request is refused at once, and the refusal names the capability.

Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from bus.messages.completions import Complete
from bus.refusals import NotCapable

Capability = Literal["tools", "vision", "json"]
"""What a model can do beyond text: call tools, see images, keep a JSON schema."""
EMBEDDINGS: Final = "embeddings"
CONTEXT: Final = "context window"


def needed(request: Complete) -> tuple[str, ...]:
    """What the request needs beyond text."""
    tools = ("tools",) if request.tools else ()
    vision: tuple[str, ...] = ()
    for message in request.messages:  # a loop: every call comes by here, and a generator costs as much as all the rest
        if message.images:
            vision = ("vision",)
            break
    return (*tools, *vision, "json") if request.schema else (*tools, *vision)


def refusal(needs: Sequence[str], lacking: Mapping[str, Sequence[str]]) -> NotCapable | None:
    """The refusal of a request that needs this, where each provider lacks that; None if one lacks nothing."""
    if not lacking or not all(lacking.values()):
        return None
    nobody_has = [need for need in needs if all(need in lacks for lacks in lacking.values())]
    who = "; ".join(f"{name} has no {' and no '.join(lacks)}" for name, lacks in lacking.items())
    return NotCapable(" and ".join(nobody_has or needs), who)
