"""The README's example of the runtime and its simulation kit runs as it stands."""

import re

from tests.house.parts import README

PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_example_of_the_runtime_runs() -> None:
    [example] = [code for code in PYTHON.findall(README.read_text(encoding="utf-8")) if "simulate(seed" in code]
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})
