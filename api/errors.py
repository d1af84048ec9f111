"""The one table from broken rules to HTTP statuses and public codes, and OpenAI's envelope.

No message repeats what a caller sent, except names that cannot be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.providers.catalogue import UnknownProvider
from api.providers.port import UnsupportedParameter
from api.request_id import request_id_of
from domain.account import AccountNotFound, ApiKeyNotFound, LimitReached
from domain.coordination.port import Busy
from domain.credential import CredentialNotFound
from domain.credit_note import NothingToCredit
from domain.errors import BadValue, DomainError
from domain.eventlog.port import Conflict, CorruptLog, StoreUnavailable
from domain.invoice import InvoiceNotFound, InvoiceSettled
from domain.invoice_register import PeriodOverlaps
from domain.vault.port import SecretNotFound, VaultUnavailable
from projections.inserter import TooManyDeadLetters
from projections.invoicing import CannotClose
from projections.projector import AnotherLog
from projections.store.port import ProjectionUnavailable

_log = structlog.get_logger("keytoll.api")

INTERNAL: Final = "internal_error"
NO_PATH: Final = (
    "There is nothing at this path. An SDK's base URL ends with /api/v1 here;"
    " GET /openapi.json lists the routes."
)
_OUR_FAULT: Final = "keytoll failed to serve the request."

CODES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "invalid_json": 400,
        "missing_required_parameter": 400,
        "invalid_parameter_value": 400,
        "unsupported_parameter": 400,
        "byok_required": 400,
        "unknown_provider": 400,
        "no_credential_for_model": 400,
        "no_credential_for_provider": 400,
        "limit_reached": 400,
        "context_length_exceeded": 400,
        "content_filter": 400,
        "provider_bad_request": 400,
        "invalid_api_key": 401,
        "provider_credential_rejected": 401,
        "provider_insufficient_quota": 402,
        "budget_exhausted": 402,
        "role_not_allowed": 403,
        "model_not_allowed": 403,
        "provider_forbidden": 403,
        "account_suspended": 403,
        "model_not_found": 404,
        "not_found": 404,
        "method_not_allowed": 405,
        "request_in_progress": 409,
        "idempotency_key_reused": 409,
        "conflict": 409,
        "request_too_large": 413,
        "rate_limit_exceeded": 429,
        "provider_rate_limited": 429,
        INTERNAL: 500,
        "provider_error": 502,
        "provider_invalid_response": 502,
        "provider_unreachable": 502,
        "provider_overloaded": 503,
        "store_unavailable": 503,
        "projection_unavailable": 503,
        "shutting_down": 503,
        "provider_timeout": 504,
    }
)
"""Every code that an answer may carry, with its usual status (a provider's own 4xx keeps its)."""

RULES: Final[Mapping[type[Exception], str]] = MappingProxyType(
    {
        BadValue: "invalid_parameter_value",
        UnknownProvider: "unknown_provider",
        UnsupportedParameter: "unsupported_parameter",
        LimitReached: "limit_reached",
        AccountNotFound: "not_found",
        ApiKeyNotFound: "not_found",
        CredentialNotFound: "not_found",
        InvoiceNotFound: "not_found",
        InvoiceSettled: "conflict",
        NothingToCredit: "conflict",
        CannotClose: "conflict",
        PeriodOverlaps: "conflict",
        Conflict: "conflict",
        Busy: "conflict",
        # The credential was removed or rotated while the call was on its way to its secret.
        SecretNotFound: "conflict",
        StoreUnavailable: "store_unavailable",
        VaultUnavailable: "store_unavailable",
        CorruptLog: "store_unavailable",
        ProjectionUnavailable: "projection_unavailable",
        AnotherLog: "projection_unavailable",
        TooManyDeadLetters: "projection_unavailable",
    }
)
"""Which code a broken rule of ours gives. What is not here (nor a base of it) is our own fault."""

_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        401: "authentication_error",
        402: "insufficient_quota",
        403: "permission_error",
        429: "rate_limit_error",
    }
)
_HARMLESS_NAME: Final = re.compile(r"[a-z][a-z_]{0,30}")
_DEPTH_MAX: Final = 6


class ApiError(DomainError):
    """An answer that is not a success. The message is public."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        provider: str | None = None,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.provider = provider
        self.details = details
        self.headers: Mapping[str, str] = headers or {}

    @property
    def type(self) -> str:
        """OpenAI's kind of error."""
        return _TYPES.get(
            self.status, "api_error" if self.status >= 500 else "invalid_request_error"
        )


