"""A real server against its own OpenAPI document, by a tool that no one here wrote."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.support.served import served

CONFIG = Path(__file__).with_name("schemathesis.toml")
TOOL_MAX_S = 1_800.0
UNHURRIED = {"AGORA_WEB__COMMANDS_BURST": "1000000"}
"""The tool asks faster than one client may, and takes a 429 for an answer to what it has left out."""
UNTOUCHED = "^/(v1/|api/system/halt|api/session|api/tokens)"
"""What would end the tool's own rights, stop all others, or call a model a hundred times: tested elsewhere."""

PARTS = ("^/api/(tasks|agents|artifacts)", "^/api/(ledger|market|approvals)", "^/api/(events|state|schedules|triggers)")
"""The paths in parts, and the rest: the tool waits more than it works, so a few of it go side by side."""


async def tool(place: Path, url: str, token: str, *how: str) -> tuple[int, str]:
    """Run it on all parts; the first exit code that is not 0, and what was said with it."""
    parts = [("--include-path-regex", part, "--exclude-path-regex", UNTOUCHED) for part in PARTS]
    rest = ("--exclude-path-regex", "|".join((UNTOUCHED, *PARTS)))
    ended = await asyncio.gather(*(_run(place, url, token, *part, *how) for part in (*parts, rest)))
    return next((one for one in ended if one[0]), ended[0])


async def _run(place: Path, url: str, token: str, *how: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("st")),
        *("--config-file", str(CONFIG), "--no-color", "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--seed", "1", "--suppress-health-check", "all", *how),
        cwd=place,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), TOOL_MAX_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode()


@pytest.mark.slow
async def test_schemathesis_finds_nothing_at_the_edges_of_each_type(tmp_path: Path) -> None:
    async with served(tmp_path / "data", env=UNHURRIED) as server:
        code, said = await tool(tmp_path, server.url, server.token, "--phases", "coverage")
    assert code == 0, said


@pytest.mark.long
async def test_schemathesis_finds_nothing_however_long_it_looks(tmp_path: Path) -> None:
    async with served(tmp_path / "data", env=UNHURRIED) as server:
        code, said = await tool(
            tmp_path, server.url, server.token, "--phases", "coverage,fuzzing", "--max-examples", "50"
        )
    assert code == 0, said
