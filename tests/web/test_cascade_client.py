"""The SDK's part for the cascade, against the real application."""

from bus.messages.base import CompletionId
from bus.messages.routing import Reconciled, ReconcileSpending, Reloaded, ReloadSettings
from bus.messages.transcripts import ListTranscripts, ReadTranscript, TranscriptPage
from tests.actors.rules.test_recordings import trace, transcript
from tests.web.support import TOKEN, World, served
from web.client import AgoraClient


async def test_each_call_is_one_request_with_its_typed_answer() -> None:
    world = World()
    world.gateway.replies |= {
        ListTranscripts: TranscriptPage((), "trace", 2),
        ReadTranscript: transcript(trace()),
        ReloadSettings: Reloaded((), ("web.port",)),
        ReconcileSpending: Reconciled(3),
    }
    async with served(world) as url, AgoraClient(url, token=TOKEN) as client:
        page = await client.cascade.completions(task="t-1", limit=7)
        assert (page.kept, page.missed) == ("trace", 2)
        assert (await client.cascade.completion("m-1")).completion == CompletionId("m-1")
        assert (await client.cascade.reload()).waiting == ("web.port",)
        assert await client.cascade.reconcile(provider="a", spent_usd_micros=1) == 3
        asked = [message for _, message in world.gateway.asked]
        assert asked[0] == ListTranscripts("", "t-1", 0, 7)
        assert asked[-1] == ReconcileSpending("a", 1, 0)
