"""Every refusal is a problem document (RFC 9457) with a stable code, the reason in a sentence, and what to do (`recording` writes its line).

The acts' refusals (`registry.rules`) decide the code; this page decides the HTTP status of each.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions, status
from rest_framework.response import Response

from registry import rules

log = logging.getLogger(__name__)
PROBLEM = "application/problem+json"

# Codes of acts whose HTTP status is not that of their class (Denied 403, Conflict 409, Invalid 400).
STATUS = {
    "digest_mismatch": 422,
    "cut_short": 400,
    "no_space": 507,
    "upload_too_large": 413,
    "quota_exceeded": 413,
    "piece_too_large": 413,
    "chunk_too_large": 413,
    "tus_version": 412,
    "offset_mismatch": 409,
    "checksum_mismatch": 460,
    "piece_busy": 423,
    "bundle_damaged": 422,
    "bundle_order": 422,
    "bundle_count": 422,
    "bundle_unreadable": 422,
    "table_too_large": 413,
    "table_faulty": 422,
    "package_dead": 410,
    "participant_withdrawn": 410,
    "file_recalled": 410,
    "review_gone": 410,
    "not_signed_in": 401,
    "questions_spent": 429,
    "audit_broken": 503,
}
TITLES = {
    400: "Bad request", 401: "Not signed in", 403: "Forbidden", 404: "Not found", 405: "Method not allowed", 409: "Conflict",
    410: "Gone",
    411: "Length required", 412: "Another version", 413: "Too large", 415: "Unsupported media type", 416: "Range not satisfiable", 422: "Not as announced",
    423: "Busy", 429: "Too many requests", 460: "Not the announced checksum", 500: "Internal error", 503: "Busy", 507: "No space",
}  # fmt: skip
ADVICE = {
    "not_signed_in": "Sign in, or send a token.",
    "token_invalid": "Make a new token.",
    "scope_missing": "Make a token with the scope that this needs.",
    "second_factor_needed": "Set up an authenticator or give its code: at /account/second-factor in a browser, or with `code` at POST /api/v1/session.",
    "step_up_needed": "Say once more who you are, at POST /api/v1/session/confirm or at /account/confirm in a browser, and try again within ten minutes.",
    "wrong_code": "Wait for the next code; each works once.",
    "csrf": "Send the CSRF token of GET /api/v1/session in X-CSRFToken.",
    "not_found": "Check the address; what you may not see looks the same as what is not there.",
    "throttled": "Wait as long as Retry-After says.",
    "busy": "Try again after Retry-After seconds.",
    "method_not_allowed": "Use a method that Allow names.",
    "unsupported_media_type": "Send application/json, or application/octet-stream for a file.",
    "too_large": "Send less at once.",
    "length_required": "Send Content-Length.",
    "piece_ended": "Begin it again.",
    "malformed_json": "Send one JSON value in UTF-8.",
    "nested_too_deep": "Send flatter JSON.",
    "invalid": "Mend the fields named in errors.",
    "internal": "Try again; if it stays, tell the operators the time of this answer.",
}


class TooLarge(exceptions.APIException):
    """The body is larger than this place takes."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is larger than is taken here."
    default_code = "too_large"


