"""AirLLM on a tiny local llama, which no one here wrote: by hand, since torch is large.

It runs with the interpreter that `AGORA_AIRLLM_PYTHON` names, or with this one; where neither has `agora[airllm]` it
skips and says so.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from actors.providers.discovery import EXTRACTIVE
from actors.providers.options import ProviderOptions
from bus.messages.completions import CompletionAttemptFailed, CompletionCompleted
from tests.support import tiny_model
from tests.support.routing import Routing, request, routing

PYTHON = os.environ.get("AGORA_AIRLLM_PYTHON", sys.executable)
WRITER = Path(tiny_model.__file__).with_name("tiny_llama.py")
WAIT_S = 300.0
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if subprocess.run(
        [PYTHON, "-I", "-c", "import airllm"], check=False, capture_output=True, timeout=WAIT_S
    ).returncode:
        pytest.skip(f"{PYTHON} has no AirLLM: pip install agora[airllm]")
    folder = tmp_path_factory.mktemp("llama")
    subprocess.run([PYTHON, "-I", str(WRITER), str(folder)], check=True, timeout=WAIT_S)
    return folder


def large(model: Path) -> ProviderOptions:
    return ProviderOptions(
        name="large", dialect="airllm", model_path=str(model), python=PYTHON, context_tokens=512, timeout_s=WAIT_S
    )


async def ask(router: Routing, text: str, tokens_max: int = 6) -> str:
    heard: list[str] = []
    asked = msgspec.structs.replace(request(text, tokens_max=tokens_max, deadline_s=WAIT_S), temperature=0.0)
    answer = await router.stream(asked, heard)
    assert "".join(heard) == answer.text
    return answer.provider


async def test_a_large_model_answers_word_by_word_and_its_process_ends_with_the_system(model: Path) -> None:
    before = _children()
    async with routing(large(model), environment=os.environ) as router:
        assert await ask(router, "Hello.") == "large"
        assert await ask(router, "Hello again.") == "large"
        completed = router.events(CompletionCompleted)
        assert [(done.tokens_out, done.finish_reason, done.is_usage_estimated) for done in completed] == [
            (6, "length", False)
        ] * 2
        assert len(_children() - before) == 1
    assert _children() == before


async def test_a_prompt_beyond_its_context_goes_on_to_the_next_provider(model: Path) -> None:
    tokens_short = msgspec.structs.replace(large(model), context_tokens=64)
    async with routing(tokens_short, EXTRACTIVE, environment=os.environ) as router:
        text = "This is a sentence of a document, which is not so short. Another one follows it here."
        assert await ask(router, text, tokens_max=30) == "extractive"
        assert [failed.error for failed in router.events(CompletionAttemptFailed)] == ["overflow"]


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()}
