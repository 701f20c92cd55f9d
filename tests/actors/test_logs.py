"""What operators read on stderr."""

import logging

import pytest

from actors.logs import LineFormatter, Log


def line(message: str, fields: dict[str, object], error: Exception | None = None) -> str:
    record = logging.LogRecord("router", logging.WARNING, "", 0, message, (), None)
    record.agora_fields = fields
    record.created = 1_000_000_000.5
    if error is not None:
        record.exc_info = (type(error), error, None)
    return LineFormatter().format(record)


def test_a_line_has_its_time_level_name_message_and_fields() -> None:
    fields: dict[str, object] = {"provider": "ollama", "reason": "it is away", "wait_s": 2.5, "empty": ""}
    assert line("a provider was left out", fields) == (
        "2001-09-09T01:46:40.500Z WARNING router: a provider was left out "
        'provider=ollama reason="it is away" wait_s=2.5 empty=""'
    )


@pytest.mark.parametrize("text", ["two\nlines", "a\x1b[31mred", 'a "quote"', "a=b"])
def test_no_value_can_break_the_line_or_pass_for_another_field(text: str) -> None:
    said = line("hello", {"text": text})
    assert said.count("\n") == 0
    assert "\x1b" not in said
    assert said.partition("text=")[2].startswith('"')


def test_a_message_of_several_lines_becomes_one() -> None:
    assert line("one\ntwo\r", {}).endswith("router: one\\ntwo\\r")


def test_an_exception_is_one_field_and_no_traceback() -> None:
    assert line("failed", {}, ValueError("no\nway")).endswith('failed error="ValueError: no\\nway"')


def test_a_log_writes_under_its_name_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for write in (Log("one").debug, Log("one").info, Log("one").warning, Log("one").error):
            write("said", count=1)
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert {record.name for record in caplog.records} == {"one"}
    assert {LineFormatter().format(record).partition("one: ")[2] for record in caplog.records} == {"said count=1"}
