"""Sentences: where they end, which are whole, and what they are worth."""

import pytest

from actors.providers.markup import read
from actors.providers.sentences import SENTENCES_READ_MAX, sentences_of, split, stems_of


@pytest.mark.parametrize(
    ("paragraph", "sentences"),
    [
        ("One is here. Two is there!", ["One is here.", "Two is there!"]),
        ("It works, e.g. Here and i.e. There too.", ["It works, e.g. Here and i.e. There too."]),
        ("Version 2.0 is out. Use it.", ["Version 2.0 is out.", "Use it."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("A dot.in.a.name stays. and so does this", ["A dot.in.a.name stays. and so does this"]),
        ("Is it? Yes.", ["Is it?", "Yes."]),
        ("", []),
    ],
)
def test_a_paragraph_falls_into_its_sentences(paragraph: str, sentences: list[str]) -> None:
    assert split(paragraph) == sentences


def test_a_name_in_small_letters_begins_a_sentence() -> None:
    assert split("It is small. tidy is its name.", "tidy") == ["It is small.", "tidy is its name."]


def whole(text: str) -> list[str]:
    return [sentence.text for sentence in sentences_of(read(text))]


def test_a_plain_sentence_is_whole() -> None:
    assert whole("The tool keeps your things in order.") == ["The tool keeps your things in order."]


@pytest.mark.parametrize(
    "text",
    [
        "Too short a one.",
        "This one has no end whatsoever",
        "This one introduces a list of things:",
        "this one begins in the middle of something.",
        "Is this a question that somebody may ask?",
        "The code x = {1: 2} is not for reading aloud.",
        "See the documentation for more about all of it.",
        "It was copyright of somebody in the year 2020.",
        "THE SOFTWARE IS PROVIDED WITHOUT WARRANTY OF ANY KIND.",
        "Go to https://example.org and have a good look.",
        "It opens a bracket (but it never closes it again.",
        "Please open an issue if something does not work.",
        "This goes on and on about one thing and then...",
        "One two three " * 30 + "end.",
    ],
)
def test_what_a_person_would_not_quote_is_not_whole(text: str) -> None:
    assert whole(text) == []


@pytest.mark.parametrize("heading", ["Installation", "License", "Contributing", "Getting help", "Links"])
def test_asides_are_left_out(heading: str) -> None:
    text = f"# Tidy\nThe tool keeps your things in order.\n\n## {heading}\nThis sentence is of no interest here.\n"
    assert whole(text) == ["The tool keeps your things in order."]


@pytest.mark.parametrize("heading", ["Changelog", "Release notes", "v1.2.3 (2026-01-01)", "What's new"])
def test_a_history_of_releases_ends_what_is_read(heading: str) -> None:
    history = f"## {heading}\nA bug was fixed in it.\n\n## More\nThe end is near for all of us.\n"
    text = f"# Tidy\nThe tool keeps your things in order.\n\n{history}"
    assert whole(text) == ["The tool keeps your things in order."]


def test_a_title_that_looks_like_an_aside_is_none() -> None:
    assert whole("# The installer\nThe tool puts your things where they belong.\n") != []


def test_earlier_sentences_and_those_that_say_what_it_is_are_worth_more() -> None:
    text = "# Tidy\nTidy is a tool for a room. The room has a door and a window.\n\nThis leans on something else."
    first, second, third = sentences_of(read(text))
    assert first.weight > second.weight > third.weight


def test_relatives_have_a_stem_in_common() -> None:
    assert stems_of("The parser parses") == stems_of("parsing parsers") == {"pars"}


def test_only_so_many_sentences_are_looked_at() -> None:
    assert len(whole("The tool keeps your things in order. " * (SENTENCES_READ_MAX + 10))) == SENTENCES_READ_MAX
