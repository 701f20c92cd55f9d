"""What all dialects share: faults by status, finish reasons, thinking, usage."""

import msgspec
import pytest

from actors.providers.dialect import (
    REASON_CHARACTERS_MAX,
    RETRY_AFTER_DEFAULT_S,
    RETRY_AFTER_MAX_S,
    TOKENS_MAX,
    ProviderFault,
    answer,
    fault_of,
    finish,
    parse,
    shorten,
    without_thinking,
)
from actors.providers.openai import DIALECT
from actors.rules.cascade import ErrorClass
from tests.actors.providers.replies import PROMPT, reply


class Body(msgspec.Struct):
    """A body that a dialect might have."""

    text: str


DECODER = msgspec.json.Decoder(Body)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, ErrorClass.GARBAGE),
        (204, ErrorClass.GARBAGE),
        (400, ErrorClass.REJECTED),
        (401, ErrorClass.UNAUTHORISED),
        (402, ErrorClass.UNAUTHORISED),
        (403, ErrorClass.UNAUTHORISED),
        (404, ErrorClass.UNKNOWN_MODEL),
        (408, ErrorClass.TIMEOUT),
        (410, ErrorClass.UNKNOWN_MODEL),
        (413, ErrorClass.OVERFLOW),
        (418, ErrorClass.REJECTED),
        (422, ErrorClass.REJECTED),
        (425, ErrorClass.SERVER),
        (429, ErrorClass.THROTTLED),
        (500, ErrorClass.SERVER),
        (503, ErrorClass.SERVER),
        (529, ErrorClass.SERVER),
    ],
)
def test_each_status_is_a_class_of_fault(status: int, error: ErrorClass) -> None:
    with pytest.raises(ProviderFault) as fault:
        parse(DECODER, reply({"error": {"message": "words"}}, status))
    assert fault.value.error is error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"error": {"message": "no such thing", "type": "kind", "code": "what"}},
            "status 400: no such thing kind what",
        ),
        ({"error": "model not found"}, "status 400: model not found"),
        ({"message": "upstream says no"}, "status 400: upstream says no"),
        (b"<html>", "status 400"),
        (b"\xff\xfe", "status 400"),
        ({}, "status 400"),
    ],
)
def test_a_fault_says_it_in_the_providers_words(body: object, words: str) -> None:
    assert fault_of(reply(body, 400)).reason == words


def test_an_account_without_money_is_not_taken_for_a_wrong_key() -> None:
    assert fault_of(reply({"error": "sk-1 has no credits"}, 402)).reason == "status 402: the account has no money left"
    assert fault_of(reply({"error": "sk-1 is unknown"}, 401)).reason == "status 401: the key was not accepted"


@pytest.mark.parametrize(
    "words",
    [
        "context_length_exceeded",
        "the request exceeds the available context size",
        "prompt is too long: 300000 tokens > 200000 maximum",
        "This model's maximum context length is 8192 tokens",
    ],
)
def test_a_prompt_that_is_too_long_is_told_apart_from_a_wrong_request(words: str) -> None:
    assert fault_of(reply({"error": {"message": words}}, 400)).error is ErrorClass.OVERFLOW


def test_what_a_provider_says_of_a_key_is_not_repeated() -> None:
    body = {"error": {"message": "Incorrect API key provided: sk-abcd1234"}}
    assert fault_of(reply(body, 401)).reason == "status 401: the key was not accepted"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("1e9", RETRY_AFTER_MAX_S),
        ("nan", RETRY_AFTER_DEFAULT_S),
        ("Wed, 21 Oct 2026 07:28:00 GMT", RETRY_AFTER_DEFAULT_S),
    ],
)
def test_retry_after_is_read_within_bounds(header: str, seconds: float) -> None:
    assert fault_of(reply({}, 429, {"retry-after": header})).retry_after_s == seconds


def test_a_throttling_provider_that_says_nothing_is_left_alone_for_a_while() -> None:
    assert fault_of(reply({}, 429)).retry_after_s == RETRY_AFTER_DEFAULT_S


def test_a_body_that_makes_no_sense_is_garbage_and_the_fault_names_its_type() -> None:
    with pytest.raises(ProviderFault, match="text/html") as fault:
        parse(DECODER, reply(b"<html>", headers={"content-type": "text/html"}))
    assert fault.value.error is ErrorClass.GARBAGE


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("plain", "plain"),
        ("  plain\n", "plain"),
        ("<think>hm, let me see</think>\n\nThe answer.", "The answer."),
        ("\n<thinking>hm\nhm</thinking>The answer.", "The answer."),
        ("hm, let me see</think>The answer.", "The answer."),
        ("<think>never ends", ""),
        ("The tags <think> and </think> enclose thoughts.", "The tags <think> and </think> enclose thoughts."),
    ],
)
def test_thinking_aloud_is_no_part_of_the_answer(text: str, spoken: str) -> None:
    assert without_thinking(text) == spoken


def test_an_answer_without_text_is_empty() -> None:
    with pytest.raises(ProviderFault) as fault:
        answer(PROMPT, "<think>hm</think> ", "", 1, 1, "length")
    assert fault.value.error is ErrorClass.EMPTY


def test_missing_usage_is_estimated_and_says_so() -> None:
    estimated = answer(PROMPT, "A short answer.", "", None, None, "stop")
    assert (estimated.model, estimated.is_usage_estimated, estimated.tokens_out) == ("tiny", True, 5)
    assert estimated.tokens_in > 10
    told = answer(PROMPT, "A short answer.", "other", 7, 3, "stop")
    assert (told.model, told.is_usage_estimated, told.tokens_in, told.tokens_out) == ("other", False, 7, 3)


@pytest.mark.parametrize("claimed", [-1, TOKENS_MAX + 1, 2**64])
def test_what_no_model_can_have_read_is_estimated_instead(claimed: int) -> None:
    told = answer(PROMPT, "It is well.", "m" * 10_000, claimed, 3, "stop")
    assert (told.tokens_in < 100, told.tokens_out, told.is_usage_estimated) == (True, 3, True)
    assert len(told.model) <= REASON_CHARACTERS_MAX


@pytest.mark.parametrize("status", [200, 500])
def test_lists_in_lists_without_end_are_garbage_or_say_nothing(status: int) -> None:
    deep = reply(b'{"choices":' + b"[" * 200_000, status)
    with pytest.raises(ProviderFault) as fault:
        DIALECT.decode(PROMPT, deep)
    assert fault.value.error is (ErrorClass.GARBAGE if status == 200 else ErrorClass.SERVER)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (None, ErrorClass.TRUNCATED),
        ("", ErrorClass.TRUNCATED),
        ("filter", ErrorClass.FILTERED),
        ("boredom", ErrorClass.GARBAGE),
    ],
)
def test_a_finish_reason_is_never_invented(given: str | None, error: ErrorClass) -> None:
    with pytest.raises(ProviderFault) as fault:
        finish({"stop": "stop"}, ("filter",), given)
    assert fault.value.error is error


def test_words_are_one_line_of_bounded_length() -> None:
    assert shorten("a\n  b") == "a b"
    assert len(shorten("x" * 10_000)) == REASON_CHARACTERS_MAX
