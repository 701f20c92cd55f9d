"""An attempt that is answered from a recording instead of by a provider.

Rules: a failure is repeated as it was, and an answer word for word. Where the recordings take time, it takes as long as
the recorded attempt did, so that under a virtual clock a run repeats event by event. What was not recorded is a fault
of its own, unless the settings let it go on to the provider.
"""

import anyio
import msgspec

from actors.providers.calls import Call
from actors.providers.dialect import ModelReply, ProviderFault
from actors.rules.cascade import ErrorClass
from actors.rules.recordings import Recordings, request_hash


async def replayed(recordings: Recordings, call: Call, provider: str, limit_s: float) -> ModelReply | None:
    """What the provider answered to this request before; None lets it be asked.

    Raises:
        ProviderFault: what it failed with, or that nothing was recorded.
    """
    trace = recordings.next(request_hash(call.request, call.dimensions), provider)
    if trace is None:
        if recordings.asks_on:
            return None
        reason = f"completions are replayed, and {provider} has none for this request"
        raise ProviderFault(ErrorClass.UNRECORDED, reason)
    if recordings.takes_time:
        await anyio.sleep(min(trace.ended_s - trace.began_s, limit_s))
    if trace.outcome != "ok":
        raise ProviderFault(ErrorClass(trace.outcome), trace.reason, trace.retry_after_s)
    return msgspec.convert(trace.answer, ModelReply)
