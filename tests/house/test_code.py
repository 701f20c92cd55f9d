"""Sizes, names and habits of the code."""

import ast
import re
from collections.abc import Iterator

from tests.house.tree import FLOORS, ROOT, Module, lines_of, modules

SOURCE_LINES_MAX = 450
TEST_LINES_MAX = 700
FUNCTION_LINES_MAX = 60
METHODS_MAX = 30

EMPTY_NAMES = re.compile(r"(Manager|Helper|Utils?|Service|Processor|Engine|Handler|Info|Wrapper)s?$")
"""A name that ends so says that the thing has not been understood yet."""
MESSAGES_NAMED_SO = {"SystemInfo"}
"""The event `system.info`, whose name is a contract."""

BROAD_EXCEPTS: dict[str, str] = {
    "actors/runtime": "the actor loop turns any fault into a typed one and restarts the actor",
    "web/app.py": "the ASGI boundary turns any fault into a problem document without a traceback",
    "web/connection.py": "the same boundary for a live socket, which no request stands around any more",
    "actors/main.py": "the command line's last resort: no traceback reaches a user",
}
"""Where `except Exception` may stand, and why."""

SLEEPERS: dict[str, str] = {
    "tests/actors/runtime/": "virtual time, where a sleep takes no time; and tasks that are there to be cancelled",
    "tests/actors/test_readiness.py": "virtual time, where a sleep takes no time",
    "tests/actors/test_last_copies_histories.py": "a real loop: timers and restarts take time",
    "tests/acceptance/test_real_airllm.py": "it skips, with the reason, where AirLLM is not installed",
    "tests/bench/approvals.py": "the loop's pauses are how late a sleep is",
    "tests/bench/journal_size.py": "a wait for the disk to settle between two measurements",
    "tests/bench/live_server.py": "the pace at which the measured source speaks",
    "tests/storage/shims.py": "it skips, with the reason, where there is no compiler for the failing disk",
    "tests/support/small_disk.py": "it mounts a file system of its own, which only root may do",
    "tests/bench/journal_load.py": "a quiet loop, whose lateness is what a burst is compared with",
    "tests/bench/checkpoints.py": "a beat whose lateness is what is measured",
    "tests/actors/git/": "programs that hang, which are what is bounded",
    "tests/bench/model_server.py": "the model's thinking time, which is what is waited for",
    "tests/bench/runtime_size.py": "the loop's lateness is how late a sleep is",
    "tests/house/test_code.py": "the pattern itself",
    "tests/simulation/": "virtual time, where a sleep takes no time",
}
"""Tests that may call a sleep or skip, and why."""

FLOOR_FOLDERS = {"actors", "bus", "storage", "web", "tests"}


def test_no_file_is_too_long_to_be_one_idea() -> None:
    bounds = {module.name: TEST_LINES_MAX if module.is_test else SOURCE_LINES_MAX for module in _all()}
    assert [f"{m.name}: {_lines(m)} lines" for m in _all() if _lines(m) > bounds[m.name]] == []


def test_no_function_is_too_long_to_be_read_at_once() -> None:
    assert [
        f"{module.at(function)} {function.name}: {lines_of(function)} lines"
        for module in modules()
        for function in module.functions()
        if lines_of(function) > FUNCTION_LINES_MAX
    ] == []


def test_no_class_has_too_many_methods_beside_its_handlers() -> None:
    assert [
        f"{module.at(node)} {node.name}: {_methods(node)} methods"
        for module in modules()
        for node in module.classes()
        if _methods(node) > METHODS_MAX
    ] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [module.name for module in _all() if not ast.get_docstring(module.tree)]
    assert [name for name in silent if not re.fullmatch(r"tests/.*__init__\.py", name)] == []


def test_every_public_class_says_what_it_is_for() -> None:
    assert [
        f"{module.at(node)} {node.name}"
        for module in modules()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and not _is_enum(node)
    ] == []


