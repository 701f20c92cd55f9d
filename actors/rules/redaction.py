"""Decide which words of a completion are not kept.

Rules: the keys of providers never are, wherever they stand, nor what looks like a key of a known kind; nor is what the
operator's own expressions match, nor the value of a name that he lists (`"password": "..."`, `password=...`,
`password: ...`). What goes leaves a mark. Names of fields stay, so a redacted record is read like any other.

Pure.
"""

import re
from collections.abc import Iterable, Sequence

MARK = "[redacted]"
KEY_MIN = 8
"""A secret that is shorter is no secret: to take it out would take out half the words."""
_KEY_SHAPES = (
    r"\bsk-[A-Za-z0-9_\-]{16,}",  # OpenAI, Anthropic, OpenRouter
    r"\bAIza[A-Za-z0-9_\-]{30,}",  # Google
    r"\bgh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
    r"\bAKIA[A-Z0-9]{16}\b",  # AWS
    r"\bagora_[A-Za-z0-9_\-]{16,}",  # our own tokens
    r"(?i:\bbearer\s+)[A-Za-z0-9._~+/\-]{16,}=*",
)


class Redactor:
    """Takes out what is not to be kept."""

    def __init__(self, patterns: Sequence[str], names: Iterable[str], secrets: Iterable[str]) -> None:
        exact = sorted({secret for secret in secrets if len(secret) >= KEY_MIN}, key=len, reverse=True)
        whole = "|".join([*map(re.escape, exact), *_KEY_SHAPES])
        self._whole = re.compile(whole)
        self._own = tuple(re.compile(pattern) for pattern in patterns)
        self._names = frozenset(name.lower() for name in names)
        listed = "|".join(map(re.escape, sorted(self._names)))
        # The name, in quotes or not; then a colon or an equals sign; then the value, in quotes or up to a space.
        named = rf"""(?i)(["']?\b(?:{listed})\b["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;}}\]]+)"""
        self._named = re.compile(named) if listed else None

    def text(self, text: str) -> str:
        """The text as it may be kept."""
        text = self._whole.sub(MARK, text)
        if self._named is not None:
            text = self._named.sub(_value_marked, text)
        for pattern in self._own:
            text = pattern.sub(MARK, text)
        return text

    def tree(self, value: object) -> object:
        """A value of lists, tables and texts, with each text as it may be kept."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {name: MARK if self._hides(name, inner) else self.tree(inner) for name, inner in value.items()}
            case list() | tuple():
                return [self.tree(inner) for inner in value]
            case _:
                return value

    def _hides(self, name: object, value: object) -> bool:
        return isinstance(value, str) and bool(value) and str(name).lower() in self._names


def check(patterns: Sequence[str]) -> None:
    """Raises ValueError for an expression that cannot be used; it names it."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"`log_redact` has {pattern!r}, which is no regular expression: {error}") from error


def _value_marked(found: re.Match[str]) -> str:
    quote = found[2][0] if found[2][0] in "\"'" else ""
    return f"{found[1]}{quote}{MARK}{quote}"
