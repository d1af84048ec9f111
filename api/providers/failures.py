"""What a provider's error means (PROVIDERS.md 1.6), whatever the shape of its body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from api.providers.port import FailureClass, Headers, ProviderFailure
from api.providers.redact import redacted

BODY_BYTES_MAX: Final = 256 * 1024
_RETRY_AFTER_CHARS_MAX: Final = 40
LEVELS_MAX: Final = 8
"""How deep an error may hold another one."""


_MONEY_WORDS: Final = re.compile(
    r"credit balance is too low|specified api usage limits|exceeded your current quota", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRules:
    """Where a provider's errors differ from the common reading."""

    statuses: Mapping[int, FailureClass] | None = None
    """Status → class, before everything else but the money codes."""
    codes: Mapping[int, str] | None = None
    """Status → what it always says of the request, such as `context_length_exceeded`."""
    money_codes: frozenset[str] = frozenset()
    """Codes that mean that the provider's account cannot pay, beside the common ones."""
    money_words: re.Pattern[str] = _MONEY_WORDS
    """Words of a message that mean the same."""
    request_codes: frozenset[str] = frozenset()
    """Codes inside an answer of status 200 by which the request, not the provider, is at fault."""


@dataclass(frozen=True, slots=True)
class _Said:
    """The words found in an error body."""

    message: str = ""
    kind: str = ""
    code: str = ""
    status: int | None = None
    """A status named in the body, for errors inside a 200."""
    retry_after: str | None = None
    """Seconds named in the body."""


_STATUS: Final[Mapping[int, FailureClass]] = {
    401: "credential_invalid",
    402: "credential_out_of_money",
    403: "forbidden_not_auth",
    404: "not_found",
    408: "overloaded",
    424: "provider_error",
    429: "rate_limited",
    498: "rate_limited",
    499: "provider_error",
    503: "overloaded",
    504: "overloaded",
    524: "overloaded",
    529: "overloaded",
}
_KIND_STATUS: Final = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "server_error": 500,
    "server_is_overloaded": 503,
    "slow_down": 429,
    "timeout_error": 504,
}
"""What an error inside a 200 would have had as its status."""

_MONEY: Final = frozenset(
    {
        "billing_error",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "enforced_spend_limit_reached",
        "insufficient_balance",
        "insufficient_quota",
        "not_enough_balance",
    }
)
_BAD_KEY: Final = frozenset(
    {
        "unrecognizedclientexception",
        "invalidsignatureexception",
        "expiredtokenexception",
        "api_key_invalid",
    }
)
_BAD_KEY_WORDS: Final = re.compile(
    r"api key not valid|api key expired|api key was reported as leaked", re.I
)
_REGION: Final = re.compile(
    r"user location is not supported|not available in your (?:country|region)", re.I
)
_SCOPES: Final = re.compile(r"missing scopes?\b|insufficient permissions for this operation", re.I)
_TOO_LONG: Final = re.compile(
    r"maximum context length|prompt is too long|exceeds? (?:the )?(?:model'?s )?context"
    r"|context (?:length|limit|window).{0,40}exceed|exceed.{0,20}context (?:length|limit|window)"
    r"|input is too long|inputs?`? tokens \+ .{0,40}must be <="
    r"|input token count.{0,40}exceeds the maximum",
    re.I,
)
_DELAY: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?s", re.A)
_FILTERED: Final = frozenset(
    {
        "bio_policy",
        "content_filter",
        "content_policy_violation",
        "image_content_policy_violation",
        "misalignment_policy_violation",
        "responsibleaipolicyviolation",
    }
)
_NO_MODEL: Final = frozenset({"model_not_found", "deploymentnotfound"})
_MODEL_GONE: Final = re.compile(r"\bmodels?\b.*(?:not exist|not found|deprecated)|^model:", re.I)


def classify(
    status: int, headers: Headers, body: bytes, rules: FailureRules | None = None
) -> ProviderFailure:
    """The failure that an answer with an error status stands for. Never raises."""
    said = _read(body[:BODY_BYTES_MAX], headers)
    rules = rules or FailureRules()
    kind = _kind(status, said, rules)
    code = (rules.codes or {}).get(status) if kind == "bad_request" else None
    return ProviderFailure(
        kind=kind,
        status=status,
        message=redacted(said.message) or f"The provider answered with status {status}.",
        code=code or _code(kind, status, said),
        retry_after=_retry_after(headers) or said.retry_after if status >= 400 else None,
    )


def classify_inside(error: Any, rules: FailureRules | None = None) -> ProviderFailure:
    """The failure that an error object inside an answer with status 200 stands for."""
    said, rules = _words(error), rules or FailureRules()
    status = said.status or _KIND_STATUS.get(said.code) or _KIND_STATUS.get(said.kind) or 500
    if said.code in rules.request_codes:
        status = 400
    kind = _kind(status, said, rules)
    return ProviderFailure(
        kind=kind,
        status=200,
        message=redacted(said.message) or "The provider reported an error in its answer.",
        code=_code(kind, status, said),
    )


