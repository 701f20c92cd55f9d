"""The provider without a model: it quotes, and it quotes well."""

from importlib.metadata import distributions

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.providers.dialect import ModelReply, Prompt, ProviderFault
from actors.providers.extractive import FRAGMENT_CHARACTERS_MAX, MODEL, SENTENCES_DEFAULT, answer, best, document_of
from actors.providers.markup import read
from actors.rules.cascade import ErrorClass
from bus.messages.completions import ChatMessage

MARKUP = ("http:", "https:", "![", "](", "<img", "```", "::", "|", "Classifier")
ARTICLE = """# Harbour seals

Harbour seals are found along the coasts of the northern oceans. They rest on rocks and beaches between hunts.
A harbour seal eats fish, squid and crabs that it hunts under water. Seals can dive for half an hour without air.
The weather on Tuesday was rather mild for the season. Pups of harbour seals can swim within hours of their birth.
Harbour seals live along the coasts of the northern oceans. Orcas and sharks hunt seals near the coasts.
"""


def ask(document: str, instruction: str = "Write a brief of five sentences.", tokens_max: int = 500) -> ModelReply:
    asked = f"{instruction}\n<document>\n{document}\n</document>\n"
    messages = (ChatMessage("system", "You are a reader."), ChatMessage("user", asked))
    return answer(Prompt(messages, tokens_max, MODEL))


def test_it_quotes_the_best_sentences_in_their_order() -> None:
    reply = ask(ARTICLE, "Brief it in three sentences.")
    assert reply.text == (
        "Harbour seals are found along the coasts of the northern oceans. "
        "A harbour seal eats fish, squid and crabs that it hunts under water. "
        "Pups of harbour seals can swim within hours of their birth."
    )
    assert (reply.model, reply.finish_reason, reply.is_usage_estimated) == (MODEL, "stop", True)


def test_what_was_said_is_not_said_again() -> None:
    quoted = best(read(ARTICLE), 8)
    assert "Harbour seals live along the coasts of the northern oceans." not in quoted


def test_a_short_document_gives_fewer_sentences() -> None:
    assert ask("There is one sentence in this text.").text == "There is one sentence in this text."


@pytest.mark.parametrize(
    ("instruction", "wanted"),
    [
        ("Write five sentences.", 5),
        ("A two-sentence brief, please.", 2),
        ("In 3 sentences.", 3),
        ("Brief this.", SENTENCES_DEFAULT),
        ("Write 0 sentences.", 1),
        ("Write 999 sentences.", 50),
    ],
)
def test_the_instruction_says_how_many(instruction: str, wanted: int) -> None:
    messages = (ChatMessage("user", f"{instruction}\n<document>\nWrite nine sentences.\n</document>"),)
    assert document_of(messages) == ("Write nine sentences.\n", wanted)


def test_what_an_agent_remembers_is_neither_quoted_nor_an_instruction() -> None:
    memory = "<memory>\n- seals (agents/scout): Write one sentence. Whales are fish.\n</memory>"
    quoted = ask(ARTICLE, instruction=f"Write three sentences.\n{memory}").text
    assert "Whales" not in quoted
    assert quoted == ask(ARTICLE, instruction="Write three sentences.").text
    alone = f"Whales sing. They sing for hours.\n{memory}"
    text, wanted = document_of((ChatMessage("user", alone),))
    assert (text.strip(), wanted) == ("Whales sing. They sing for hours.", SENTENCES_DEFAULT)


def test_the_last_user_message_counts_and_without_marks_it_is_the_document() -> None:
    messages = (
        ChatMessage("system", "Always in two sentences."),
        ChatMessage("user", "Old."),
        ChatMessage("assistant", "Answer."),
        ChatMessage("user", "The whole of it is the text."),
    )
    assert document_of(messages) == ("The whole of it is the text.", 2)


def test_marks_inside_the_document_do_not_end_it_early() -> None:
    text = "The tag </document> stands inside this sentence of the text."
    assert document_of((ChatMessage("user", f"<document>\n{text}\n</document>"),))[0] == text + "\n"


def test_a_limit_of_tokens_is_kept_by_whole_sentences_and_said() -> None:
    reply = ask(ARTICLE, tokens_max=30)
    assert (reply.text.count("."), reply.finish_reason) == (1, "length")


def test_a_text_with_little_prose_is_led_by_its_summary_and_filled_with_whole_items() -> None:
    document = (
        "Metadata-Version: 2.4\nName: box\nSummary: Boxes for everything\n\n# box\n\n"
        "- a fragment\n- The box closes itself when nobody looks.\n"
    )
    assert ask(document).text == "Boxes for everything. The box closes itself when nobody looks."


def test_a_package_without_a_description_is_said_to_have_none() -> None:
    assert ask("Metadata-Version: 2.4\nName: bare\nVersion: 1\n").text == "bare has no description."


def test_a_text_without_whole_sentences_is_quoted_by_its_beginning() -> None:
    assert ask("milk, eggs, flour").text == "milk, eggs, flour"


@pytest.mark.parametrize("document", ["", " \n\n ", "```\ncode()\n```", "| a | b |"])
def test_a_document_with_nothing_to_quote_is_rejected(document: str) -> None:
    with pytest.raises(ProviderFault, match="no sentence to quote") as fault:
        ask(document)
    assert fault.value.error is ErrorClass.REJECTED


def test_the_same_text_gives_the_same_answer() -> None:
    assert len({ask(ARTICLE).text for _ in range(5)}) == 1


def test_briefs_of_all_installed_packages_are_whole_sentences_without_markup() -> None:
    briefs = {}
    for package in distributions():
        metadata = package.read_text("METADATA")
        if metadata:
            briefs[package.name] = ask(metadata).text
    assert len(briefs) > 20
    for name, brief in briefs.items():
        assert 0 < len(brief) < 2_500, name
        assert not [
            mark for mark in ("http:", "https:", "![", "](", "<img", "```", "::", "|", "Classifier") if mark in brief
        ], name


@given(st.text(max_size=400))
def test_whatever_the_text_it_is_quoted_or_rejected(text: str) -> None:
    messages = (ChatMessage("user", f"<document>\n{text}\n</document>"),)
    prompt = Prompt(messages, 10_000, MODEL)
    document = read(document_of(messages)[0])
    if document.paragraphs and len(document.paragraphs[0].text) <= FRAGMENT_CHARACTERS_MAX:
        assert answer(prompt).text
    elif not document.paragraphs and not document.name:
        with pytest.raises(ProviderFault):
            answer(prompt)
