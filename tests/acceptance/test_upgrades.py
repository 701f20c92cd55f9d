"""Agora upgrades itself: a serving clone of it, and changes of its own code that people approved."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from actors.commands import presence
from actors.commands.presence import Presence
from bus.messages.approvals import ProposalState, ProposalView
from bus.messages.tasks import TaskSpec, TaskState
from tests.house.tree import ROOT
from tests.support.repositories import ENVIRONMENT
from tests.support.served import OFFLINE
from web.client import AgoraClient, Unreachable

WAIT_MAX_S = 60.0
FLOORS = ("actors", "bus", "storage", "web")
SETTINGS = "agora.toml"
PERSONAS = "actors/personas.py"
ASKED, ASKED_MORE = "price_msat=300,", "price_msat=301,"

pytestmark = pytest.mark.slow


class Clone:
    """A clone of Agora that serves, under the process that restarts it."""

    def __init__(self, path: Path, *, ready_within_s: float, has_code: bool = True) -> None:
        """With code it is a clone of Agora; without, a repository of the settings alone."""
        self.tree, self.data = path / "agora", path / "data"
        self._code = self.tree if has_code else ROOT
        self._config = (path if has_code else self.tree) / SETTINGS
        self.tree.mkdir()
        for floor in FLOORS if has_code else ():
            shutil.copytree(ROOT / floor, self.tree / floor, ignore=shutil.ignore_patterns("__pycache__"))
        self._config.write_text(
            f"[approvals.changes]\nready_within_s = {ready_within_s:g}\n"
            f'[[approvals.changes.repositories]]\nname = "agora"\npath = "{self.tree}"\nrestarts = true\n'
        )
        self.git("init", "-q", "-b", "main")
        (self.tree / ".gitignore").write_text("__pycache__\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "as it is")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.tree, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["asyncio.subprocess.Process"]:
        """The process above the server, until the block ends."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AGORA_")}
        words = ("--config", str(self._config), "--data", str(self.data), "--port", "0", "serve", "--supervised")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "actors.main",
            *words,
            cwd=self._code,
            env={**environment, **OFFLINE, "PYTHONPATH": str(self._code)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WAIT_MAX_S):
                await process.wait()

    async def here(self, but: int = 0) -> Presence:
        """The server that serves, once it is another process than that."""
        async with asyncio.timeout(WAIT_MAX_S):
            while (found := await asyncio.to_thread(presence.find, self.data)) is None or found.pid == but:
                pass
        return found

    def client(self, here: Presence) -> AgoraClient:
        return AgoraClient(here.url, token=Path(here.token_path).read_text(encoding="ascii").strip())

    async def approve(self, here: Presence, old: str, new: str, name: str = PERSONAS) -> str:
        """Propose to put one text in another's place, and approve it; the proposal."""
        text = (self.tree / name).read_text()
        assert old in text
        self.git("checkout", "-q", "--detach")
        (self.tree / name).write_text(text.replace(old, new, 1))
        patch = self.git("diff") + "\n"
        self.git("checkout", "-q", "main", "--", name)
        self.git("checkout", "-q", "main")
        async with self.client(here) as agora:
            token = (await agora.tokens.issue("", f"grace-{here.pid}", ("task", "read"))).token
            async with AgoraClient(here.url, token=token) as grace:
                view = await grace.approvals.propose(
                    title=f"Change {name}", repository="agora", branch="main", patch=patch
                )
            ready = await until(agora, view.proposal, ProposalState.READY)
            await agora.approvals.decide(view.proposal, "approve", ready.hash, "let us see")
        return view.proposal


async def until(agora: AgoraClient, proposal: str, *states: ProposalState) -> ProposalView:
    async with asyncio.timeout(WAIT_MAX_S):
        while (view := await agora.approvals.one(proposal)).state not in states:
            pass
    return view


async def events(agora: AgoraClient, type_: str) -> list[str]:
    """What the upgrade's events of one type say."""
    return [bytes(event.data).decode() for event in (await agora.events(type=type_)).events]


async def until_event(agora: AgoraClient, type_: str) -> str:
    async with asyncio.timeout(WAIT_MAX_S):
        while not (found := await events(agora, type_)):
            pass
    return found[0]


async def until_taken(clone: Clone, *, but: int) -> str:
    """What the event says, from whichever server has it: the one that finishes the apply starts another."""
    async with asyncio.timeout(WAIT_MAX_S):
        while True:
            with contextlib.suppress(Unreachable):
                async with clone.client(await clone.here(but=but)) as agora:
                    if found := await events(agora, "upgrade.taken"):
                        return found[0]


