"""What is kept of a completion, and how it reads."""

import msgspec
import pytest

from actors.rules.recordings import request_hash
from actors.rules.redaction import MARK, Redactor
from actors.rules.transcripts import Keeping, file_of, page_of, redacted, rows, summary_of
from bus.messages.base import AgentId, RunId
from bus.messages.completions import ChatMessage, Complete
from bus.messages.transcripts import Transcript
from tests.actors.rules.test_recordings import trace, transcript

SECRET = "a-secret-of-mine"
REDACTOR = Redactor((), (), (SECRET,))
RUN = RunId("main")
ASKED = Complete((ChatMessage("system", "Be brief."), ChatMessage("user", f"Use {SECRET}.")), 50, 9.0)
TIME = "2026-01-02T03:04:05.006+00:00"


def told(request: Complete = ASKED) -> Transcript:
    failed = msgspec.structs.replace(trace("a", "server"), reason=f"it said {SECRET}")
    answered = msgspec.structs.replace(trace("b", text=f"I use {SECRET}."), number=2, is_hedge=True)
    return msgspec.structs.replace(transcript(failed, answered, request=request), request_hash="", provider="b")


def test_what_is_kept_is_redacted_in_the_prompt_the_answer_and_the_reasons() -> None:
    kept = redacted(told(), Keeping(), REDACTOR, RUN)
    assert SECRET not in msgspec.json.encode(kept).decode()
    assert kept.request is not None
    assert (kept.request.messages[1].content, kept.attempts[1].answer) == (f"Use {MARK}.", {"text": f"I use {MARK}."})
    assert (kept.run, kept.withheld) == ("main", "")


def test_a_redacted_request_is_known_by_the_hash_of_what_was_asked() -> None:
    assert redacted(told(), Keeping(), REDACTOR, RUN).request_hash == request_hash(ASKED)


@pytest.mark.parametrize(
    ("keeping", "privacy", "why"),
    [
        (Keeping(has_words=False), "any", "only the trace is kept"),
        (Keeping(), "local", "it was marked local"),
    ],
)
def test_where_words_are_not_kept_what_happened_still_is(keeping: Keeping, privacy: str, why: str) -> None:
    asked = msgspec.structs.replace(ASKED, privacy=privacy)
    kept = redacted(told(asked), keeping, REDACTOR, RUN)
    assert (kept.request, [one.answer for one in kept.attempts]) == (None, [None, None])
    assert [one.outcome for one in kept.attempts] == ["server", "ok"]
    assert kept.withheld.startswith(why)
    assert "Be brief" not in page_of(kept, TIME)


def test_the_words_of_a_local_request_are_kept_where_the_settings_allow_it() -> None:
    asked = msgspec.structs.replace(ASKED, privacy="local")
    assert redacted(told(asked), Keeping(is_local_kept=True), REDACTOR, RUN).request is not None


def test_a_page_tells_all_in_the_order_in_which_it_happened() -> None:
    page = page_of(redacted(told(), Keeping(), REDACTOR, RUN), TIME)
    words = ("## m-1: answered", TIME, "1. a (m)", "server: it said", "2. b (m)", "beside the one before", "### system")
    places = [page.index(word) for word in (*words, "### user", "### answer of b", f"I use {MARK}.")]
    assert places == sorted(places)


def test_a_completion_without_an_answer_says_why() -> None:
    failed = msgspec.structs.replace(
        told(), attempts=(trace("a", "server"),), ending="failed", reason="nobody answered"
    )
    assert page_of(redacted(failed, Keeping(), REDACTOR, RUN), TIME).endswith("No answer: nobody answered\n\n")


def test_a_file_is_named_by_run_agent_and_day_and_by_nothing_that_leads_elsewhere() -> None:
    strange = msgspec.structs.replace(told(), run=RunId("../x"), agent=AgentId(""))
    assert file_of(strange, TIME) == "_x/_/2026-01-02.md"


def test_a_row_has_the_summary_and_the_whole() -> None:
    (row,), ((name, page),) = rows([told()], Keeping(), REDACTOR, RUN, lambda _: TIME)
    kept = msgspec.json.decode(row.content, type=Transcript)
    assert kept == redacted(told(), Keeping(), REDACTOR, RUN)
    assert msgspec.json.decode(row.summary, type=type(summary_of(kept))) == summary_of(kept)
    assert (row.completion, name, page) == ("m-1", "main/scout/2026-01-02.md", page_of(kept, TIME))
