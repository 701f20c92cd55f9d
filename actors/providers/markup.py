"""Take the prose out of a document: Markdown, reStructuredText, package metadata or plain text.

Rules: what no reader would read aloud is left out: headers of package metadata and front matter, badges, images, code,
tables, addresses, comments. Links and emphasis become their words. What is left are paragraphs and list items, each
with the heading that it stands under. It is a reader's eye, not a parser: it never fails, whatever it is given.

Pure.
"""

import html
import re
from collections.abc import Iterator
from enum import StrEnum

import msgspec

CHARACTERS_MAX = 200_000
"""Forty thousand words: what a brief is about has been said by then."""

_METADATA = re.compile(r"\AMetadata-Version:\s", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_QUOTE = re.compile(r"^\s{0,3}>(?!>>)\s?")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
_RULE = re.compile(r"^\s*([=\-~^\"'`#*+.:_<>])\1{2,}\s*$")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+\u2022\u2013]|\(?\d{1,3}[.)]|#\.|\[[ xX]\])\s+")
_TABLE_RULE = re.compile(r"^\s*[=\-]{3,}(?:\s+[=\-]{3,})+\s*$")
_TABLE = re.compile(r"^\s*(?:\||\+[-=+]+\+)|\s\|\s.*\s\|")
_DIRECTIVE = re.compile(r"^\s*\.\.(\s|$)")
_FIELD = re.compile(r"^\s*:[\w -]+:(\s|$)(?!`)")
_COMMAND = re.compile(r"^\s*(?:\$|>>>|\.\.\.|%|C:\\)\s?\S")
_LINK_TARGET = re.compile(r"^\s*\[[^\]]+\]:\s*\S")
_ADMONITION = re.compile(r"^\s*\[!\w+\]")
_PASSED_OVER = (_TABLE, _FIELD, _COMMAND, _LINK_TARGET, _ADMONITION)
_COMMENT = re.compile(r"<!--.*?-->|<(script|style|pre|table)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BREAKING_TAG = re.compile(r"</?(?:p|div|h[1-6]|li|ul|ol|br|hr|tr|td|details|summary|section)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_INLINE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"!\[[^\]]*\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\]]*\])"), ""),
    (re.compile(r"\[([^\[\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\]]*\])"), r"\1"),
    (re.compile(r"<(?:https?|mailto):[^>\s]*>"), ""),
    (re.compile(r":[a-zA-Z][\w:.+-]*:`~?([^`<]*?)\s*(?:<[^`]*>)?`"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),
    (re.compile(r"`([^`]+)`__?"), r"\1"),
    (re.compile(r"``([^`]+)``"), r"\1"),
    (re.compile(r"`([^`]*)`"), r"\1"),
    (re.compile(r"\|[\w .-]+\|_?"), ""),
    (re.compile(r"\s?\[(?:#\w*|\d+|\^[\w-]+)\]_?"), ""),
    (re.compile(r"(?<!\w)(\*{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"(?<![\w.])_(?=[^\W_])([^_]+)(?<=\S)_(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w.])__(?=[^\W_])([^_]*\s[^_]*)(?<=\S)__(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w\]])\[([A-Za-z][^\[\]]{2,60})\]"), r"\1"),
    (re.compile(r"(?<![\w.])([^\W_]+)__?(?=[\s.,;:!?)]|$)"), r"\1"),
    (re.compile(r"\(\s*\)"), ""),
    (re.compile(r"\s+([.,;:!?])(?=\s|$)"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|<>-])"), r"\1"),
)


class Line(StrEnum):
    """What a line is to a reader."""

    HEADING = "heading"
    PROSE = "prose"
    ITEM = "item"
    """The first line of a list item."""
    NOTHING = "nothing"


class Paragraph(msgspec.Struct, frozen=True):
    """Some lines of prose as one, and the heading over them."""

    text: str
    heading: str
    is_item: bool = False
    """It is an item of a list."""


