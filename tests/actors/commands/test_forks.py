"""`agora checkpoints restore` and `fork`: another directory that goes on from an earlier position."""

from pathlib import Path

import msgspec
import pytest

from actors.commands import forks
from actors.commands.console import ExitCode, Shell
from actors.commands.forks import Forked
from actors.commands.replay import Replayed, replay
from actors.composition import running
from actors.journal_options import JournalOptions
from bus.errors import BadUsage
from bus.refusals import NotFound
from storage.checkpoints import CheckpointStore
from storage.errors import DirectoryInUse
from tests.support.inside import briefed, config_at, serving, shell_at


async def _replayed(data: Path, capsys: pytest.CaptureFixture[str], to: int | None = None) -> Replayed:
    capsys.readouterr()
    assert await replay(shell_at(data, is_json=True), to) is ExitCode.DONE
    return msgspec.json.decode(capsys.readouterr().out, type=Replayed)


@pytest.mark.parametrize("at", ["step:1", "25"], ids=["checkpoint", "position"])
async def test_a_fork_has_the_state_that_there_was_and_goes_on_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    data, into = tmp_path / "data", tmp_path / "into"
    await briefed(data, tmp_path / "documents", 1)
    await briefed(data, tmp_path / "documents", 2)
    capsys.readouterr()
    assert await forks.fork(shell_at(data, is_json=True), at, into) is ExitCode.DONE
    forked = msgspec.json.decode(capsys.readouterr().out, type=Forked)
    before, after = await _replayed(data, capsys, forked.position), await _replayed(into, capsys)
    assert (after.state_hash, after.actors) == (before.state_hash, before.actors)
    assert after.position == forked.position
    assert len(forked.checkpoints) == (1 if at == "step:1" else 0)
    assert forked.includes == {} or "accounts" in forked.includes["ledger"]
    assert any("artifact a-" in words for words in forked.effects_first)
    async with serving(into) as society:
        assert society.system.log.epoch == 2
    await briefed(into, tmp_path / "documents", 3)
    whole = await _replayed(data, capsys)
    assert (whole.events, whole.differences) == (forked.position + forked.events_after, ())


async def test_a_restore_keeps_what_was_there_and_goes_on_in_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    await briefed(data, tmp_path / "documents", 1)
    before = await _replayed(data, capsys)
    token = (data / "admin.token").read_text()
    (data / "library").mkdir()
    (data / "library" / "kept.md").write_text("kept")
    await briefed(data, tmp_path / "documents", 2)
    whole = await _replayed(data, capsys)
    assert await forks.restore(shell_at(data, is_json=True), str(before.position)) is ExitCode.DONE
    restored = msgspec.json.decode(capsys.readouterr().out, type=Forked)
    assert (await _replayed(data, capsys)).state_hash == before.state_hash
    assert (await _replayed(Path(restored.old), capsys)).state_hash == whole.state_hash
    assert (data / "admin.token").read_text() == token
    assert (data / "library" / "kept.md").read_text() == "kept"
    assert restored.effects > 0
    await briefed(data, tmp_path / "documents", 3)
    assert await forks.restore(shell_at(data), "newest") is ExitCode.DONE
    said = capsys.readouterr().out
    assert "what was there is kept" in said
    assert "it starts from c-" in said


async def test_nothing_is_restored_beside_a_server_and_nothing_forked_onto_something(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data):
        with pytest.raises(DirectoryInUse):
            await forks.restore(shell_at(data), "1")
        with pytest.raises(BadUsage, match="is not empty"):
            await forks.fork(shell_at(data), "1", data)
        assert await forks.fork(shell_at(data), "5", tmp_path / "beside") is ExitCode.DONE


async def test_what_is_not_there_cannot_be_gone_back_to(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data):
        pass
    for at in ("0", "9999"):
        with pytest.raises(BadUsage, match="there is no position"):
            await forks.fork(shell_at(data), at, tmp_path / "into")
    with pytest.raises(NotFound):
        await forks.fork(shell_at(data), "never", tmp_path / "into")
    with pytest.raises(NotFound, match="journal"):
        await forks.fork(shell_at(tmp_path / "none"), "1", tmp_path / "into")


async def test_checkpoints_that_are_kept_elsewhere_go_back_with_the_journal_and_the_old_ones_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    config = config_at(data)
    config = msgspec.structs.replace(config, journal=JournalOptions(checkpoint_directory=str(elsewhere)))
    positions = []
    for _ in range(3):
        async with running(config, {}, web=False):
            pass
        positions.append(int((await kept_in(elsewhere))[0].removeprefix("c-")))
    shell, words = Shell(config, is_json=False), Shell(config, is_json=True)
    assert await forks.fork(shell, str(positions[1]), tmp_path / "into") is ExitCode.DONE
    assert "the one in effect is this journal's" in capsys.readouterr().out
    assert (tmp_path / "into" / "checkpoints").is_dir()
    assert await forks.restore(words, str(positions[1])) is ExitCode.DONE
    restored = msgspec.json.decode(capsys.readouterr().out, type=Forked)
    assert restored.checkpoints == (f"c-{positions[1]}", f"c-{positions[0]}")
    assert restored.old_checkpoints == f"{elsewhere}.before-{positions[1]}-1"
    assert await kept_in(elsewhere) == list(restored.checkpoints)
    assert await kept_in(Path(restored.old_checkpoints)) == [f"c-{position}" for position in reversed(positions)]
    async with running(config, {}, web=False) as society:
        assert society.replayed == 0


async def kept_in(directory: Path) -> list[str]:
    async with CheckpointStore.inspect(directory) as store:
        return [view.checkpoint for view in await store.list()]
