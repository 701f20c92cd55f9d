"""Rank texts by the words that they share with a query: BM25 over an inverted index that is kept up to date.

Rules: every text counts, however old; a rare word weighs more than a common one, a word said often more than one said
once (and less with each time), and a short text more than a long one. Among equals the newer comes first. Case, accents
and the forms of letters do not matter; each sign of Chinese, Japanese and Korean is a word of its own. A word is found
as it is written: there are no stems and no synonyms.

Several indexes can be ranked as if they were one, so that a reader's ranking rests on what that reader may read, and
tells nothing of other texts.

Pure. Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), with the weights of
Lucene, which are never negative.
"""

import heapq
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

SATURATION = 1.2
"""How quickly saying a word again stops to matter (k1)."""
LENGTH_WEIGHT = 0.75
"""How much a long text is held against its words (b)."""
QUERY_WORDS_MAX = 32
"""More words than anyone looks for; what an agent asks with its whole task is cut here."""

ROUNDING = 1e-9
"""More than sums of so few numbers are off by."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")


def words(text: str) -> list[str]:
    """The words of a text, as they are compared."""
    if text.isascii():
        return _WORD.findall(text.lower())
    # Composed again: the parts that a Korean syllable falls into are no words.
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return _WORD.findall(unicodedata.normalize("NFC", plain).casefold())


class Index:
    """The words of numbered texts. Texts are added and never change."""

    def __init__(self) -> None:
        self._places: dict[str, dict[int, int]] = {}
        self._lengths: dict[int, int] = {}
        self._length = 0

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def length(self) -> int:
        """Words of all texts."""
        return self._length

    def add(self, number: int, text: str) -> None:
        """Take in a text under a number that is new."""
        assert number not in self._lengths, "a text is added once"
        found = words(text)
        self._lengths[number] = len(found)
        self._length += len(found)
        for word, count in Counter(found).items():
            self._places.setdefault(word, {})[number] = count

    def places(self, word: str) -> dict[int, int]:
        """How often each text says the word."""
        return self._places.get(word, {})

    def length_of(self, number: int) -> int:
        """Words of one text."""
        return self._lengths[number]


def ranked(indexes: Sequence[Index], query: str, limit: int, is_wanted: Callable[[int], bool]) -> list[int]:
    """The numbers of the best matches, best first, of those that are wanted.

    The same as sorting all scores. Rare words come first: once enough texts stand so high that common words alone reach
    none of them, the other texts that have only common words are not looked at (MaxScore, Turtle and Flood, 1995).
    """
    weighed = _weighed(indexes, query)
    mean = _mean_length(indexes)
    found: dict[int, float] = {}
    left = sum(word.weight for word in weighed)
    for word in weighed:
        if word.texts > len(found) >= limit:
            best = heapq.nlargest(limit, (score for number, score in found.items() if is_wanted(number)))
            if len(best) == limit and best[-1] > left + ROUNDING:
                found = {number: score for number, score in found.items() if score + left + ROUNDING >= best[-1]}
                _raise(found, word, mean)
                left -= word.weight
                continue
        _add(found, word, mean)
        left -= word.weight
    wanted = ((score, number) for number, score in found.items() if is_wanted(number))
    return [number for _, number in heapq.nlargest(limit, wanted)]


def scores(indexes: Sequence[Index], query: str) -> dict[int, float]:
    """What every text that shares a word with the query scores."""
    mean = _mean_length(indexes)
    found: dict[int, float] = {}
    for word in _weighed(indexes, query):
        _add(found, word, mean)
    return found


class _Word(NamedTuple):
    """A word of a query: what it weighs, and where it stands. No text scores more for it than its weight."""

    weight: float
    texts: int
    places: list[tuple[Index, dict[int, int]]]


def _weighed(indexes: Sequence[Index], query: str) -> list[_Word]:
    """The words of a query that stand anywhere, the rarest first."""
    texts = sum(map(len, indexes))
    found: list[_Word] = []
    for word in list(dict.fromkeys(words(query)))[:QUERY_WORDS_MAX]:
        places = [(index, there) for index in indexes if (there := index.places(word))]
        count = sum(len(there) for _, there in places)
        if count:
            found.append(_Word(math.log(1.0 + (texts - count + 0.5) / (count + 0.5)), count, places))
    return sorted(found, key=lambda word: word.weight, reverse=True)


def _mean_length(indexes: Sequence[Index]) -> float:
    texts = sum(map(len, indexes))
    return max(1.0, sum(index.length for index in indexes) / texts) if texts else 1.0


def _add(found: dict[int, float], word: _Word, mean: float) -> None:
    """Add what a word scores to each text that has it."""
    for index, places in word.places:
        for number, count in places.items():
            found[number] = found.get(number, 0.0) + _score(word.weight, count, index.length_of(number), mean)


def _raise(found: dict[int, float], word: _Word, mean: float) -> None:
    """Add what a word scores to the texts that were found already, and to no other."""
    for index, places in word.places:
        for number in found.keys() & places.keys():
            found[number] += _score(word.weight, places[number], index.length_of(number), mean)


def _score(weight: float, count: int, length: int, mean: float) -> float:
    long = 1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length / mean
    return weight * count / (count + SATURATION * long)
