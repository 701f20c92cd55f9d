"""The source as data: every module of the floors, parsed once."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("actors", "bus", "storage", "web")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """A source file. `name` is its path from the root, such as `bus/topics.py`."""

    name: str
    text: str
    tree: ast.Module

    @property
    def is_test(self) -> bool:
        return self.name.startswith("tests/")

    @property
    def dotted(self) -> str:
        """Its name as imports have it."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def functions(self) -> Iterator[Function]:
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def classes(self) -> Iterator[ast.ClassDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                yield node

    def at(self, node: ast.stmt | ast.ExceptHandler) -> str:
        return f"{self.name}:{node.lineno}"


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """All Python files under the folders; without any, those of the floors."""
    paths = sorted(path for folder in folders or FLOORS for path in (ROOT / folder).rglob("*.py"))
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(path.relative_to(ROOT).as_posix(), text, ast.parse(text))


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1