def test_no_name_says_nothing() -> None:
    names = [
        (f"{module.at(node)} {node.name}", node.name)
        for module in _all()
        for node in module.classes()
        if node.name not in MESSAGES_NAMED_SO
    ]
    files = [(m.name, m.name.rsplit("/", 1)[-1].removesuffix(".py").title().replace("_", "")) for m in modules()]
    assert [where for where, name in names + files if EMPTY_NAMES.search(name)] == []


def test_a_message_that_carries_an_error_is_looked_at_by_the_garbage_collector() -> None:
    assert [
        f"{module.at(node)} {node.name}"
        for module in modules()
        for node in module.classes()
        if {base.id for base in node.bases if isinstance(base, ast.Name)} & {"Message", "Reply", "Event"}
        and any(isinstance(part, ast.AnnAssign) and "AgoraError" in ast.unparse(part.annotation) for part in node.body)
        and not any(keyword.arg == "gc" for keyword in node.keywords)
    ] == []


def test_nothing_is_left_open() -> None:
    left_open = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    rows = [(m.name, number, line) for m in modules() for number, line in enumerate(m.text.splitlines(), 1)]
    assert [f"{name}:{number}" for name, number, line in rows if left_open.search(line)] == []


def test_imports_stand_at_the_top() -> None:
    assert [
        f"{module.at(node)} in {function.name}"
        for module in _all()
        for function in module.functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ] == []


def test_only_the_actor_loop_and_the_edges_catch_every_exception() -> None:
    assert [
        where
        for where, module in _broad_excepts()
        if not any(module.name.startswith(allowed) for allowed in BROAD_EXCEPTS)
    ] == []


def test_every_place_that_may_catch_every_exception_still_does() -> None:
    catching = {module.name for _, module in _broad_excepts()}
    assert [allowed for allowed in BROAD_EXCEPTS if not any(name.startswith(allowed) for name in catching)] == []


def test_no_module_uses_the_json_of_the_standard_library() -> None:
    assert [
        module.at(node)
        for module in _all()
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Import) and any(name.name.split(".")[0] == "json" for name in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "json")
    ] == []


def test_no_test_sleeps_skips_or_mocks() -> None:
    habits = re.compile(
        r"\bpytest\.mark\.(skip|xfail)|\bunittest\.mock|\bmonkeypatch\.|\b(time|asyncio|anyio)\.sleep\((?!0\))"
    )
    rows = [(m.name, number, line) for m in modules("tests") for number, line in enumerate(m.text.splitlines(), 1)]
    found = [(name, f"{name}:{number}") for name, number, line in rows if habits.search(line)]
    assert [where for name, where in found if not name.startswith(tuple(SLEEPERS))] == []


def test_the_top_of_the_repository_holds_the_floors_and_nothing_else() -> None:
    folders = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not path.name.endswith(".egg-info")
    }
    assert folders - {"agora-data", "build", "dist"} == FLOOR_FOLDERS


def _all() -> tuple[Module, ...]:
    return modules(*FLOORS, "tests")


def _lines(module: Module) -> int:
    return module.text.count("\n")


def _methods(node: ast.ClassDef) -> int:
    """How many there are, without those that an actor has one of per message, and without what reads like a field."""
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
    return sum(not item.name.startswith("on_") and not item.decorator_list for item in methods)


def _is_enum(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id.endswith("Enum") for base in node.bases)


def _broad_excepts() -> Iterator[tuple[str, Module]]:
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _raises_again(node):
                yield module.at(node), module


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether the handler only passes by: it ends by raising what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _is_broad(kind: ast.expr | None) -> bool:
    match kind:
        case None:
            return True
        case ast.Name(id=name):
            return name in {"Exception", "BaseException"}
        case ast.Tuple(elts=kinds):
            return any(_is_broad(item) for item in kinds)
        case _:
            return False
