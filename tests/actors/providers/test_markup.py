"""A reader's eye for documents: what is prose, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.providers.markup import CHARACTERS_MAX, Paragraph, plain, read

METADATA = """Metadata-Version: 2.4
Name: tidy
Version: 1.0
Summary: Tidies things up
Classifier: Topic :: Utilities
Description-Content-Type: text/markdown

# tidy

[![Build](https://ci/badge.svg)](https://ci) ![Logo](logo.png)

tidy keeps your things
in order.
"""


def texts(document: str) -> list[str]:
    return [paragraph.text for paragraph in read(document).paragraphs]


def test_metadata_headers_and_badges_are_no_prose() -> None:
    document = read(METADATA)
    assert (document.name, document.summary) == ("tidy", "Tidies things up")
    assert document.paragraphs == (Paragraph("tidy keeps your things in order.", "tidy"),)


def test_a_description_in_a_folded_header_is_read() -> None:
    old = "Metadata-Version: 1.0\nName: old\nDescription: An old package.\n        \n        It still works.\n"
    assert texts(old) == ["An old package.", "It still works."]


@pytest.mark.parametrize(
    "noise",
    [
        "```python\nimport this\n```",
        "~~~\nx = 1\n```\ny = 2\n~~~",
        "    indented = code()",
        "\tindented = code()",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "+---+---+\n| a | b |\n+---+---+",
        "=====  =====\nA      B\n=====  =====",
        "$ pip install tidy",
        ">>> import tidy",
        "[link]: https://example.org",
        ".. image:: logo.svg\n   :alt: Logo",
        ".. code-block:: python\n\n   import this",
        ":Author: Somebody",
        "<!-- a comment\nover lines -->",
        "<table><tr><td>cell</td></tr></table>",
        "<script>alert(1)</script>",
        "> [!NOTE]",
        "------------",
        "![image](a_(b).png)",
        "<img src='x.png' alt='y'>",
    ],
)
def test_what_no_reader_would_read_aloud_is_left_out(noise: str) -> None:
    assert texts(f"Before it.\n\n{noise}\n\nAfter it.") == ["Before it.", "After it."]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("See [the docs](https://x.org/a_(b)) and [more][ref].", "See the docs and more."),
        ("`Tidy <https://x.org>`_ uses :class:`~tidy.Box` and ``x``.", "Tidy uses tidy.Box and x."),
        ("A **bold** and *plain* and _soft_ word.", "A bold and plain and soft word."),
        ("Use `snake_case_names` and __init__ freely.", "Use snake_case_names and __init__ freely."),
        ("It works on Trio_ and asyncio_.", "It works on Trio and asyncio."),
        ("A <b>tag</b> and <https://x.org>.", "A tag and."),
        ("A footnote [1]_ and a |badge|.", "A footnote and a."),
        ("Escaped \\* star.", "Escaped * star."),
    ],
)
def test_inline_markup_becomes_its_words(line: str, words: str) -> None:
    assert plain(line) == words


def test_headings_of_all_kinds_stand_over_their_paragraphs() -> None:
    document = "# One\nFirst.\n\nTwo\n===\nSecond.\n\n*****\nThree\n*****\n\nThird.\n"
    found = read(document)
    assert [(paragraph.heading, paragraph.text) for paragraph in found.paragraphs] == [
        ("One", "First."),
        ("Two", "Second."),
        ("Three", "Third."),
    ]
    assert found.name == "One"


def test_list_items_are_told_apart_and_go_on_over_lines() -> None:
    document = "Before.\n\n- one thing\n  goes on\n- another\nlazily\n\nAfter."
    assert [(part.text, part.is_item) for part in read(document).paragraphs] == [
        ("Before.", False),
        ("one thing goes on", True),
        ("another lazily", True),
        ("After.", False),
    ]


def test_html_paragraphs_are_paragraphs_and_entities_are_characters() -> None:
    assert texts("<p align='center'>Fish &amp; chips.</p><div>Tea.</div>") == ["Fish & chips.", "Tea."]


def test_front_matter_and_line_endings_do_not_matter() -> None:
    assert texts("\ufeff---\r\ntitle: x\r\n---\r\nFirst line\r\nsecond line.\r\n") == ["First line second line."]


def test_only_the_beginning_of_an_endless_text_is_read() -> None:
    assert len(" ".join(texts("word " * CHARACTERS_MAX))) <= CHARACTERS_MAX


@given(st.text(alphabet=st.sampled_from("ab .-=_*`[]()<>|#:!\n\t&;~1"), max_size=300))
def test_it_never_fails_whatever_it_is_given(text: str) -> None:
    for paragraph in read(text).paragraphs:
        assert paragraph.text == " ".join(paragraph.text.split())
