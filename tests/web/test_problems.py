"""Errors as documents: stable types, and nothing that an exception said."""

import msgspec
import pytest

from bus import errors, refusals
from bus.errors import AgoraError
from web.problems import MEDIA_TYPE, Problem, detail_of, is_retryable, problem_response, status_of

CASES: list[tuple[AgoraError, int]] = [
    (refusals.Malformed("the body", "is not JSON"), 400),
    (refusals.NotAuthenticated("who are you"), 401),
    (refusals.InsufficientFunds("treasury", 1, 2, "msat"), 402),
    (refusals.BudgetExhausted("run", 1, 2), 402),
    (refusals.NotPermitted("no"), 403),
    (refusals.NotFound("task", "t-9"), 404),
    (refusals.IllegalTransition("task t-1", "completed", "cancelled"), 409),
    (refusals.IdempotencyConflict("key"), 409),
    (refusals.StaleEpoch(1, 2), 409),
    (refusals.TooLarge("the body", 5), 413),
    (Problem(421, "misdirected", "no"), 421),
    (refusals.InvalidField("title", "is empty"), 422),
    (refusals.RequestRejected("ollama", "no such model"), 422),
    (errors.Refused("no"), 422),
    (refusals.Overloaded("x", 2.4), 429),
    (errors.ActorFault("ledger", "Transfer", "KeyError('secret')"), 500),
    (AgoraError("secret"), 500),
    (refusals.AllProvidersFailed(()), 502),
    (refusals.AllProvidersThrottled((), 900.5), 429),
    (refusals.NoTimeLeft(()), 504),
    (errors.MailboxFull("ledger", 5), 503),
    (errors.ActorStopped("ledger"), 503),
    (errors.SystemStopping(), 503),
    (refusals.CheckpointNotSaved("the disk is full"), 503),
    (errors.StorageError("/home/secret/journal"), 503),
    (errors.DeadlinePassed("ledger", 5.0), 504),
]


@pytest.mark.parametrize(("error", "status"), CASES, ids=lambda case: type(case).__name__)
def test_each_error_has_its_status_and_a_stable_type(error: AgoraError, status: int) -> None:
    assert status_of(error) == status
    response = problem_response(error)
    assert response.status_code == status
    assert response.media_type == MEDIA_TYPE
    body = msgspec.json.decode(bytes(response.body), type=dict[str, object])
    code = "misdirected" if isinstance(error, Problem) else error.code
    assert body["type"] == f"urn:agora:problem:{code}"
    assert body["status"] == status
    assert body["retryable"] is is_retryable(error)


@pytest.mark.parametrize("error", [error for error, _ in CASES])
def test_no_fault_tells_what_an_exception_said(error: AgoraError) -> None:
    assert "secret" not in detail_of(error)


def test_a_full_disk_is_507_whatever_floor_it_comes_from() -> None:
    class DiskFull(errors.StorageError):
        code = "disk_full"

    assert problem_response(DiskFull("full")).status_code == 507


def test_a_wrong_field_is_named_beside_the_words() -> None:
    body = msgspec.json.decode(bytes(problem_response(refusals.InvalidField("title", "is empty")).body))
    assert (body["path"], body["detail"]) == ("title", "title: is empty")


def test_a_limit_says_when_to_come_back() -> None:
    assert problem_response(refusals.Overloaded("x", 2.4)).headers["retry-after"] == "3"
    assert problem_response(errors.SystemStopping()).headers["retry-after"] == "1"
    assert problem_response(refusals.NotAuthenticated("no")).headers["www-authenticate"] == "Bearer"


def test_text_of_a_client_is_data_in_a_document_that_no_browser_draws() -> None:
    response = problem_response(refusals.NotFound("task", "<img src=x onerror=alert(1)>"))
    assert response.media_type == MEDIA_TYPE
    assert "<img" in str(msgspec.json.decode(bytes(response.body))["detail"])
