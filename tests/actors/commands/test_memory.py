"""`agora memory`, through the running server."""

from pathlib import Path

import msgspec
import pytest

from actors.commands import memory
from actors.commands.connection import joined
from actors.commands.console import ExitCode
from actors.commands.exchange import export
from actors.commands.forks import fork
from actors.commands.redact import Target, redact
from actors.commands.replay import Replayed, replay
from bus.messages.memory import Audience
from tests.support.inside import decoded, serving, shell_at
from web.live_feed import RequestFailed


async def test_facts_are_remembered_recalled_corrected_shown_and_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = shell_at(tmp_path)
    async with serving(tmp_path):
        assert await memory.list_(shell, which="valid", as_of="", limit=50, after="") is ExitCode.DONE
        assert capsys.readouterr().out == "nothing is remembered\n"
        made = await memory.remember(
            shell, "the key", "behind the clock", audience="everyone", readers=[], valid_from="", valid_to=""
        )
        assert made is ExitCode.DONE
        assert capsys.readouterr().out.startswith("f-1: the key: behind the clock (by admin, for everyone, since 20")
        assert await memory.correct(shell, "f-1", "in the hall", reason="moved", valid_from="") is ExitCode.DONE
        assert "; moved)" in capsys.readouterr().out
        assert await memory.recall(shell, "hall key", as_of="", limit=10) is ExitCode.DONE
        assert "in the hall" in (said := capsys.readouterr().out)
        assert "behind the clock" not in said
        assert await memory.recall(shell, "submarine", as_of="", limit=10) is ExitCode.DONE
        assert capsys.readouterr().out == "nothing that is remembered has these words\n"
        assert await memory.show(shell, "f-1") is ExitCode.DONE
        lines = capsys.readouterr().out.splitlines()
        assert [line[:3] for line in lines] == ["f-2", "f-1"]
        assert lines[1].endswith("superseded by f-2)")
        assert await memory.end(shell, "f-2", reason="sold") is ExitCode.DONE
        assert " to 20" in capsys.readouterr().out
        with pytest.RaisesGroup(RequestFailed):
            await memory.end(shell, "f-9", reason="")


async def test_a_long_list_goes_on_and_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = shell_at(tmp_path)
    async with serving(tmp_path):
        for text in ("one", "two"):
            await memory.remember(
                shell, text, text, audience="named", readers=["agents/scout"], valid_from="", valid_to=""
            )
        capsys.readouterr()
        assert await memory.list_(shell, which="all", as_of="", limit=1, after="") is ExitCode.DONE
        assert "there are more: --after f-2" in capsys.readouterr().out
        assert await memory.list_(shell, which="all", as_of="", limit=1, after="f-2") is ExitCode.DONE
        assert "there are more" not in capsys.readouterr().out


async def test_machines_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = shell_at(tmp_path, is_json=True)
    async with serving(tmp_path):
        await memory.remember(
            shell, "mine", "a secret", audience="owner", readers=[], valid_from="", valid_to="2100-01-01T00:00:00Z"
        )
        assert decoded(capsys.readouterr().out)["audience"] == "owner"
        await memory.list_(shell, which="valid", as_of="", limit=5, after="")
        assert decoded(capsys.readouterr().out)["held"] == 1
        await memory.recall(shell, "secret", as_of="2099-01-01T00:00:00Z", limit=5)
        assert decoded(capsys.readouterr().out)["held"] == 1
        await memory.show(shell, "f-1")
        assert "versions" in decoded(capsys.readouterr().out)


@pytest.mark.slow
async def test_the_memory_is_in_replays_forks_and_redactions_and_what_is_private_is_in_no_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, into, file = tmp_path / "data", tmp_path / "fork", tmp_path / "all.jsonl"
    shell, machine = shell_at(data), shell_at(data, is_json=True)
    async with serving(data):
        told: tuple[tuple[str, Audience], ...] = (("the lime tree", "owner"), ("the open door", "everyone"))
        for subject, audience in told:
            await memory.remember(
                shell, subject, f"About {subject}.", audience=audience, readers=[], valid_from="", valid_to=""
            )
        await memory.correct(shell, "f-1", "Another Quintessence.", reason="it grew", valid_from="")
        async with joined(shell) as agora:
            (corrected,) = (await agora.events(type="memory.corrected")).events
    assert await export(shell, str(file), has_sealed=False) is ExitCode.DONE
    assert "Quintessence" not in file.read_text()
    assert "the open door" in file.read_text()
    capsys.readouterr()
    assert await replay(machine, None) is ExitCode.DONE
    whole = msgspec.json.decode(capsys.readouterr().out, type=Replayed)
    assert whole.differences == ()
    assert await fork(machine, str(whole.position), into) is ExitCode.DONE
    async with serving(into):
        capsys.readouterr()
        assert await memory.recall(shell_at(into), "quintessence", as_of="", limit=5) is ExitCode.DONE
        assert "the lime tree" in capsys.readouterr().out
    assert await redact(machine, Target(position=corrected.position), reason="asked", by="ann") is ExitCode.DONE
    async with serving(data):
        capsys.readouterr()
        assert await memory.show(shell, "f-1") is ExitCode.DONE
        said = capsys.readouterr().out
        assert "Quintessence" not in said
        assert "f-3: [redacted]: [redacted]" in said
        assert "About the lime tree." in said
