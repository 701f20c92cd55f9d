"""What an agent says through the SDK: one request each, in its own name."""

from typing import TypeVar

import msgspec

from bus.messages.base import Position
from web.agent_client import AgentClient, WorkAnswer
from web.wire import encode

T = TypeVar("T")


class Recorder:
    """Takes what would be posted, and answers for the server."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, object]]] = []

    async def __call__(self, path: str, body: object, kind: type[T], *, key: str = "") -> T:
        fields = {} if body is None else msgspec.json.decode(encode(body), type=dict[str, object])
        self.posted.append((path, fields))
        answer = {"task": "t-1", "position": 7, "agent": "greeter", "capabilities": ["greet"], "concurrency_max": 2}
        return msgspec.json.decode(encode(answer), type=kind)


async def test_each_call_is_one_request_in_the_agents_name() -> None:
    post = Recorder()
    me = AgentClient("greeter", post)
    registered = await me.register(["greet"], concurrency_max=2)
    assert (registered.agent, registered.concurrency_max) == ("greeter", 2)
    await me.pause()
    await me.resume()
    assert await me.bid("t-1", 5) == WorkAnswer("t-1", Position(7))
    await me.decline("t-1")
    await me.start("t-1", 1)
    await me.heartbeat("t-1", 1)
    await me.complete("t-1", 1, text="hello")
    await me.fail("t-1", 1, "hard", is_retryable=False)
    await me.retire("done")
    assert post.posted == [
        ("/api/agents", {"agent": "greeter", "capabilities": ["greet"], "concurrency_max": 2}),
        ("/api/agents/greeter/pause", {}),
        ("/api/agents/greeter/resume", {}),
        ("/api/tasks/t-1/bids", {"agent": "greeter", "price_msat": 5}),
        ("/api/tasks/t-1/bids", {"agent": "greeter"}),
        ("/api/tasks/t-1/start", {"agent": "greeter", "attempt": 1}),
        ("/api/tasks/t-1/heartbeat", {"agent": "greeter", "attempt": 1}),
        ("/api/tasks/t-1/complete", {"agent": "greeter", "attempt": 1, "text": "hello", "summary": ""}),
        ("/api/tasks/t-1/fail", {"agent": "greeter", "attempt": 1, "reason": "hard", "is_retryable": False}),
        ("/api/agents/greeter/retire", {"reason": "done"}),
    ]
