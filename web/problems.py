"""Errors as clients see them: RFC 9457 documents and, on the socket, the same code and words.

Rules: the `type` is stable (`urn:agora:problem:<code>`); a refusal's own words are shown, since they are made for
people; of a fault only its kind is shown, never what an exception said, a path or a traceback.
"""

import math
from http import HTTPStatus

from starlette.responses import Response

from bus import errors, refusals
from bus.errors import AgoraError
from web.wire import encode

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:agora:problem:"

STATUS: dict[type[AgoraError], int] = {
    refusals.Malformed: 400,
    errors.ProtocolViolation: 400,
    refusals.NotAuthenticated: 401,
    refusals.InsufficientFunds: 402,
    refusals.BudgetExhausted: 402,
    refusals.NotPermitted: 403,
    refusals.NotFound: 404,
    refusals.IllegalTransition: 409,
    refusals.IdempotencyConflict: 409,
    refusals.StaleEpoch: 409,
    refusals.TooLarge: 413,
    refusals.InvalidField: 422,
    refusals.RequestRejected: 422,
    errors.Refused: 422,
    refusals.Halted: 503,
    refusals.CheckpointNotSaved: 503,
    refusals.Overloaded: 429,
    refusals.QuotaExhausted: 429,
    refusals.IntakePaused: 507,
    refusals.AllProvidersFailed: 502,
    refusals.AllProvidersThrottled: 429,
    refusals.NoTimeLeft: 504,
    refusals.NodeFailed: 502,
    refusals.StreamBroken: 502,
    errors.MailboxFull: 503,
    errors.ActorStopped: 503,
    errors.NoSuchActor: 503,
    errors.SystemStopping: 503,
    errors.StorageError: 503,
    errors.DeadlinePassed: 504,
    errors.AgoraError: 500,
}
"""By error class; the closest base counts."""
STATUS_BY_CODE = {"disk_full": 507}
"""For errors of floors that the web does not see."""

RETRYABLE = (
    refusals.Halted,
    refusals.CheckpointNotSaved,
    refusals.IntakePaused,
    refusals.Overloaded,
    refusals.AllProvidersFailed,
    refusals.NodeFailed,
    refusals.StreamBroken,
    errors.MailboxFull,
    errors.ActorStopped,
    errors.NoSuchActor,
    errors.SystemStopping,
    errors.StorageError,
    errors.DeadlinePassed,
)
"""The same request, with the same key, may succeed later."""
WITH_RETRY_AFTER = (refusals.Overloaded, refusals.QuotaExhausted, refusals.AllProvidersThrottled)
"""They say themselves when that may be."""
RETRY_AFTER_S = 1.0


class Problem(AgoraError):
    """A plain HTTP refusal, such as an unknown path."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = code


def status_of(error: AgoraError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, Problem):
        return error.status
    if error.code in STATUS_BY_CODE:
        return STATUS_BY_CODE[error.code]
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def code_of(error: AgoraError) -> str:
    """The stable name of an error."""
    return error.problem if isinstance(error, Problem) else error.code


def detail_of(error: AgoraError) -> str:
    """What a client may read of an error."""
    match error:
        case errors.Refused() | errors.DeadlinePassed() | errors.SystemStopping() | errors.MailboxFull() | Problem():
            return str(error)
        case errors.ActorStopped() | errors.NoSuchActor():
            return f"{error.address} is not running; try again"
        case errors.ActorFault():
            return f"{error.address} failed while handling {error.message}; the fault is recorded"
        case errors.StorageError():
            return "the journal cannot be reached; what became of the request is unknown"
        case _:
            return "the server failed; the fault is recorded"


def is_retryable(error: AgoraError) -> bool:
    """Whether the same request may succeed later."""
    return isinstance(error, RETRYABLE)


def problem_response(error: AgoraError) -> Response:
    """The document, with Retry-After where there is one."""
    status = status_of(error)
    code = code_of(error)
    document: dict[str, object] = {
        "type": TYPE + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail_of(error),
        "code": code,
        "retryable": is_retryable(error),
    }
    headers: dict[str, str] = {"cache-control": "no-store"}
    if isinstance(error, refusals.InvalidField):
        document["path"] = error.path
    if status in (429, 503, 507):
        wait_s = error.retry_after_s if isinstance(error, WITH_RETRY_AFTER) else RETRY_AFTER_S
        headers["retry-after"] = str(max(1, math.ceil(wait_s)))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(encode(document), status, headers, MEDIA_TYPE)
