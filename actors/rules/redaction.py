"""Decide which words of a completion are not kept, and not shown while they are said.

Rules: the keys of providers never are, wherever they stand, nor what looks like a key of a known kind; nor is what the
operator's own expressions match, nor the value of a name that he lists (`"password": "..."`, `password=...`,
`password: ...`). What goes leaves a mark. Names of fields stay, so a redacted record is read like any other. Of words
that are still being said, the end is held back for as long as a secret may have begun in it.

Pure.
"""

import re
from collections.abc import Iterable, Sequence

MARK = "[redacted]"
KEY_MIN = 8
"""A secret that is shorter is no secret: to take it out would take out half the words."""
LIVE_MAX = 65_536
"""Of what is being said, so much is looked at; what was said before that is not shown any more."""
STRADDLE_MAX = 8_192
"""Longer than any secret that what is looked at may begin within."""
OWN_HELD = 64
"""Characters that are held back where the operator has expressions of his own: nobody can say how they begin."""
_LAST_WORD = re.compile(r"(?i)(?:\bbearer\s*)?[A-Za-z0-9._~+/=\-]*\Z")
"""What a key may have begun with: keys have no spaces in them."""
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
        self._exact = exact
        self._whole = re.compile(whole)
        self._own = tuple(re.compile(pattern) for pattern in patterns)
        self._names = frozenset(name.lower() for name in names)
        listed = "|".join(map(re.escape, sorted(self._names)))
        # The name, in quotes or not; then a colon or an equals sign; then the value, in quotes or up to a space.
        named = rf"""(?i)(["']?\b(?:{listed})\b["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;}}\]]+)"""
        self._named = re.compile(named) if listed else None
        begun = (
            rf"""(?is)["']?\b(?:{listed})\b["']?\s*(?:[:=]\s*(?:"(?:[^"\\]|\\.)*|'(?:[^'\\]|\\.)*|[^\s,;}}\]]*))?\Z"""
        )
        self._begun = re.compile(begun) if listed else None

    def text(self, text: str) -> str:
        """The text as it may be kept."""
        text = self._whole.sub(MARK, text)
        if self._named is not None:
            text = self._named.sub(_value_marked, text)
        for pattern in self._own:
            text = pattern.sub(MARK, text)
        return text

    def tail(self, text: str, size_max: int, *, is_over: bool = False) -> str:
        """The end of what was said so far as it may be shown; a text that is not over may go on within a secret.

        Redacted before it is cut, so that no secret straddles the cut.
        """
        said = text[-LIVE_MAX:]
        shown = self.text(said if is_over else said[: self._settled(said)])
        if len(said) < len(text) and len(shown) < size_max + STRADDLE_MAX:
            return ""  # what is looked at may begin within a secret, and that must not be near
        return shown[-size_max:]

    def _settled(self, text: str) -> int:
        """How many characters no secret can still begin in, however the text goes on, and none is cut by."""
        settled = len(text) - (OWN_HELD if self._own else 0)
        for begun in (_LAST_WORD, self._begun):
            if begun is not None and (found := begun.search(text)) is not None:
                settled = min(settled, found.start())
        for secret in self._exact:
            for size in range(min(len(secret) - 1, len(text)), 0, -1):
                if text.endswith(secret[:size]):
                    settled = min(settled, len(text) - size)
                    break
        secrets = [
            found.span() for one in (self._whole, self._named, *self._own) if one for found in one.finditer(text)
        ]
        for start, end in sorted(secrets, reverse=True):
            if start < settled < end:
                settled = start
        return max(settled, 0)

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
