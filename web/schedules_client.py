"""The part of the Python SDK for schedules.

Rules: each call is one request over HTTP, repeated as the client repeats all of them; a refusal raises `RequestFailed`.
"""

import msgspec

from bus.messages.schedules import Missed, SchedulePage, ScheduleView
from bus.messages.tasks import TaskSpec
from web.agent_client import Post
from web.approvals_client import Get


class SchedulesClient:
    """Tasks that are posted later. Made by `AgoraClient.schedules`."""

    def __init__(self, get: Get, post: Post) -> None:
        self._get = get
        self._post = post

    async def all(self) -> SchedulePage:
        """All schedules, newest first."""
        return await self._get("/api/schedules", SchedulePage)

    async def create(
        self,
        task: TaskSpec,
        *,
        at: str = "",
        delay_s: float = 0.0,
        cron: str = "",
        zone: str = "UTC",
        missed: Missed = "run_once",
        key: str = "",
    ) -> ScheduleView:
        """Post a task at a time (RFC 3339), after a delay, or by cron. The same key gives the same schedule."""
        body = {"task": task, "at": at, "delay_s": delay_s, "cron": cron, "zone": zone, "missed": missed}
        return _view(await self._post("/api/schedules", body, dict[str, msgspec.Raw], key=key))

    async def cancel(self, schedule: str) -> ScheduleView:
        """No more tasks of it."""
        return _view(await self._post(f"/api/schedules/{schedule}/cancel", None, dict[str, msgspec.Raw]))


def _view(answer: dict[str, msgspec.Raw]) -> ScheduleView:
    answer.pop("position", None)
    return msgspec.json.decode(msgspec.json.encode(answer), type=ScheduleView)