class Document(msgspec.Struct, frozen=True):
    """What a text says: its name and summary, where they can be told, and its prose."""

    name: str
    summary: str
    paragraphs: tuple[Paragraph, ...]


def read(text: str) -> Document:
    """The prose of a document."""
    text = text[:CHARACTERS_MAX].replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    name = summary = ""
    if _METADATA.match(text):
        name, summary, text = _metadata(text)
    text = _COMMENT.sub("\n\n", _FRONT_MATTER.sub("", text))
    text = html.unescape(_BREAKING_TAG.sub("\n\n", text))
    paragraphs = tuple(_paragraphs(text.split("\n")))
    return Document(name or next((part.heading for part in paragraphs if part.heading), ""), summary, paragraphs)


def plain(line: str) -> str:
    """A line without its inline markup."""
    line = _TAG.sub("", line)
    for pattern, replacement in _INLINE:
        line = pattern.sub(replacement, line)
    return " ".join(line.split())


def _metadata(text: str) -> tuple[str, str, str]:
    """Name, summary and description of package metadata; the description is the body, or an old folded header."""
    head, _, body = text.partition("\n\n")
    fields: dict[str, str] = {}
    key = ""
    for line in head.split("\n"):
        if line[:1].isspace() and key:
            fields[key] += "\n" + line.removeprefix(" " * 8).removeprefix(" " * 7 + "|")
        else:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
    return fields.get("name", ""), fields.get("summary", ""), body.strip() or fields.get("description", "")


def _paragraphs(lines: list[str]) -> Iterator[Paragraph]:
    """Join lines of prose, and those of a list item; everything else ends a paragraph."""
    heading = ""
    gathered: list[str] = []
    is_item = False
    for kind, words in _classified(lines):
        if kind is not Line.PROSE:
            if text := plain(" ".join(gathered)):
                yield Paragraph(text, heading, is_item)
            gathered.clear()
            is_item = kind is Line.ITEM
        if kind is Line.HEADING:
            heading = words
        elif words:
            gathered.append(words)
    if text := plain(" ".join(gathered)):
        yield Paragraph(text, heading, is_item)


def _classified(lines: list[str]) -> Iterator[tuple[Line, str]]:
    """Each line with what it is. Nothing is what a reader would pass over."""
    fence = ""
    block = Line.NOTHING  # what the lines before were: a list item goes on, and a directive is passed over
    is_in_block = False
    for number, raw in enumerate(lines):
        line = _QUOTE.sub("", raw)
        following = lines[number + 1] if number + 1 < len(lines) else ""
        mark = _FENCE.match(line)
        is_after_blank = number == 0 or not lines[number - 1].strip()
        if fence or mark:
            if not fence and mark:
                fence = mark[1]
            elif mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            yield Line.NOTHING, ""
        elif not line.strip() or _RULE.match(line):
            yield Line.NOTHING, ""
        elif title := _HEADING.match(line):
            is_in_block = False
            yield Line.HEADING, plain(title[1])
        elif _is_underlined(line, following):
            is_in_block = False
            yield Line.HEADING, plain(line)
        elif item := _LIST_ITEM.match(line):
            is_in_block, block = True, Line.PROSE
            yield Line.ITEM, line[item.end() :].strip()
        elif _DIRECTIVE.match(line) or _TABLE_RULE.match(line):
            is_in_block, block = True, Line.NOTHING
            yield Line.NOTHING, ""
        elif is_in_block and (line[:1].isspace() or not is_after_blank):
            yield (Line.NOTHING, "") if is_after_blank or block is Line.NOTHING else (block, line.strip())
        elif line.startswith(("    ", "\t")) or any(pattern.search(line) for pattern in _PASSED_OVER):
            yield Line.NOTHING, ""
        else:
            is_in_block = False
            yield Line.PROSE, line.strip()


def _is_underlined(line: str, following: str) -> bool:
    """Is this a title, by the rule below it? A rule shorter than a third of the line is something else."""
    rule = following.strip()
    return bool(_RULE.match(following)) and len(rule) * 3 >= len(line.strip()) and len(line.strip()) < 120
