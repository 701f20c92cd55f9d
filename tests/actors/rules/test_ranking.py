"""BM25 over an index that grows, held to a recount by hand."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rules.ranking import LENGTH_WEIGHT, QUERY_WORDS_MAX, SATURATION, Index, ranked, scores, words

TEXTS = st.lists(st.lists(st.sampled_from("abcdefg"), min_size=0, max_size=12).map(" ".join), min_size=1, max_size=30)
QUERIES = st.lists(st.sampled_from("abcdefgxy"), max_size=6).map(" ".join)


def index_of(texts: Sequence[str], first: int = 1) -> Index:
    index = Index()
    for number, text in enumerate(texts, first):
        index.add(number, text)
    return index


def recounted(texts: Sequence[str], query: str) -> dict[int, float]:
    """The scores, by the book, from the texts alone."""
    split = {number: text.split() for number, text in enumerate(texts, 1)}
    mean = max(1.0, sum(map(len, split.values())) / len(split))
    found: dict[int, float] = {}
    for word in dict.fromkeys(query.split()):
        holding = [number for number, said in split.items() if word in said]
        idf = math.log(1 + (len(split) - len(holding) + 0.5) / (len(holding) + 0.5))
        for number in holding:
            count, length = split[number].count(word), len(split[number])
            part = count / (count + SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * length / mean))
            found[number] = found.get(number, 0.0) + idf * part
    return found


@given(TEXTS, QUERIES)
def test_scores_are_what_a_recount_of_all_texts_gives(texts: list[str], query: str) -> None:
    assert scores([index_of(texts)], query) == pytest.approx(recounted(texts, query))


@given(TEXTS, QUERIES, st.integers(1, 30), st.sets(st.integers(1, 30)))
def test_the_best_of_those_that_are_wanted_come_first_and_the_newer_of_equals(
    texts: list[str], query: str, limit: int, unwanted: set[int]
) -> None:
    found = ranked([index_of(texts)], query, limit, lambda number: number not in unwanted)
    expected = scores([index_of(texts)], query)
    order = sorted(expected.keys() - unwanted, key=lambda number: (expected[number], number), reverse=True)
    assert found == order[:limit]


@given(
    st.lists(
        st.lists(st.sampled_from("aaaaaaaabbbbccde"), min_size=1, max_size=9).map(" ".join), min_size=9, max_size=90
    ),
    st.permutations("abcde").map(" ".join),
    st.integers(1, 4),
)
def test_leaving_out_texts_that_only_have_common_words_changes_no_ranking(
    texts: list[str], query: str, limit: int
) -> None:
    expected = scores([index_of(texts)], query)
    order = sorted(expected, key=lambda number: (expected[number], number), reverse=True)
    assert ranked([index_of(texts)], query, limit, lambda _: True) == order[:limit]


@given(TEXTS, QUERIES, st.integers(0, 30))
def test_several_indexes_rank_as_one(texts: list[str], query: str, cut: int) -> None:
    parts = [index_of(texts[:cut]), index_of(texts[cut:], first=min(cut, len(texts)) + 1)]
    assert scores(parts, query) == pytest.approx(scores([index_of(texts)], query))


def test_an_old_exact_match_is_found_among_ten_thousand_newer_texts() -> None:
    index = index_of(
        ["the spare key hangs behind the clock", *(f"note {number} of the day" for number in range(10_000))]
    )
    assert ranked([index], "where is the spare key", 1, lambda _: True) == [1]


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    index = index_of(["agents bid", "agents work", "agents rest", "zebra"])
    assert ranked([index], "agents zebra", 4, lambda _: True)[0] == 4


def test_case_accents_and_forms_of_letters_do_not_matter() -> None:
    assert words("Größe, CAFÉ and ﬁne") == ["grosse", "cafe", "and", "fine"]
    assert words("cafe\N{COMBINING ACUTE ACCENT}") == words("café")


def test_each_ideograph_is_a_word_and_a_korean_syllable_stays_whole() -> None:
    assert words("東京 tower") == ["東", "京", "tower"]
    assert words("한국") == ["한", "국"]


def test_underscores_and_signs_part_words() -> None:
    assert words("snake_case, t-42: a.b") == ["snake", "case", "t", "42", "a", "b"]


def test_a_query_without_words_or_an_empty_index_finds_nothing() -> None:
    assert scores([index_of(["a"])], "?!") == {}
    assert scores([Index()], "a") == {}
    assert scores([], "a") == {}


def test_what_a_query_says_beyond_its_bound_is_not_looked_for() -> None:
    many = " ".join(f"w{number}" for number in range(QUERY_WORDS_MAX))
    index = index_of(["late", "w0"])
    assert ranked([index], f"{many} late", 5, lambda _: True) == [2]


def test_a_number_is_added_once() -> None:
    index = index_of(["a"])
    with pytest.raises(AssertionError, match="once"):
        index.add(1, "b")
    assert (len(index), index.length) == (1, 1)
