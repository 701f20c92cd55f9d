"""The README tells the truth: its commands run, and what it lists is what there is."""

import re
from pathlib import Path

import pytest

from actors.config import load
from actors.main import main
from tests.house.parts import README
from tests.house.reference import kinds_of_error, setting_keys, with_reference
from tests.house.tree import ROOT, modules

TEXT = README.read_text(encoding="utf-8")
FENCED = re.compile(r"^```[a-z]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?agora ([a-z]+)", re.MULTILINE)
TABLE_ROW = re.compile(r"^\| `([^`]+)`", re.MULTILINE)
TABLE_FIGURE = re.compile(r"^\| ([a-z][^|]+) \| [\d.]", re.MULTILINE)
ROUTE = re.compile(r'\bRoute\(\s*"([^"]+)",.*?methods=\[([^\]]+)\]', re.DOTALL)


def test_the_reference_parts_are_what_the_code_says() -> None:
    assert with_reference(TEXT) == TEXT, "run `python -m tests.house.reference`"


def test_continuous_integration_runs_the_test_command_of_the_readme_and_nothing_else() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in script if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', _test_command()]


def test_every_figure_of_the_readme_is_one_that_the_benchmarks_print() -> None:
    _, _, part = TEXT.partition("<!-- numbers -->")
    rows = TABLE_FIGURE.findall(part.partition("<!-- end of numbers -->")[0])
    sources = "".join(module.text for module in modules("tests/bench"))
    words = {word for row in rows for word in re.findall(r"[a-z]{3,}", row)}
    assert len(rows) >= 12
    assert [word for word in sorted(words) if word not in sources] == []


def test_both_commands_make_their_own_environment() -> None:
    assert _start_command().startswith("python3 -m venv .venv && ")
    assert _start_command().endswith(".venv/bin/python -m actors.main")
    assert _test_command().startswith("python3 -m venv .venv && ")


def test_every_command_that_the_readme_names_exists() -> None:
    named = sorted(
        {name for block in [*FENCED.findall(TEXT), *INLINE.findall(TEXT)] for name in COMMAND.findall(block)}
    )
    assert {"brief", "post", "tail", "status", "checkpoints"} <= set(named)
    assert {name: _help_status(name) for name in named} == dict.fromkeys(named, 0)


def test_every_setting_is_in_the_readme_with_its_meaning() -> None:
    rows = set(TABLE_ROW.findall(TEXT))
    assert [key for key in setting_keys() if key not in rows] == []
    without_meaning = re.findall(r"^\| `([^`]+)` \| [^|]* \|  \|$", TEXT, re.MULTILINE)
    assert without_meaning == []


def test_every_endpoint_is_in_the_readme_and_nothing_else_is() -> None:
    served = {
        f"{method} {re.sub(r':(path|int)}', '}', path)}"
        for module in modules("web")
        for path, methods in ROUTE.findall(module.text)
        for method in re.findall(r"[A-Z]+", methods)
    }
    rows = {row for row in TABLE_ROW.findall(TEXT) if re.match(r"[A-Z]+ /", row)}
    assert rows == served | {"GET /ws"}


def test_the_settings_that_the_readme_shows_are_accepted(tmp_path: Path) -> None:
    [example] = re.findall(r"^```toml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    file = tmp_path / "agora.toml"
    file.write_text(example, encoding="utf-8")
    config = load(file, {}, {})
    assert [provider.dialect for provider in config.router.providers] == ["ollama", "openai", "anthropic", "extractive"]


def test_every_error_has_a_code_of_its_own() -> None:
    kinds = [kind for kind in kinds_of_error() if "code" in vars(kind)]
    codes = [kind.code for kind in kinds]
    assert sorted(codes) == sorted(set(codes))


def test_no_file_speaks_of_the_machine_that_it_was_written_on() -> None:
    private = re.compile(r"/work/|/home/[a-z]|/root/|/Users/")
    texts = [README, *sorted((ROOT / ".ci").iterdir())]
    assert [str(path) for path in texts if private.search(path.read_text(encoding="utf-8"))] == []


def _start_command() -> str:
    return _blocks_with("python -m actors.main")[0]


def _test_command() -> str:
    return _blocks_with("python -m tests.check")[0]


def _blocks_with(words: str) -> list[str]:
    return [block.strip() for block in FENCED.findall(TEXT) if words in block and block.count("\n") == 1]


def _help_status(command: str) -> int | str | None:
    with pytest.raises(SystemExit) as leaving:
        main((command, "--help"))
    return leaving.value.code
