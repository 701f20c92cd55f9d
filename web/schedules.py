"""HTTP for schedules: tasks that are posted later, or again and again."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bus.messages.schedules import (
    SCHEDULER,
    CancelSchedule,
    CreateSchedule,
    ListSchedules,
    Missed,
    SchedulePage,
    ScheduleSpec,
    ScheduleView,
)
from bus.messages.tasks import TaskSpec
from web.api import idempotency_key
from web.edge import Edge, accepted, json, read_body
from web.operation import described
from web.wire import parse_time


class ScheduleBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/schedules`."""

    task: TaskSpec
    at: str = ""
    """RFC 3339."""
    delay_s: float = 0.0
    cron: str = ""
    zone: str = "UTC"
    missed: Missed = "run_once"


class SchedulesApi:
    """The endpoints for schedules."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> list[Route]:
        return [
            Route("/api/schedules", self.list_schedules, methods=["GET"]),
            Route("/api/schedules", self.create, methods=["POST"]),
            Route("/api/schedules/{schedule}/cancel", self.cancel, methods=["POST"]),
        ]

    @described("schedules, newest first, with their next time", scope="read", answer=SchedulePage)
    async def list_schedules(self, request: Request) -> Response:
        self._edge.authorise(request, "read")
        return json((await self._edge.ask(SCHEDULER, ListSchedules())).message)

    @described(
        "post a task at a time (`at`), after `delay_s`, or by `cron` in a `zone`",
        scope="task",
        body=ScheduleBody,
        answer=ScheduleView,
        status=201,
        is_positioned=True,
    )
    async def create(self, request: Request) -> Response:
        self._edge.authorise(request, "task")
        body = await read_body(request, ScheduleBody)
        at_us = parse_time("at", body.at) if body.at else 0
        spec = ScheduleSpec(body.task, at_us, body.delay_s, body.cron, body.zone, body.missed)
        return accepted(await self._edge.ask(SCHEDULER, CreateSchedule(spec, idempotency_key(request))), 201)

    @described("no more tasks of a schedule", scope="task", answer=ScheduleView, is_positioned=True)
    async def cancel(self, request: Request) -> Response:
        self._edge.authorise(request, "task")
        command = CancelSchedule(request.path_params["schedule"])
        return accepted(await self._edge.ask(SCHEDULER, command), 200)