class LengthRequired(exceptions.APIException):
    """A file needs its length before its bytes."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = "A file is sent with its Content-Length."
    default_code = "length_required"


class Gone(exceptions.APIException):
    """It was here, and is not any more."""

    status_code = status.HTTP_410_GONE
    default_detail = "This is not there any more."
    default_code = "package_dead"


class ScopeMissing(exceptions.PermissionDenied):
    """The token may not do this, whoever holds it."""

    default_detail = "This token does not have the scope that this needs."
    default_code = "scope_missing"


class FactorNeeded(exceptions.PermissionDenied):
    """The account decides or runs the registry, and its second factor is not set up or not given."""

    default_detail = "This account needs its second factor first."
    default_code = "second_factor_needed"


class StepUpNeeded(exceptions.PermissionDenied):
    """A session takes data away or decides: its owner says once more who they are."""

    default_detail = "This needs that you said a moment ago who you are."
    default_code = "step_up_needed"


def document(code: str, http: int, reason: str, advice: str = "", errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """A problem document."""
    told: dict[str, Any] = {"type": f"urn:myelin:problem:{code}", "title": TITLES.get(http, "Problem"), "status": http, "code": code, "detail": reason}
    told["advice"] = advice or ADVICE.get(code, "")
    if errors:
        told["errors"] = errors
    return told


def handler(error: Exception, context: dict[str, Any]) -> Response:
    """What REST framework calls for every exception of a view: always a problem document, 500 for what nobody foresaw."""
    from rest_framework.views import set_rollback  # late: REST framework reads our parsers, which need this module, while its views are being made

    set_rollback()
    told, headers = _told(error)
    if told is None:
        told = _unforeseen(error)
    response = Response(told, status=told["status"], headers=headers, content_type=PROBLEM)
    # A request may have asked for a media type we do not speak; the problem is told as JSON anyway.
    response["Cache-Control"] = "no-store"
    return response


def _told(error: Exception) -> tuple[dict[str, Any] | None, dict[str, str]]:
    if isinstance(error, rules.Refusal):
        return _refusal(error), {}
    if isinstance(error, Http404 | exceptions.NotFound):
        return document("not_found", 404, "There is nothing here, or nothing that you may see."), {}
    if isinstance(error, PermissionDenied):
        return document("csrf" if "CSRF" in str(error) else "no_role", 403, "This may not be done by you."), {}
    if isinstance(error, RequestDataTooBig):
        return document("too_large", 413, "The body is larger than is taken here."), {}
    if isinstance(error, OperationalError) and waits_for_a_lock(error):
        return document("busy", 503, "The registry is busy with another change."), {"Retry-After": "2"}
    if isinstance(error, exceptions.APIException):
        return _framework(error)
    return None, {}


def _unforeseen(error: Exception) -> dict[str, Any]:
    """A fault of ours: the log gets the class and the line, never the message (it may quote what it could not handle); the asker gets neither."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    log.error("unforeseen %s at %s:%s", type(error).__name__, last.filename, last.lineno)
    return document("internal", 500, "Something went wrong here.")


def waits_for_a_lock(error: DatabaseError) -> bool:
    """Whether the database only asked for patience: SQLite's lock, PostgreSQL's lock time-out or serialisation."""
    text = str(error)
    return "locked" in text or "lock timeout" in text or "deadlock" in text or "could not serialize" in text


def _refusal(error: rules.Refusal) -> dict[str, Any]:
    kind = 403 if isinstance(error, rules.Denied) else 409 if isinstance(error, rules.Conflict) else 400
    http = STATUS.get(error.code, kind)
    return document(error.code, http, error.reason, error.advice, getattr(error, "errors", None))


def _framework(error: exceptions.APIException) -> tuple[dict[str, Any], dict[str, str]]:
    headers: dict[str, str] = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(error.auth_header)
    if isinstance(error, exceptions.ValidationError):
        return document("invalid", 400, "Some fields are not as they must be.", errors=flat(error.detail)), headers
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(int(error.wait or 1))
        return document("throttled", 429, "Too many requests in too short a time."), headers
    if isinstance(error, exceptions.NotAuthenticated):
        return document("not_signed_in", 401, "Nobody is signed in."), headers
    if isinstance(error, exceptions.AuthenticationFailed):
        return document("token_invalid", 401, "This token is not valid, has ended or was revoked."), headers
    code = str(error.get_codes()) if isinstance(error.get_codes(), str) else "invalid"
    names = {"permission_denied": "no_role", "parse_error": "malformed_json"}
    reason = str(error.detail)
    if reason.startswith("CSRF"):
        return document("csrf", 403, "The CSRF token is missing or wrong."), headers
    return document(names.get(code, code), error.status_code, reason), headers


def flat(detail: Any, path: str = "") -> list[dict[str, str]]:
    """Nested errors of REST framework as a list of field and reason."""
    if isinstance(detail, dict):
        return [one for key, value in detail.items() for one in flat(value, _join(path, "" if key == "non_field_errors" else str(key)))]
    if isinstance(detail, list):
        if any(isinstance(value, dict | list) for value in detail):
            return [one for n, value in enumerate(detail) for one in flat(value, _join(path, str(n)))]
        return [{"field": path, "reason": str(value)} for value in detail]
    return [{"field": path, "reason": str(detail)}]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key


def server_error(request: HttpRequest) -> JsonResponse:
    """Django's handler500 below /api/: a problem without a word of what went wrong inside."""
    return JsonResponse(document("internal", 500, "Something went wrong here."), status=500, content_type=PROBLEM)


def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """For addresses below /api/ that no door answers."""
    return JsonResponse(document("not_found", 404, "There is nothing here, or nothing that you may see."), status=404, content_type=PROBLEM)
