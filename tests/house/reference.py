"""The reference parts of README.md, made from the code: `python -m tests.house.reference` writes them anew.

Each part stands between two markers, such as `<!-- events -->` and `<!-- end of events -->`. The words come from the
docstrings, so code and README cannot disagree: a test fails while they do.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec

from actors.config import Config
from bus.errors import AgoraError
from bus.messages.catalogue import EVENTS
from tests.house.parts import README, Row, table, with_part
from tests.house.tree import modules
from tests.web.support import World
from web.app import endpoints
from web.feed import Feed
from web.openapi import described_endpoints
from web.operation import Operation
from web.tokens import Tokens

OF_EXTRAS = frozenset(("airllm",))
"""Libraries of extras that the checks do without; what needs one defines no error."""


def events() -> str:
    """A row per event type."""
    rows = [
        (f"`{event.wire_name}`", _field_names(event.__struct_fields__, event.sealed), _first_sentence(event))
        for event in sorted(EVENTS, key=lambda event: event.wire_name)
    ]
    return table(("event", "fields (sealed ones in brackets)", "when"), rows)


def errors() -> str:
    """A row per code that edges show, wherever in the source the error is defined."""
    for module in modules():
        try:
            importlib.import_module(module.dotted)
        except ModuleNotFoundError as missing:
            if missing.name not in OF_EXTRAS:
                raise
    kinds = {kind.code: kind for kind in sorted(kinds_of_error(), key=lambda kind: kind.__name__)}
    return table(("code", "meaning"), [(f"`{code}`", _first_sentence(kinds[code])) for code in sorted(kinds)])


def settings() -> str:
    """A row per key of the config."""
    return table(("key", "default", "meaning"), list(_settings(Config, "")))


def http() -> str:
    """A row per endpoint, with what its query or its body takes."""
    world = World()
    routes = endpoints(world.edge, Feed(world.edge), Tokens(world.keyring, Path("never-written.json")))
    rows = [
        (f"`{method} {path}`", operation.scope, _taking(operation))
        for method, path, operation in sorted(described_endpoints(routes), key=lambda row: (row[1], row[0]))
    ]
    rows = [("`GET /`", "", "the page"), *rows, ("`GET /ws`", "read", "the live socket")]
    return table(("path", "needs", "what for, and what it takes"), rows)


PARTS: dict[str, Callable[[], str]] = {"settings": settings, "events": events, "errors": errors, "http": http}


def setting_keys() -> tuple[str, ...]:
    """Every key of the config, such as `server.port`."""
    return tuple(row[0].strip("`") for row in _settings(Config, ""))


def with_reference(readme: str) -> str:
    """The README's text with each part as the code has it."""
    for name, part in PARTS.items():
        readme = with_part(readme, name, part())
    return readme


def _settings(kind: type[msgspec.Struct], prefix: str) -> Iterator[Row]:
    words = _field_docstrings(kind)
    for field in msgspec.structs.fields(kind):
        key = f"{prefix}{field.encode_name}"
        nested, is_list = _nested(field.type)
        if nested is None:
            yield f"`{key}`", _default(field), words.get(field.name, "")
        else:
            yield from _settings(nested, f"{key}[]." if is_list else f"{key}.")


def _nested(annotation: object) -> tuple[type[msgspec.Struct] | None, bool]:
    """The struct in an annotation, if there is one, and whether there may be many of it."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation, False
    for argument in getattr(annotation, "__args__", ()):
        nested, _ = _nested(argument)
        if nested is not None:
            return nested, True
    return None, False


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    elif field.default is not msgspec.NODEFAULT:
        value = field.default
    else:
        return "must be set"
    return f"`{msgspec.json.encode(value, enc_hook=str).decode()}`"


@cache
def _field_docstrings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The string under each field of a class: the interpreter forgets it, its source does not."""
    words: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not issubclass(base, msgspec.Struct) or base is msgspec.Struct:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for declared, below in pairwise(body):
            match declared, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    words[name] = " ".join(text.split())
    return words


def _taking(operation: Operation) -> str:
    body = msgspec.structs.fields(operation.body) if isinstance(operation.body, type) else ()
    names = " ".join(f"`{name}`" for name in (*operation.query, *(field.encode_name for field in body)))
    return f"{operation.meaning}: {names}" if names else operation.meaning


def _field_names(names: tuple[str, ...], sealed: tuple[str, ...]) -> str:
    return ", ".join(f"[{name}]" if name in sealed else name for name in names)


def _first_sentence(kind: type) -> str:
    text = " ".join((kind.__doc__ or "").split())
    return re.split(r"(?<=[.!?]) (?=[A-Z])", text, maxsplit=1)[0]


def kinds_of_error(kind: type[AgoraError] = AgoraError) -> Iterator[type[AgoraError]]:
    """An error and all below it; those that tests make up are not Agora's."""
    yield kind
    for below in kind.__subclasses__():
        if not below.__module__.startswith("tests."):
            yield from kinds_of_error(below)


if __name__ == "__main__":
    README.write_text(with_reference(README.read_text(encoding="utf-8")), encoding="utf-8")
    print("wrote", ", ".join(PARTS))
