"""Answer without a model: quote the sentences that say most about a document, in their order.

Rules: only whole sentences of the text itself, word for word but for its markup; never anything made up. A sentence
counts by how much of the document's vocabulary it carries, by how early it stands and by whether it says what the
document's subject is; one that says again what a better one said is left out, and so is what stands under headings such
as Changelog or Licence. The same text gives the same answer. The document stands in the last user message between the
lines `<document>` and `</document>`; without them the whole message is the document.

The ranking is the centroid method of Radev et al. (2004) with a position prior and Carbonell and Goldstein's maximal
marginal relevance (1998). Pure.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from actors.providers.dialect import ModelReply, Prompt, ProviderFault
from actors.providers.markup import Document, read
from actors.providers.sentences import Sentence, sentences_of, stems_of
from actors.rules.cascade import ErrorClass
from actors.rules.spending import estimate_prompt, estimate_tokens
from bus.messages.completions import ChatMessage

MODEL = "extractive-1"
SENTENCES_DEFAULT = 5
SENTENCES_MAX = 50
POOR_MAX = 3
"""A text with fewer sentences of prose than this has little prose."""
FRAGMENT_CHARACTERS_MAX = 600
LIKENESS_MAX = 0.5
"""Two sentences that share more of their words say the same."""

_MEMORY = re.compile(r"^<memory>[ \t]*\n.*?^</memory>[ \t]*$", re.DOTALL | re.MULTILINE)
_DOCUMENT = re.compile(r"^<document>[ \t]*\n(.*?)^</document>[ \t]*$", re.DOTALL | re.MULTILINE)
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_COUNT = re.compile(rf"\b(\d{{1,3}}|{'|'.join(_NUMBERS)})[ -]sentences?\b", re.IGNORECASE)


def answer(prompt: Prompt) -> ModelReply:
    """Quote the document of a prompt.

    Raises:
        ProviderFault: there is nothing to quote; no other provider could do better with it.
    """
    text, wanted = document_of(prompt.messages)
    document = read(text)
    quoted = best(document, wanted) or _instead(document)
    kept: list[str] = []
    for sentence in quoted:
        if kept and estimate_tokens(" ".join([*kept, sentence])) > prompt.tokens_max:
            break
        kept.append(sentence)
    if not kept:
        raise ProviderFault(ErrorClass.REJECTED, "the document has no sentence to quote")
    quotation = " ".join(kept)
    return ModelReply(
        text=quotation,
        model=MODEL,
        tokens_in=estimate_prompt(prompt.messages),
        tokens_out=estimate_tokens(quotation),
        finish_reason="stop" if len(kept) == len(quoted) else "length",
        is_usage_estimated=True,
    )


def document_of(messages: Sequence[ChatMessage]) -> tuple[str, int]:
    """The document in the last user message, and how many sentences are wanted of it."""
    asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
    found = _DOCUMENT.search(asked)
    # What an agent remembers stands before the document, and is neither it nor what is wanted of it.
    before = _MEMORY.sub("", asked[: found.start()] if found else asked, count=1)
    instruction = before + asked[found.end() :] if found else ""
    system = " ".join(message.content for message in messages if message.role == "system")
    count = _COUNT.search(instruction) or _COUNT.search(system)
    wanted = SENTENCES_DEFAULT
    if count:
        word = count[1].lower()
        wanted = int(word) if word.isdigit() else _NUMBERS.index(word) + 1
    return (found[1] if found else before), min(max(wanted, 1), SENTENCES_MAX)


def best(document: Document, wanted: int) -> list[str]:
    """The best sentences in the document's order; fewer if there are fewer, or if the rest only repeats them.

    A text with little prose may be led by its summary and filled up with list items that are whole sentences.
    """
    sentences = sentences_of(document)
    prose = [sentence for sentence in sentences if not sentence.is_item]
    if len(prose) >= min(wanted, POOR_MAX):
        return [sentence.text for sentence in _ranked(prose, wanted)]
    found = _ranked(sentences, wanted)
    if document.summary and len(found) < wanted:
        lead = document.summary.rstrip(".") + "."
        if all(_likeness(stems_of(lead), sentence.stems) <= LIKENESS_MAX for sentence in found):
            return [lead, *(sentence.text for sentence in found)]
    return [sentence.text for sentence in found]


def _ranked(sentences: Sequence[Sentence], wanted: int) -> list[Sentence]:
    spread = Counter(stem for sentence in sentences for stem in sentence.stems)
    rarity = {stem: math.log(1.0 + len(sentences) / count) for stem, count in spread.items()}
    centroid = {stem: count * rarity[stem] for stem, count in spread.items() if count > 1 or len(sentences) < 8}
    ranked = sorted(sentences, key=lambda sentence: (-_score(sentence, centroid, rarity), sentence.place))
    chosen: list[Sentence] = []
    for sentence in ranked:
        if len(chosen) == wanted:
            break
        if all(_likeness(sentence.stems, other.stems) <= LIKENESS_MAX for other in chosen):
            chosen.append(sentence)
    return sorted(chosen, key=lambda sentence: sentence.place)


def _score(sentence: Sentence, centroid: dict[str, float], rarity: dict[str, float]) -> float:
    carried = sum(centroid.get(stem, 0.0) for stem in sentence.stems)
    length = math.sqrt(sum(rarity[stem] ** 2 for stem in sentence.stems)) or 1.0
    return sentence.weight * carried / (length + 4.0)  # the constant keeps very short sentences from winning


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / (min(len(one), len(other)) or 1)


def _instead(document: Document) -> list[str]:
    """For a text without whole sentences: its summary, its first paragraph if it is short, or that there is neither."""
    if document.summary:
        return [document.summary]
    if document.paragraphs:
        return [document.paragraphs[0].text] if len(document.paragraphs[0].text) <= FRAGMENT_CHARACTERS_MAX else []
    return [f"{document.name} has no description."] if document.name else []
