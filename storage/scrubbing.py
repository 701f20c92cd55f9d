"""Words that are taken out of a saved state, where the events that brought them in were pruned.

A state copies what its events said, in fields of its own. Events that are still there are folded again and say a
marker; a checkpoint that stands for pruned ones is gone through instead: whatever belongs to one of the subjects (it is
kept under its name, or names it) loses the fields that hold personal text, and words that are known are replaced
wherever they stand. Rather a word too many goes than one too few.

Pure: no clock, no disk.
"""

from collections.abc import Collection

import msgspec

from storage.boxes import MARKER

WORDS_MIN = 8
"""Characters of a text that is looked for inside others; a shorter one stands in too many by chance."""

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def scrubbed(state: bytes, subjects: Collection[str], fields: Collection[str], words: Collection[str]) -> bytes:
    """The state's JSON without them; the same bytes where there are none."""
    value = msgspec.json.decode(state)
    known = sorted((word for word in words if word), key=len, reverse=True)
    scrub = _Scrub(frozenset(subjects) - {""}, frozenset(fields), frozenset(known), tuple(known))
    found = scrub.of(value, "", is_theirs=False)
    return msgspec.json.encode(found) if found != value else state


def said_of(state: bytes, subjects: Collection[str]) -> tuple[list[str], list[str]]:
    """The texts in what belongs to the subjects, and those in all else."""
    theirs: list[str] = []
    others: list[str] = []
    names = frozenset(subjects) - {""}

    def walk(value: Json, *, is_theirs: bool) -> None:
        match value:
            case dict():
                is_named = is_theirs or _is_named(value, names)
                for name, one in value.items():
                    walk(one, is_theirs=is_named or name in names)
            case list():
                for one in value:
                    walk(one, is_theirs=is_theirs)
            case str():
                (theirs if is_theirs else others).append(value)
            case _:
                pass

    walk(msgspec.json.decode(state), is_theirs=False)
    return theirs, others


def _is_named(fields: dict[str, Json], names: frozenset[str]) -> bool:
    return any(isinstance(one, str) and one in names for one in fields.values())


class _Scrub(msgspec.Struct, frozen=True):
    subjects: frozenset[str]
    fields: frozenset[str]
    words: frozenset[str]
    longest_first: tuple[str, ...]

    def of(self, value: Json, field: str, *, is_theirs: bool) -> Json:
        match value:
            case dict():
                is_named = is_theirs or _is_named(value, self.subjects)
                return {
                    name: self.of(one, name, is_theirs=is_named or name in self.subjects) for name, one in value.items()
                }
            case list():
                return [self.of(one, field, is_theirs=is_theirs) for one in value]
            case str() if value:
                if field in self.fields and (is_theirs or value in self.words):
                    return MARKER
                return self._without_words(value)
            case _:
                return value

    def _without_words(self, text: str) -> str:
        for word in self.longest_first:
            if len(word) >= WORDS_MIN:
                text = text.replace(word, MARKER)
        return text