def unreadable(what: str) -> ProviderFailure:
    """An answer with status 200 that is not what the protocol promises."""
    return ProviderFailure(kind="invalid_response", status=200, message=what)


def _kind(status: int, said: _Said, rules: FailureRules) -> FailureClass:
    words = {said.kind, said.code}
    if words & (_MONEY | rules.money_codes) or rules.money_words.search(said.message):
        return "credential_out_of_money"
    if rules.statuses and status in rules.statuses:
        return rules.statuses[status]
    if status in (401, 403) and _SCOPES.search(said.message):
        return "forbidden_not_auth"
    if words & _BAD_KEY or (status in (400, 403) and _BAD_KEY_WORDS.search(said.message)):
        return "credential_invalid"
    if status == 400 and _REGION.search(said.message):
        return "forbidden_not_auth"
    if status == 400 and said.code in _NO_MODEL:
        # What others say with 404, OpenAI's Responses say with 400.
        return "not_found"
    known = _STATUS.get(status)
    if known is not None:
        return known
    if 400 <= status < 500:
        return "bad_request"
    return "provider_error" if status >= 500 else "invalid_response"


def _code(kind: FailureClass, status: int, said: _Said) -> str | None:
    if kind not in ("bad_request", "not_found", "forbidden_not_auth"):
        return None
    if {said.code, said.kind} & _FILTERED:
        return "content_filter"
    if said.code == "context_length_exceeded" or _TOO_LONG.search(said.message):
        return "context_length_exceeded"
    if said.code in _NO_MODEL:
        return "model_not_found"
    if status == 404 and (said.kind == "not_found_error" or _MODEL_GONE.search(said.message)):
        return "model_not_found"
    return None


def _read(body: bytes, headers: Headers) -> _Said:
    try:
        found = orjson.loads(body)
    except ValueError:
        # HTML of an edge, or plain text that nobody promised to be safe.
        found = None
    said = _words(found)
    amazon = headers.get("x-amzn-errortype")
    if amazon and not said.kind:
        said = replace(said, kind=amazon.split(":")[0].lower())
    return said


def _words(found: Any, *, levels: int = LEVELS_MAX) -> _Said:
    """Message, type and code out of any of the shapes in use."""
    if isinstance(found, list):
        found = found[0] if found else None
    if isinstance(found, str):
        return _Said(message=found)
    if not isinstance(found, dict):
        return _Said()
    for name in ("error", "detail", "fault", "errors"):
        inner = found.get(name)
        if inner and levels > 1:
            said = _words(inner, levels=levels - 1)
            code = said.code or _text(found.get("code")).lower()
            return replace(said, code=code, status=said.status or _status(found))
    return _flat(found)


def _flat(found: Mapping[str, Any]) -> _Said:
    message = ""
    for name in ("message", "Message", "faultstring", "msg", "details"):
        if isinstance(found.get(name), str) and found[name]:
            message = found[name]
            break
    details = found.get("details")
    inner = found.get("innererror")
    code = ""
    retry_after = None
    if isinstance(details, Mapping):
        code = _text(details.get("error_code"))
    elif isinstance(details, list):
        code, retry_after = _google_details(details)
    elif isinstance(inner, Mapping):
        code = _text(inner.get("code"))
    code = code or _text(found.get("code"))
    kind = next(filter(None, (_text(found.get(name)) for name in ("type", "status", "reason"))), "")
    return _Said(message, kind.lower(), code.lower(), _status(found), retry_after)


def _google_details(details: list[Any]) -> tuple[str, str | None]:
    """(reason, seconds to wait) out of Google's list of typed details."""
    code, retry_after = "", None
    for detail in details:
        if isinstance(detail, Mapping):
            code = code or _text(detail.get("reason"))
            delay = _DELAY.fullmatch(_text(detail.get("retryDelay")))
            if delay:
                retry_after = str(int(delay[1]) + (int(delay[2] or 0) > 0))
    return code, retry_after


def _status(found: Mapping[str, Any]) -> int | None:
    for name in ("status_code", "code", "status"):
        value = found.get(name)
        if type(value) is int and 400 <= value < 600:
            return value
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:100]
    return str(value) if type(value) is int else ""


def _retry_after(headers: Headers) -> str | None:
    value = headers.get("retry-after", "").strip()
    if value and len(value) <= _RETRY_AFTER_CHARS_MAX and value.isascii() and value.isprintable():
        return value
    milliseconds = headers.get("retry-after-ms", "").strip()
    if milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) <= 12:
        return str(-(-int(milliseconds) // 1000))
    return None
