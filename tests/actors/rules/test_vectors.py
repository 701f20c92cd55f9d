"""Texts that may become vectors, and vectors that may be theirs."""

import struct

import msgspec
import pytest

from actors.rules.vectors import CHARACTERS_MAX, DIMENSIONS_MAX, TEXTS_MAX, check, fault_of, pack
from bus.messages.embeddings import Embed
from bus.refusals import InvalidField

ASKED = Embed(("x",), 1.0)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (msgspec.structs.replace(ASKED, texts=()), "input"),
        (msgspec.structs.replace(ASKED, texts=("",)), "input"),
        (msgspec.structs.replace(ASKED, texts=("x",) * (TEXTS_MAX + 1)), "input"),
        (msgspec.structs.replace(ASKED, texts=("x" * (CHARACTERS_MAX + 1),)), "input"),
        (msgspec.structs.replace(ASKED, dimensions=-1), "dimensions"),
        (msgspec.structs.replace(ASKED, dimensions=DIMENSIONS_MAX + 1), "dimensions"),
        (msgspec.structs.replace(ASKED, deadline_s=0.0), "deadline_s"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Embed, path: str) -> None:
    check(ASKED)
    with pytest.raises(InvalidField) as refused:
        check(wrong)
    assert refused.value.path == path


def test_a_vector_is_packed_into_32_bits_with_the_lowest_byte_first() -> None:
    assert pack([1.0, -0.5]) == struct.pack("<2f", 1.0, -0.5)


@pytest.mark.parametrize(
    ("found", "texts", "dimensions", "words"),
    [
        ([(1.0, 2.0)], 1, 0, ""),
        ([(1.0, 2.0)], 1, 2, ""),
        ([(1.0,)], 2, 0, "2 texts came back as 1 vectors"),
        ([(1.0,), (1.0, 2.0)], 2, 0, "the vectors are not of one length"),
        ([()], 1, 0, "the vectors are not of one length"),
        ([(1.0, 2.0)], 1, 3, "the vectors have 2 dimensions, not 3"),
        ([(1.0, float("nan"))], 1, 0, "a vector holds what is no 32-bit number"),
        ([(1e300,)], 1, 0, "a vector holds what is no 32-bit number"),
    ],
)
def test_what_is_not_a_vector_for_each_text_is_a_fault(
    found: list[tuple[float, ...]], texts: int, dimensions: int, words: str
) -> None:
    assert fault_of(found, texts, dimensions) == words
