"""`agora post` and `agora wait`: give the society a task, and wait for what becomes of tasks."""

import secrets
from collections.abc import Collection, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from actors.commands import documents
from actors.commands.briefing import ENDS, text_of
from actors.commands.connection import fields_of, joined, start_of
from actors.commands.console import ExitCode, Shell
from bus.errors import BadUsage
from bus.messages.base import ArtifactId, TaskId
from bus.messages.tasks import TaskSpec, TaskState, TaskView
from web.client import AgoraClient, Unreachable
from web.live_feed import LiveFeed, RequestFailed

MONEY_LOOK_S = 1.5
"""Between two looks whether those who work wait for money."""
MONEY_LOOKS = 2
"""So many in a row say that nothing goes on: between two calls an agent may write down what it has."""
OPEN = frozenset({TaskState.CREATED, TaskState.BIDDING, TaskState.ASSIGNED, TaskState.RUNNING})


class _Agent(msgspec.Struct):
    status: str


class _Agents(msgspec.Struct):
    items: dict[str, _Agent]


async def post(shell: Shell, spec: TaskSpec, *, file: Path | None, is_waited_for: bool) -> ExitCode:
    """Post one task.

    Raises:
        BadUsage: the input cannot be used.
        AgoraError: the society could not be reached, or refused.
    """
    document = None
    if file is not None:
        document = await anyio.to_thread.run_sync(documents.read, file)
        if document.problem:
            raise BadUsage(f"{file}: {document.problem}")
    key = f"post/{secrets.token_hex(8)}"
    async with joined(shell) as agora:
        artifact = ArtifactId("")
        if document is not None:
            written = await agora.write_artifact(document.name, document.text, media_type=document.media_type, key=key)
            artifact = written.artifact
        accepted = await agora.create_task(
            msgspec.structs.replace(spec, input=artifact),
            key=key,
        )
        if is_waited_for:
            return await _wait(shell, agora, (TaskId(accepted.task),))
    return shell.answer(accepted, f"{accepted.task} is posted; `agora wait {accepted.task}` waits for its end")


async def wait(shell: Shell, tasks: Sequence[str]) -> ExitCode:
    """Wait until all tasks have ended, or wait for money themselves: 0 if all were completed, else 1."""
    async with joined(shell) as agora:
        return await _wait(shell, agora, tuple(TaskId(task) for task in tasks))


async def _wait(shell: Shell, agora: AgoraClient, tasks: tuple[TaskId, ...]) -> ExitCode:
    after = await start_of(agora)
    views = {task: await agora.task(task) for task in dict.fromkeys(tasks)}
    open_ = {task for task, view in views.items() if view.state in OPEN}
    if open_:
        # Ends are heard from before the states were read: none falls between.
        await _until_ended(agora, agora.feed(tuple(ENDS), after=after), open_)
    ended = [await agora.task(task) for task in views]
    results = [await _result(agora, view) for view in ended]
    if shell.is_json:
        shell.print_json([{"task": view, "result": text} for view, text in zip(ended, results, strict=True)])
    else:
        for view, text in zip(ended, results, strict=True):
            shell.say(_words(view))
            if text:
                shell.say(text)
    if open_:
        shell.err.print(
            f"The budget is spent: {', '.join(sorted(open_))} waited for more, and will go on once it is raised.",
            markup=False,
        )
    return ExitCode.DONE if all(view.state is TaskState.COMPLETED for view in ended) else ExitCode.FAILED


async def _until_ended(agora: AgoraClient, feed: LiveFeed, open_: set[TaskId]) -> None:
    """Take those out of the set that have ended, until all have, or all that are left wait for money."""
    async with anyio.create_task_group() as jobs:
        jobs.start_soon(_hear_ends, feed, open_, jobs.cancel_scope)
        looks = 0
        while looks < MONEY_LOOKS:
            await anyio.sleep(MONEY_LOOK_S)
            looks = looks + 1 if await _is_out_of_money(agora, open_) else 0
        jobs.cancel_scope.cancel()


async def _hear_ends(feed: LiveFeed, open_: set[TaskId], waiting: anyio.CancelScope) -> None:
    async with aclosing(aiter(feed)) as events:
        async for heard in events:
            open_.discard(TaskId(text_of(fields_of(heard), "task")))
            if not open_:
                break
    waiting.cancel()


async def _is_out_of_money(agora: AgoraClient, open_: Collection[TaskId]) -> bool:
    """Whether a budget is spent, no call is under way, and every task is with somebody who waits for more."""
    try:
        router = await agora.cascade.show()
        if not router.is_budget_exhausted or any(provider.in_flight for provider in router.providers):
            return False
        agents = msgspec.json.decode((await agora.state())["agents"], type=_Agents).items
        views = [await agora.task(task) for task in open_]
    except (RequestFailed, Unreachable):
        return False  # it is starting again, or full: the feed knows when it is back
    return all(
        view.state is TaskState.CREATED or ((one := agents.get(view.agent)) is not None and one.status == "waiting")
        for view in views
    )


async def _result(agora: AgoraClient, view: TaskView) -> str:
    return await agora.artifact_text(view.artifact) if view.artifact else ""


def _words(view: TaskView) -> str:
    if view.state is TaskState.COMPLETED:
        return f"{view.task} completed by {view.agent} for {view.price_msat} msat: {view.spec.title}"
    return f"{view.task} {view.state}: {view.reason or view.spec.title}"
