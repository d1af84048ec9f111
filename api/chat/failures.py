"""What the caller is told when a provider fails: one table from class to code and status."""

from __future__ import annotations

from typing import Final

from api.chat.lifeline import Interruption
from api.errors import ApiError
from api.providers.http import TimedOut, Unreachable
from api.providers.port import FailureClass, ProviderFailure
from domain.directory import CredentialView
from domain.events.requests import GAVE_UP

NO_RETRY: Final = {"x-should-retry": "false"}
"""The provider may have generated and billed: SDKs must not repeat the call by themselves."""

_CODES: Final[dict[FailureClass, tuple[int, str]]] = {
    "credential_invalid": (401, "provider_credential_rejected"),
    "credential_out_of_money": (402, "provider_insufficient_quota"),
    "forbidden_not_auth": (403, "provider_forbidden"),
    "not_found": (404, "model_not_found"),
    "rate_limited": (429, "provider_rate_limited"),
    "overloaded": (503, "provider_overloaded"),
    "provider_error": (502, "provider_error"),
    "invalid_response": (502, "provider_invalid_response"),
}


def failure_error(failure: ProviderFailure, credential: CredentialView) -> ApiError:
    """A provider's own refusal in the words of API.md 3."""
    if failure.kind == "bad_request":
        status = failure.status if 400 <= failure.status < 500 else 400
        code = failure.code or "provider_bad_request"
    else:
        status, code = _CODES[failure.kind]
    headers = dict(NO_RETRY) if status == 502 or failure.status in GAVE_UP else {}
    if failure.retry_after is not None:
        headers["retry-after"] = failure.retry_after
    details = {"provider_status": failure.status}
    if failure.kind == "credential_invalid":
        return ApiError(
            status,
            code,
            f"{credential.provider} refused the stored key ending in {credential.key_suffix}: "
            f"{failure.message}",
            provider=credential.provider,
            details={**details, "key_suffix": credential.key_suffix},
            headers=headers,
        )
    return ApiError(
        status,
        code,
        failure.message,
        provider=credential.provider,
        details=details,
        headers=headers,
    )


def transport_error(error: Exception, *, provider: str) -> tuple[str, ApiError]:
    """(failure of the event, error for the caller) when the line to a provider failed."""
    if isinstance(error, Unreachable):
        shown = ApiError(
            502, "provider_unreachable", f"{provider} could not be reached.", provider=provider
        )
        return "unreachable", shown
    if isinstance(error, TimedOut) and error.phase == "connect":
        shown = ApiError(
            504, "provider_timeout", f"{provider} could not be reached in time.", provider=provider
        )
        return "unreachable", shown  # nothing was sent, so nothing can have been billed
    if isinstance(error, TimedOut | TimeoutError):
        shown = ApiError(
            504,
            "provider_timeout",
            f"{provider} did not answer in time.",
            provider=provider,
            headers=NO_RETRY,
        )
        return "timeout", shown
    shown = ApiError(
        502,
        "provider_error",
        f"The connection to {provider} broke off.",
        provider=provider,
        headers=NO_RETRY,
    )
    return "provider_error", shown


def cut_off_error(provider: str) -> ApiError:
    """The answer ended before its protocol says so."""
    return ApiError(
        502,
        "provider_error",
        f"{provider} broke off its answer.",
        provider=provider,
        headers=NO_RETRY,
    )


def interrupted_error(why: Interruption) -> ApiError:
    """Our own doing. (After a disconnect nobody reads it.)"""
    message = {"shutdown": "keytoll is shutting down.", "disconnected": "The caller went away."}
    return ApiError(503, "shutting_down", message[why], headers=NO_RETRY)