async def price_of_scout(agora: AgoraClient) -> int:
    """What it asks since it joined last."""
    joined = [said for said in await events(agora, "agent.joined") if '"name":"scout"' in said]
    return int(joined[0].partition('"price_msat":')[2].partition(",")[0])


async def until_done(agora: AgoraClient, task: str) -> None:
    async with asyncio.timeout(WAIT_MAX_S):
        while (await agora.task(task)).state is not TaskState.COMPLETED:
            pass


async def test_a_good_upgrade_takes_effect_and_no_task_is_lost(tmp_path: Path) -> None:
    clone = Clone(tmp_path, ready_within_s=30.0)
    async with clone.serving() as above:
        before = await clone.here()
        async with clone.client(before) as agora:
            assert await price_of_scout(agora) == 300
            spec = TaskSpec("Name a moon", capability="summarise", reward_msat=900, bid_window_s=3.0)
            task = (await agora.create_task(spec)).task
        proposal = await clone.approve(before, ASKED, ASKED_MORE)
        async with clone.client(await clone.here(but=before.pid)) as agora:
            assert proposal in await until_event(agora, "upgrade.taken")
            assert await price_of_scout(agora) == 301
            await until_done(agora, task)
            assert (await agora.approvals.one(proposal)).state is ProposalState.APPLIED
            assert (await agora.check_ledger()).is_conserved
    assert above.returncode == 0
    assert ASKED_MORE in clone.git("show", f"main:{PERSONAS}")
    assert clone.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("actors/main.py", "import os\n", "import os os\n", "SyntaxError"),
        (PERSONAS, 'SUMMARISE = "summarise"\n', 'SUMMARISE = "summarise"\nwhile True:\n    pass\n', "not ready within"),
    ],
    ids=["that cannot be read", "that hangs at the start"],
)
async def test_a_broken_upgrade_goes_back_with_its_tree_and_the_event_says_why(
    tmp_path: Path, name: str, old: str, new: str, words: str
) -> None:
    clone = Clone(tmp_path, ready_within_s=6.0)
    base = clone.git("rev-parse", "main")
    async with clone.serving():
        before = await clone.here()
        async with clone.client(before) as agora:
            spec = TaskSpec("Name a moon", capability="summarise", reward_msat=900, bid_window_s=3.0)
            task = (await agora.create_task(spec)).task
        proposal = await clone.approve(before, old, new, name)
        async with clone.client(await clone.here(but=before.pid)) as agora:
            assert words in await until_event(agora, "upgrade.rolled_back")
            view = await until(agora, proposal, ProposalState.ROLLED_BACK)
            assert (view.history[-2].by, words in view.history[-2].reason) == ("supervisor", True)
            await until_done(agora, task)
            assert await events(agora, "upgrade.taken") == []
    assert (clone.git("rev-parse", "main"), clone.git("status", "--porcelain")) == (base, "")


async def test_a_kill_of_both_processes_in_the_middle_leaves_what_the_next_start_finishes(tmp_path: Path) -> None:
    clone = Clone(tmp_path, ready_within_s=30.0)
    async with clone.serving() as above:
        before = await clone.here()
        proposal = await clone.approve(before, ASKED, ASKED_MORE)
        above.kill()
        os.kill(before.pid, signal.SIGKILL)
    async with clone.serving():
        assert proposal in await until_taken(clone, but=before.pid)
    assert ASKED_MORE in clone.git("show", f"main:{PERSONAS}")


async def test_settings_that_were_approved_take_effect_and_those_that_cannot_be_used_go_back(tmp_path: Path) -> None:
    clone = Clone(tmp_path, ready_within_s=20.0, has_code=False)
    table = "[approvals.changes]\n"
    async with clone.serving():
        first = await clone.here()
        good = await clone.approve(first, table, f"has_default_personas = false\n{PERSONA}{table}", SETTINGS)
        second = await clone.here(but=first.pid)
        async with clone.client(second) as agora:
            assert good in await until_event(agora, "upgrade.taken")
            assert '"name":"guest"' in (await events(agora, "agent.joined"))[0]
        broken = await clone.approve(second, table, f"{table}no_such_setting = 1\n", SETTINGS)
        async with clone.client(await clone.here(but=second.pid)) as agora:
            assert "no_such_setting" in await until_event(agora, "upgrade.rolled_back")
            await until(agora, broken, ProposalState.ROLLED_BACK)
    assert "no_such_setting" not in clone.git("show", f"main:{SETTINGS}")
    assert clone.git("status", "--porcelain") == ""


PERSONA = '[[personas]]\nname = "guest"\ncapabilities = ["greet"]\nprompt = "You greet."\nprice_msat = 5\n'
