"""The main job, as a process: forty documents that nobody here wrote."""

from pathlib import Path

import msgspec
import pytest

from tests.support.real_documents import real_documents
from tests.support.served import Ended, ran, served

pytestmark = pytest.mark.slow

DOCUMENTS = 40


class Row(msgspec.Struct):
    document: str
    state: str
    brief: str
    agent: str
    provider: str
    price_msat: int
    seconds: float
    problem: str


class Report(msgspec.Struct):
    documents: list[Row]
    briefed: int
    failed: int
    paid_msat: int


def report_of(ended: Ended) -> Report:
    assert not ended.has_traceback, ended
    return msgspec.json.decode(ended.out, type=Report)


async def test_forty_real_documents_are_briefed_to_the_end_and_paid_for(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    real_documents(folder, DOCUMENTS)
    ended = await ran("brief", str(folder), "--json", "--data", str(tmp_path / "data"))
    assert ended.code == 0, ended
    report = report_of(ended)
    assert (report.briefed, report.failed, len(report.documents)) == (DOCUMENTS, 0, DOCUMENTS)
    assert all(row.state == "completed" and row.brief and row.agent and row.provider for row in report.documents)
    assert report.paid_msat == sum(row.price_msat for row in report.documents)
    assert len({row.agent for row in report.documents}) >= 2, "the work spreads over agents"


async def test_briefs_join_a_server_that_runs_on_the_same_data(tmp_path: Path) -> None:
    documents = real_documents(tmp_path / "documents", 3)
    async with served(tmp_path / "data") as server:
        ended = await ran("brief", *map(str, documents), "--json", "--data", str(server.data), "--reward", "700")
        assert ended.code == 0, ended
        async with server.client() as client:
            tasks = (await client.tasks()).tasks
            assert {task.spec.reward_msat for task in tasks} == {700}
            assert len(tasks) == 3
            assert (await client.check_ledger()).is_conserved


async def test_a_person_sees_a_table(tmp_path: Path) -> None:
    (document,) = real_documents(tmp_path / "documents", 1)
    ended = await ran("brief", str(document), "--sentences", "2", "--data", str(tmp_path / "data"))
    assert ended.code == 0, ended
    for word in ("document", "brief", "agent", "provider", "price", "time", "extractive", "1 briefed, 0 not"):
        assert word in ended.out


async def test_documents_that_cannot_be_read_are_told_in_their_rows_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    real_documents(folder, 1)
    (folder / "binary.txt").write_bytes(b"\x89PNG\xff\0")
    (folder / "empty.md").write_bytes(b"")
    (folder / "large.txt").write_bytes(b"word " * 1_000_000)
    (folder / "broken.txt").symlink_to(tmp_path / "nowhere")
    ended = await ran("brief", str(folder), "--json", "--data", str(tmp_path / "data"))
    assert ended.code == 1
    report = report_of(ended)
    assert (report.briefed, report.failed) == (1, 4)
    problems = {row.document: row.problem for row in report.documents if row.problem}
    assert problems == {
        "binary.txt": "binary: it is not UTF-8 text",
        "broken.txt": "cannot be read: No such file or directory",
        "empty.md": "empty: it holds no text",
        "large.txt": "too large: more than 4 MiB",
    }


async def test_an_empty_folder_and_a_path_that_is_not_there_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, words in (("empty", "no document found"), ("none", "there is no such file or folder")):
        ended = await ran("brief", str(tmp_path / path), "--data", str(tmp_path / "data"))
        assert ended.code == 2
        assert words in ended.err
        assert not ended.has_traceback
        assert ended.out == ""


async def test_a_spent_budget_is_said_and_the_work_that_waits_is_counted(tmp_path: Path) -> None:
    documents = real_documents(tmp_path / "documents", 2)
    config = tmp_path / "agora.toml"
    # A priced provider alone, with less money than any call may cost: nothing is ever sent to it.
    config.write_text(
        "[router]\nbudget_run_usd_micros = 1\n"
        '[[router.providers]]\nname = "dear"\ndialect = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
        'model = "m"\nprice_in = 1000\nprice_out = 1000\n'
    )
    ended = await ran(
        "brief", *map(str, documents), "--json", "--config", str(config), "--data", str(tmp_path / "data")
    )
    assert ended.code == 1, ended
    assert "The budget is spent" in ended.err
    assert {row.state for row in report_of(ended).documents} == {"waiting"}
