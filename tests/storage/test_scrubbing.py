"""Words that are taken out of a saved state."""

import msgspec

from storage.scrubbing import WORDS_MIN, said_of, scrubbed

STATE = {
    "tasks": {
        "t-1": {"spec": {"title": "find her", "reward": 7}, "agent": "scout", "title": ""},
        "t-2": {"spec": {"title": "something else", "reward": 7}},
    },
    "seats": [{"task": "t-1", "title": "find her", "notes": ["about find her and more"]}, {"task": "t-2"}],
}


def test_what_belongs_to_a_subject_loses_its_words_and_the_rest_stays() -> None:
    found = msgspec.json.decode(scrubbed(msgspec.json.encode(STATE), {"t-1"}, {"title"}, ["find her"]))
    assert found["tasks"]["t-1"] == {"spec": {"title": "[redacted]", "reward": 7}, "agent": "scout", "title": ""}
    assert found["tasks"]["t-2"] == STATE["tasks"]["t-2"]  # type: ignore[index]  # what was just written down
    assert found["seats"] == [
        {"task": "t-1", "title": "[redacted]", "notes": ["about [redacted] and more"]},
        {"task": "t-2"},
    ]


def test_a_short_word_is_replaced_in_its_field_and_not_inside_of_others() -> None:
    word = "x" * (WORDS_MIN - 1)
    state = msgspec.json.encode({"title": word, "text": f"a {word} b"})
    assert msgspec.json.decode(scrubbed(state, (), {"title"}, [word])) == {"title": "[redacted]", "text": f"a {word} b"}


def test_texts_are_told_apart_by_whose_they_are() -> None:
    theirs, others = said_of(msgspec.json.encode(STATE), {"t-1"})
    assert theirs == ["find her", "scout", "", "t-1", "find her", "about find her and more"]
    assert others == ["something else", "t-2"]


def test_a_state_without_such_words_stays_to_the_byte() -> None:
    state = b'{"b":1,  "a":[1.50,null]}'
    assert scrubbed(state, {"t-9"}, {"title"}, ["words of nobody"]) is state
