"""Looks at providers beside all requests: is anybody there?

Rules: a look asks for the list of models, which costs nothing and needs no key: a refusal is an answer too. It says
whether someone is there, not whether he can answer prompts; so it never closes a breaker, and lets a probe through
early only where nobody was there before. One look at a provider at a time.
"""

from collections.abc import Mapping
from types import MappingProxyType

from actors.providers.dialect import ProviderFault
from actors.providers.options import DialectName, ProviderOptions
from actors.providers.transport import Transport
from actors.runtime import Job
from bus.address import Address
from bus.messages.base import Message

LOOK_LIMIT_S = 3.0
"""Who takes longer to list models is not there for anyone who waits."""
LOOK_KEY = "look"
_PATHS: Mapping[DialectName, str] = MappingProxyType(
    {"ollama": "/api/tags", "openai": "/models", "anthropic": "/v1/models", "gemini": "/v1beta/models"}
)


class LookDue(Message, frozen=True):
    """Sent by a timer: it is time to look."""

    wire_name = "router.look_due"


class LookEnded(Message, frozen=True):
    """Sent by a look to its router."""

    wire_name = "router.look_ended"

    provider: str
    is_there: bool
    reason: str


def url_of(options: ProviderOptions) -> str:
    """Where to look; empty for who is always there."""
    path = _PATHS.get(options.dialect)
    return options.base_url.rstrip("/") + path if path is not None else ""


async def look(job: Job, router: Address, options: ProviderOptions, transport: Transport) -> None:
    """Look once, and report."""
    reason = ""
    try:
        reply = await transport.get(url_of(options), limit_s=LOOK_LIMIT_S)
        if reply.status >= 500:
            reason = f"it says {reply.status}"
    except ProviderFault as fault:
        reason = fault.reason
    job.tell(router, LookEnded(options.name, not reason, reason))