Answer = Callable[[Request, ApiError], Response]
"""How an error is told."""


def api_error(error: Exception) -> ApiError:
    """The public form of any error; what the table does not know is an internal error."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        return _framework_error(error)
    if isinstance(error, RequestValidationError):
        return validation_error(error.errors())
    for kind in type(error).__mro__:
        code = RULES.get(kind)
        if code is not None:
            param = getattr(error, "param", None)
            return ApiError(CODES[code], code, str(error), param=param)
    return ApiError(500, INTERNAL, _OUR_FAULT)


def error_body(error: ApiError, *, request_id: str) -> dict[str, Any]:
    """OpenAI's envelope."""
    inside: dict[str, Any] = {
        "message": error.message,
        "type": error.type,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
    }
    if error.provider is not None:
        inside["provider"] = error.provider
    if error.details:
        inside["details"] = dict(error.details)
    return {"error": inside}


def error_response(request: Request, error: ApiError) -> Response:
    """An error in OpenAI's envelope."""
    request_id = request_id_of(request.scope)
    return JSONResponse(
        error_body(error, request_id=request_id),
        status_code=error.status,
        headers={**error.headers, "x-request-id": request_id},
    )


def public_error(request: Request, error: Exception) -> ApiError:
    """The public form of an error that a request met; our own faults are logged."""
    shown = api_error(error)
    if shown.code == INTERNAL:
        _log.error("request_broke", request_id=request_id_of(request.scope), exc_info=error)
    return shown


def install_error_handlers(app: FastAPI, answer: Answer = error_response) -> None:
    """Give every error of the application, the framework's own included, the same form."""

    async def tell(request: Request, error: Exception) -> Response:
        return answer(request, public_error(request, error))

    for kind in (DomainError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, tell)


def _framework_error(error: HTTPException) -> ApiError:
    known = {
        # The framework's own 400: the body's bytes are not text, or nested beyond reading.
        400: ("invalid_json", "The body cannot be read as JSON."),
        404: ("not_found", NO_PATH),
        405: ("method_not_allowed", "This path does not take this method."),
        413: ("request_too_large", "The body is too large."),
    }
    if error.status_code >= 500:
        code, message = INTERNAL, _OUR_FAULT
    else:
        code, message = known.get(
            error.status_code, ("invalid_parameter_value", "The request is malformed.")
        )
    return ApiError(error.status_code, code, message, headers=error.headers)


def validation_error(found: Sequence[Mapping[str, Any]]) -> ApiError:
    """What is wrong with the first field that is, without its value."""
    if not found:
        return ApiError(400, "invalid_parameter_value", "The request is malformed.")
    first = found[0]
    kind, place = str(first["type"]), tuple(first["loc"])
    if kind == "json_invalid":
        return ApiError(400, "invalid_json", "The body is not valid JSON.")
    if kind == "extra_forbidden":
        return _unknown_field(place)
    param = _param(place)
    if kind == "missing":
        what = f"Missing required parameter: '{param}'." if param else "The body is missing."
        return ApiError(400, "missing_required_parameter", what, param=param)
    if param is None:
        what = "The body must be a JSON object, sent as content-type application/json."
    else:
        what = f"'{param}': {first['msg']}."
    return ApiError(400, "invalid_parameter_value", what, param=param)


def _unknown_field(place: tuple[object, ...]) -> ApiError:
    """A field that we do not know. Its name is repeated only if it cannot be a secret."""
    name = str(place[-1])
    shown = place if _HARMLESS_NAME.fullmatch(name) else place[:-1]
    param = _param(shown)
    what = f"Unknown parameter: '{param}'." if shown is place else "The body has an unknown field."
    return ApiError(400, "invalid_parameter_value", what, param=param)


def _param(place: tuple[object, ...]) -> str | None:
    """`("body", "models", 3)` → `models.3`; the part of the request is not told.

    Ends before a name that a caller chose, such as a tag's, because it could be a secret.
    """
    shown: list[str] = []
    for part in place[1:_DEPTH_MAX]:
        if not isinstance(part, int) and not _HARMLESS_NAME.fullmatch(str(part)):
            break
        shown.append(str(part))
    return ".".join(shown) or None
