"""Why no answer came: what the books say, what the caller is told, and what may be tried next.

One table from class to code and status, and the rules of decision 0040: the same request is sent
again, or another credential is tried, only where the provider cannot have generated anything, or
says itself that it failed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from api.chat.lifeline import Interruption
from api.errors import ApiError
from api.providers.http import HostRefused, TimedOut, Unreachable
from api.providers.port import FailureClass, ProviderFailure
from domain.directory import CredentialView
from domain.events.requests import GAVE_UP, NOTHING_GENERATED

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
_AGAIN: Final = frozenset({429, 498, 503, 529})
"""Refusals at the door, before any work: the same request may pass a moment later."""
_WAIT: Final = re.compile(
    r"\d{1,9}(?:\.\d{1,9})?|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.A
)
"""What `Retry-After` may say (RFC 9110, 10.2.3); other words are not passed on, they may be any."""
_ABOUT_THE_REQUEST: Final = frozenset({"content_filter", "context_length_exceeded"})
"""Codes that any other key would be told too."""
_OWN_FAILURE: Final = 500
"""The provider's own word that it failed. (502 and the like are an edge's, which knows nothing.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A request that brought no answer."""

    failure: str
    """As in the event: PROVIDERS.md 1.6, or our own."""
    message: str | None
    """The provider's own words; only their hash is kept."""
    shown: ApiError
    retry_after: str | None = None
    again: bool = False
    """The same request may be sent to the same provider again."""
    elsewhere: bool = False
    """Another credential may serve the call."""


def refused_by_provider(failure: ProviderFailure, credential: CredentialView) -> Refusal:
    """What the provider said, with an error status or inside an answer."""
    return Refusal(
        failure=failure.kind,
        message=failure.message,
        shown=failure_error(failure, credential),
        retry_after=failure.retry_after,
        again=failure.kind in ("rate_limited", "overloaded") and failure.status in _AGAIN,
        elsewhere=_another_key_may_serve(failure),
    )


def _another_key_may_serve(failure: ProviderFailure) -> bool:
    if failure.kind == "provider_error":
        return failure.status == _OWN_FAILURE
    if failure.kind == "bad_request" or failure.code in _ABOUT_THE_REQUEST:
        return False
    return failure.kind in NOTHING_GENERATED and failure.status not in GAVE_UP


def failure_error(failure: ProviderFailure, credential: CredentialView) -> ApiError:
    """A provider's own refusal in the words of API.md 3."""
    if failure.kind == "bad_request":
        status = failure.status if 400 <= failure.status < 500 else 400
        code = failure.code or "provider_bad_request"
    else:
        status, code = _CODES[failure.kind]
    headers = dict(NO_RETRY) if status == 502 or failure.status in GAVE_UP else {}
    if failure.retry_after is not None and _WAIT.fullmatch(failure.retry_after):
        headers["retry-after"] = failure.retry_after
    message = failure.message
    details: dict[str, object] = {"provider_status": failure.status}
    if failure.kind == "credential_invalid":
        details["key_suffix"] = credential.key_suffix
        message = (
            f"{credential.provider} refused the stored key ending in {credential.key_suffix}: "
            f"{failure.message}"
        )
    return ApiError(
        status, code, message, provider=credential.provider, details=details, headers=headers
    )


def line_broke(error: Exception, *, provider: str) -> Refusal:
    """The line to a provider failed before or in the middle of its answer."""
    if isinstance(error, Unreachable):
        shown = _error(502, "provider_unreachable", "could not be reached.", provider, sent=False)
        again = not isinstance(error, HostRefused)
        return _line("unreachable", error, shown, unsent=True, again=again)
    if isinstance(error, TimedOut) and error.phase == "connect":
        said = "could not be reached in time."
        shown = _error(504, "provider_timeout", said, provider, sent=False)
        return _line("unreachable", error, shown, unsent=True, again=True)
    if isinstance(error, TimedOut | TimeoutError):
        return _line(
            "timeout", error, _error(504, "provider_timeout", "did not answer in time.", provider)
        )
    shown = ApiError(
        502,
        "provider_error",
        f"The connection to {provider} broke off.",
        provider=provider,
        headers=NO_RETRY,
    )
    return _line("provider_error", error, shown)


def cut_off(provider: str) -> Refusal:
    """The answer ended before its protocol says so."""
    shown = _error(502, "provider_error", "broke off its answer.", provider)
    return Refusal(failure="provider_error", message=None, shown=shown)


def interrupted(why: Interruption) -> Refusal:
    """Our own doing. (After a disconnect nobody reads it.)"""
    message = {"shutdown": "keytoll is shutting down.", "disconnected": "The caller went away."}
    shown = ApiError(503, "shutting_down", message[why], headers=NO_RETRY)
    return Refusal(failure="cancelled_before_answer", message=None, shown=shown)


def bug_of_ours() -> Refusal:
    """Whatever should never happen."""
    shown = ApiError(500, "internal_error", "keytoll failed to relay the answer.")
    return Refusal(failure="internal_error", message=None, shown=shown)


def _line(
    failure: str, error: Exception, shown: ApiError, *, unsent: bool = False, again: bool = False
) -> Refusal:
    """`unsent`: not a byte of the request left, so nothing can have been billed."""
    return Refusal(failure=failure, message=str(error), shown=shown, again=again, elsewhere=unsent)


def _error(status: int, code: str, said: str, provider: str, *, sent: bool = True) -> ApiError:
    headers = NO_RETRY if sent else {}
    return ApiError(status, code, f"{provider} {said}", provider=provider, headers=headers)
