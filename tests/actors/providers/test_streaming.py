"""Streams of every dialect, however the network cuts them; and what a model says aloud out of what it writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.providers import anthropic, gemini, ollama, openai
from actors.providers.dialect import Prompt, ProviderFault
from actors.providers.streaming import LINE_BYTES_MAX, Follow, Speech, StreamReader, data_of
from actors.rules.cascade import ErrorClass
from bus.messages.completions import ChatMessage
from tests.support.fault_server import TEXT, TOKENS_IN, TOKENS_OUT, streamed_reply

PROMPT = Prompt((ChatMessage("user", "Hello."),), tokens_max=50, model="tiny", is_streamed=True)
DIALECTS: list[tuple[Follow, str]] = [
    (openai.follow, "/v1/chat/completions"),
    (ollama.follow, "/api/chat"),
    (anthropic.follow, "/v1/messages"),
    (gemini.follow, "/v1beta/models/tiny:streamGenerateContent"),
]


@pytest.mark.parametrize(("follow", "path"), DIALECTS)
@given(cuts=st.lists(st.integers(0, 900), max_size=8))
def test_a_stream_is_the_same_wherever_the_network_cuts_it(follow: Follow, path: str, cuts: list[int]) -> None:
    data = b"".join(streamed_reply(path))
    reader, words, begin = StreamReader(PROMPT, follow), "", 0
    for cut in [*sorted({cut % len(data) for cut in cuts}), len(data)]:
        words += reader.feed(data[begin:cut])
        begin = cut
    last, reply = reader.end()
    assert (words + last, reply.text, reply.model, reply.finish_reason) == (TEXT, TEXT, "tiny", "stop")
    assert (reply.tokens_in, reply.tokens_out, reply.is_usage_estimated) == (TOKENS_IN, TOKENS_OUT, False)


@pytest.mark.parametrize(("follow", "path"), DIALECTS)
def test_a_stream_without_a_finish_is_truncated_and_no_reason_is_invented(follow: Follow, path: str) -> None:
    reader = StreamReader(PROMPT, follow)
    for piece in streamed_reply(path)[:2]:
        reader.feed(piece)
    assert not reader.is_finished
    with pytest.raises(ProviderFault) as fault:
        reader.end()
    assert fault.value.error is ErrorClass.TRUNCATED


@pytest.mark.parametrize(("follow", "path"), DIALECTS[:3])
def test_a_stream_is_over_at_its_dialects_own_mark_and_not_before(follow: Follow, path: str) -> None:
    *pieces, last = streamed_reply(path)
    reader = StreamReader(PROMPT, follow)
    for piece in pieces:
        reader.feed(piece)
        assert not reader.is_over
    reader.feed(last + b"data: {what\n{what\n")
    assert reader.is_over
    assert reader.end()[1].text == TEXT


def test_a_finish_in_each_event_of_gemini_is_no_end() -> None:
    reader = StreamReader(PROMPT, gemini.follow)
    for piece in streamed_reply(DIALECTS[3][1]):
        reader.feed(piece.replace(b'"finishReason":null', b'"finishReason":"STOP"'))
        assert reader.is_finished
        assert not reader.is_over
    assert reader.end()[1].text == TEXT


@pytest.mark.parametrize(
    ("follow", "line", "error"),
    [
        (openai.follow, b'data: {"error": {"message": "out of memory"}}\n', ErrorClass.SERVER),
        (openai.follow, b'data: {"error": {"code": 429, "message": "slow down"}}\n', ErrorClass.THROTTLED),
        (openai.follow, b'data: {"choices": [{"finish_reason": "content_filter"}]}\n', ErrorClass.FILTERED),
        (ollama.follow, b'{"error": "out of memory"}\n', ErrorClass.SERVER),
        (anthropic.follow, b'data: {"type": "error", "error": {"type": "overloaded_error"}}\n', ErrorClass.SERVER),
        (anthropic.follow, b'data: {"type": "error", "error": {"type": "rate_limit_error"}}\n', ErrorClass.THROTTLED),
        (gemini.follow, b'data: {"error": {"code": 503, "message": "overloaded"}}\n', ErrorClass.SERVER),
        (openai.follow, b"data: {what\n", ErrorClass.GARBAGE),
        (openai.follow, b"data: " + b"x" * (LINE_BYTES_MAX + 1), ErrorClass.GARBAGE),
    ],
)
def test_an_error_in_the_middle_of_a_stream_has_its_class(follow: Follow, line: bytes, error: ErrorClass) -> None:
    with pytest.raises(ProviderFault) as fault:
        StreamReader(PROMPT, follow).feed(line)
    assert fault.value.error is error


def test_comments_names_and_the_closing_mark_say_nothing() -> None:
    assert [data_of(line) for line in (b": ping", b"event: x", b"data: [DONE]", b"data: {}")] == [b"", b"", b"", b"{}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  Fine. \n", "Fine."),
        ("<think>hm</think> Fine.", "Fine."),
        ("\n<thinking>a <b> c</thinking>\n\n<think>d</think>Fine. And so on.", "Fine. And so on."),
        ("<think>for ever", ""),
        ("<thin ice", "<thin ice"),
        ("<", "<"),
        ("<think", "<think"),
        ("a <think>b</think> c", "a <think>b</think> c"),
    ],
)
@given(cuts=st.lists(st.integers(0, 80), max_size=10))
def test_thinking_and_white_space_at_either_end_are_not_said(text: str, said: str, cuts: list[int]) -> None:
    speech, heard, begin = Speech(), "", 0
    for cut in [*sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]:
        heard += speech.feed(text[begin:cut])
        begin = cut
    assert heard + speech.end() == said
