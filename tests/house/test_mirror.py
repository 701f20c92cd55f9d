"""Tests mirror the source, file by file: who reads one finds the other."""

from pathlib import PurePosixPath

from tests.house.tree import ROOT, modules

WITHOUT_TESTS_OF_THEIR_OWN: dict[str, str] = {
    "actors/line/approvals.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/cascade.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/checkpoints.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/invoices.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/journal.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/ledger.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/memory.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/schedules.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/triggers.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/line/tokens.py": "words; tests/actors/test_main.py asks every command for its help",
    "actors/providers/airllm_worker.py": "a process; tests/acceptance/test_real_airllm.py runs it",
    "actors/providers/anthropic_wire.py": "declarations; tested with its dialect",
    "actors/providers/gemini_turns.py": "tests/actors/providers/test_tool_calls.py has a conversation in every dialect",
    "actors/providers/gemini_wire.py": "declarations; tested with its dialect",
    "actors/providers/llama_worker.py": "a process; tests/actors/providers/test_llama.py runs it",
    "actors/providers/openai_turns.py": "tests/actors/providers/test_tool_calls.py has a conversation in every dialect",
    "actors/runtime/roads.py": "a protocol; tests/actors/runtime/test_delivery.py tests the one there is",
    "actors/providers/openai_wire.py": "declarations; tested with its dialect",
    "actors/providers/opening.py": "a choice of one of the others; tests/actors/providers/test_provider.py opens each",
    "bus/address.py": "one type and one constant",
    "bus/errors.py": "declarations; tests/house/test_readme.py checks their codes, their users test the rest",
    "bus/refusals.py": "declarations; tests/house/test_readme.py checks their codes, their users test the rest",
    "bus/envelope.py": "declarations; tested through the runtime",
    "bus/switch.py": "one flag; tested through those who look at it",
    "bus/messages/base.py": "declarations; the catalogue test covers every message",
    "bus/messages/agents.py": "declarations; the catalogue test covers every message",
    "bus/messages/approvals.py": "declarations; the catalogue test covers every message",
    "bus/messages/artifacts.py": "declarations; the catalogue test covers every message",
    "bus/messages/triggers.py": "declarations; the catalogue test covers every message",
    "bus/messages/checkpoints.py": "declarations; the catalogue test covers every message",
    "bus/messages/catalogue.py": "a list; tests/house/test_catalogue.py checks all of it",
    "bus/messages/completions.py": "declarations; the catalogue test covers every message",
    "bus/messages/embeddings.py": "declarations; the catalogue test covers every message",
    "bus/messages/ledger.py": "declarations; the catalogue test covers every message",
    "bus/messages/lightning.py": "declarations; the catalogue test covers every message",
    "bus/messages/memory.py": "declarations; the catalogue test covers every message",
    "bus/messages/monitor.py": "declarations; the catalogue test covers every message",
    "bus/messages/routing.py": "declarations; the catalogue test covers every message",
    "bus/messages/transcripts.py": "declarations; the catalogue test covers every message",
    "bus/messages/repositories.py": "declarations; the catalogue test covers every message",
    "bus/messages/quotas.py": "declarations; the catalogue test covers every message",
    "bus/messages/runtime.py": "declarations; the catalogue test covers every message",
    "bus/messages/schedules.py": "declarations; the catalogue test covers every message",
    "bus/messages/system.py": "declarations; the catalogue test covers every message",
    "bus/messages/tasks.py": "declarations; the catalogue test covers every message",
    "bus/messages/upgrades.py": "declarations; the catalogue test covers every message",
    "bus/messages/webhooks.py": "declarations; the catalogue test covers every message",
    "web/documents.py": "declarations; tests/support/contract.py holds every answer and frame to them",
}
"""Modules whose tests stand elsewhere, and why."""


def test_every_module_has_a_test_file_of_the_same_name() -> None:
    sources = [module.name for module in modules() if not module.name.endswith("__init__.py")]
    missing = [name for name in sources if name not in WITHOUT_TESTS_OF_THEIR_OWN and not (ROOT / _test(name)).exists()]
    assert missing == []


def test_no_exception_is_kept_for_a_module_that_is_gone_or_has_tests() -> None:
    names = {module.name for module in modules()}
    stale = [name for name in WITHOUT_TESTS_OF_THEIR_OWN if name not in names or (ROOT / _test(name)).exists()]
    assert stale == []


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def _test(name: str) -> str:
    path = PurePosixPath(name)
    return (PurePosixPath("tests") / path.parent / f"test_{path.name}").as_posix()
