"""Tell the sentences of a text apart, and what each is worth to a reader in a hurry.

Rules: a sentence is whole, or it is not quoted: it begins and ends as one, it is made of words, and it is no notice to
the reader about licences, issues or addresses. What stands under headings such as Contributing is an aside and left
out; a history of releases ends what is worth reading. A sentence is worth more the earlier it stands and if it says
what the text is about; less if it leans on the one before it.

Pure.
"""

import re

import msgspec

from actors.providers.markup import Document

SENTENCES_READ_MAX = 2_000
"""Sentences that are looked at."""

CLOSING = "\"')]\u201d\u2019"
"""What may stand after the full stop."""

_END = re.compile(r"(?<=[.!?])[\"')\]\u201d\u2019]*\s+(?=[\"'(\[\u201c\u2018]*(\w[\w.-]*))")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|ca|al|approx|resp|incl|no|vol|fig|sec|ch|pp|dr|mr|mrs|ms|prof|st|inc|ltd|jr)|\b[A-Z])\.$",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"\w+[._]\w")
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_NOISE = re.compile(
    r"https?:|www\.|\S+@\S+\.\w|[{}=<>\\|^]|::|\(\)|\w(?:Error|Exception): |©|\bcopyright\b|\blicen[sc]ed?\b"
    r"|\bclick (?:here|on|the)\b|\bbadge\b|\b(?:pip|uv|conda|brew|apt) install\b|\bsee (?:the|also|our|how)\b|^see\b"
    r"|\bchangelog\b|\bread (?:the|why|more)\b|\bsign up\b|\b(?:learn|find|for) more\b|\bpull requests?\b"
    r"|\b(?:bug|issue) (?:tracker|report)|\b(?:file|open) an issue\b|\bgithub (?:issue|discussion)|\bcode of conduct\b"
    r"|\btidelift\b|\bgitter\b|\bdiscord\b|\bmailing list|\bplease\b|\bfeel free\b|\bsponsor|\bdonat"
    r"|\bthanks? (?:to|you)\b|\bfollowing\b|\b(?:above|below)\b|\bhere (?:is|are|you)\b|\bfor example\b|\bquestions?\b"
    r"|\bvulnerabilit|\breleased? (?:was|on|is)\b|:-?\)",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"\b(?:change|licen[sc]|copyright|credit|contribut|sponsor|acknowledg|author|support|donat|fund|secur"
    r"|cit(?:e|ation|ing)|install|develop|test|build|link|table of|faq|question|contact|communit|help|thank|similar"
    r"|alternative|requirement|depend|professional|disclaimer|documentation|example|tutorial|maintain|project info|who"
    r"|get(?:ting)? (?:help|in))",
    re.IGNORECASE,
)
_HISTORY = re.compile(
    r"^(?:change ?log|changes|release|version|history|news|what'?s new|v?\d+\.\d+)|\b(?:change ?log|release notes)\b",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"(?:it|its|this|these|those|that|they|he|she|such|however|but|and|also|then|so|therefore|thus|finally|instead|while"
    r"|additionally|furthermore|moreover|otherwise|here|there|if|note|yes|no|now|you|we|i|let'?s|similarly|because|when"
    r"|with (?:this|that|these)|in (?:this|that|addition)|as (?:such|a result)|both|neither|another|for these)\b",
    re.IGNORECASE,
)
_TELLS = re.compile(
    r"\b(?:is|are) (?:an?|the|one)\b"
    r"|\b(?:provides?|implements?|supports?|allows?|lets|enables?|offers?|helps?|contains?)\b",
    re.IGNORECASE,
)
_COMMON = frozenset(
    _WORD.findall(
        "a an and are as at be been but by can could do does for from had has have how if in into is it its may more "
        "most no not of on or other our out over should so some such than that the their them then there these they "
        "this those to under up us use used using was we were what when where which while who will with would you your"
    )
)


class Sentence(msgspec.Struct, frozen=True):
    """A sentence with its place, its vocabulary and what its place is worth."""

    place: int
    text: str
    stems: frozenset[str]
    weight: float
    is_item: bool


def sentences_of(document: Document) -> list[Sentence]:
    """All whole sentences but those of asides; a history of releases ends what is worth reading."""
    title = next((paragraph.heading for paragraph in document.paragraphs if paragraph.heading), "")
    found: list[Sentence] = []
    for paragraph in document.paragraphs:
        if paragraph.heading != title and _HISTORY.search(paragraph.heading):
            if found:
                break
            continue
        if paragraph.heading != title and _ASIDE.search(paragraph.heading):
            continue
        for number, text in enumerate(split(paragraph.text, document.name)):
            if len(found) == SENTENCES_READ_MAX:
                return found
            if _is_whole(text, document.name, is_first=number == 0):
                weight = _weight(text, len(found), number, document.name)
                found.append(Sentence(len(found), text, stems_of(text), weight, paragraph.is_item))
    return found


def split(paragraph: str, name: str = "") -> list[str]:
    """The sentences of a paragraph. An abbreviation ends none; a small letter begins none, unless it is the name's."""
    parts: list[str] = []
    begin = 0
    for end in _END.finditer(paragraph):
        follows = end[1]
        is_beginning = not follows[0].islower() or follows.rstrip(".").lower() == name.lower()
        is_quoted = not paragraph[end.start()].isspace()  # a closing mark after the full stop: no abbreviation has one
        if is_beginning and (is_quoted or not _ABBREVIATION.search(paragraph[begin : end.start()])):
            parts.append(paragraph[begin : end.end()].strip())
            begin = end.end()
    parts.append(paragraph[begin:].strip())
    return [part for part in parts if part]


def stems_of(text: str) -> frozenset[str]:
    """The vocabulary of a text: what its words have in common with their relatives."""
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in _COMMON)


def _is_whole(text: str, name: str, *, is_first: bool) -> bool:
    """Is this a sentence that a person would quote?"""
    words = text.split()
    if not 5 <= len(words) <= 60 or not text.rstrip(CLOSING).endswith((".", "!")) or text.endswith(("...", "etc.")):
        return False
    begins_small = text.lower().startswith(name.lower() or " ") or (is_first and bool(_IDENTIFIER.match(text)))
    if not (text[0].isupper() or text[0] in '"\u201c' or (text[0].isalpha() and begins_small)):
        return False
    letters = sum(character.isalpha() or character.isspace() for character in text)
    shouted = sum(character.isupper() for character in text)
    is_words = letters >= 0.85 * len(text) and shouted <= 0.4 * len(text)
    return is_words and text.count("(") == text.count(")") and not _NOISE.search(text)


def _weight(text: str, place: int, number: int, name: str) -> float:
    """What a sentence is worth by its place and by how it begins; the first one says what it is all about."""
    weight = 1.0 + 3.0 / (1.0 + 0.6 * place)
    if name and text.lower().startswith(name.lower()):
        weight *= 1.3
    if _TELLS.search(text):
        weight *= 1.2
    if place and _DANGLING.match(text):
        weight *= 0.5 if number else 0.7
    return weight


def _stem(word: str) -> str:
    """A crude stem: enough to see that parser, parses and parsing are one idea."""
    for ending in ("'s", "ing", "ers", "er", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
