"""How a provider is asked whether a key is good, without spending anything (PROVIDERS.md 1.8).

A row's `validation` makes a `Check`: the request, and which answers prove something. A key is
`verified` only by an answer that no other key gets, `rejected` only by the provider's own no, and
`indeterminate`, with a reason, by everything else. Nothing here opens a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import orjson

from api.providers.failures import classify_inside
from api.providers.port import Dialect, FailureClass, Headers, ProviderKey, UpstreamRequest
from api.providers.port import ProviderFailure as Failure
from domain.credential import Outcome

Auth = Callable[[ProviderKey], dict[str, str]]
"""The headers that carry a key."""

IMPOSSIBLE_MODEL: Final = "keytoll-key-check-no-such-model"
"""No provider serves it, so asking for it can generate nothing."""
MADE_UP: Final = "0" * 40
"""What follows the prefix of a key that nobody was ever given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A free request, and what its answers prove. A status of 2xx is always an acceptance."""

    request: UpstreamRequest
    proves: frozenset[FailureClass] = frozenset()
    """Refusals that only a key known to the provider gets, such as `not_found`."""
    control: bool = False
    """Nobody promises that a wrong key fails this request. So before an acceptance is believed,
    the same request must be refused to a key that was made up."""
    failure: Callable[[int, Headers, bytes], Failure] | None = None
    """How this endpoint's errors read, where they are not the dialect's."""


Validation = Callable[[ProviderKey, str, str | None, datetime], Check]
"""(key, base URL, model that the owner named or None, now) → the check."""


def bearer(key: ProviderKey) -> dict[str, str]:
    """The key as most providers take it."""
    return {"authorization": f"Bearer {key['apiKey']}"}


def get(path: str, *, auth: Auth = bearer, control: bool = False) -> Validation:
    """A GET below the base URL that a wrong key fails."""

    def check(key: ProviderKey, base_url: str, _model: str | None, _at: datetime) -> Check:
        return Check(request=_get(base_url.rstrip("/") + path, auth(key)), control=control)

    return check


def get_elsewhere(url: str, *, base: str, auth: Auth = bearer) -> Validation:
    """A GET at another host of the provider; at the gateway that stands in for `base`, if set."""
    path = urlsplit(url).path

    def check(key: ProviderKey, base_url: str, _model: str | None, _at: datetime) -> Check:
        asked = url
        if base_url != base:
            parts = urlsplit(base_url)
            asked = f"{parts.scheme}://{parts.netloc}{path}"
        return Check(request=_get(asked, auth(key)))

    return check


def impossible_model(path: str = "/chat/completions", *, auth: Auth = bearer) -> Validation:
    """A chat completion of a model that cannot exist: for providers whose lists are public.

    Whether the key or the model is looked at first is not documented anywhere, hence the control.
    """
    body = {
        "model": IMPOSSIBLE_MODEL,
        "messages": [{"role": "user", "content": "."}],
        "max_tokens": 1,
    }

    def check(key: ProviderKey, base_url: str, _model: str | None, _at: datetime) -> Check:
        request = UpstreamRequest(
            url=base_url.rstrip("/") + path,
            headers={**auth(key), "content-type": "application/json", "accept": "application/json"},
            body=orjson.dumps(body),
        )
        return Check(request=request, proves=frozenset({"not_found", "bad_request"}), control=True)

    return check


def made_up(key: ProviderKey, prefix: str) -> dict[str, str]:
    """A key of the same form that nobody was ever given."""
    return {**key, "apiKey": prefix + MADE_UP}


def verdict(
    check: Check, dialect: Dialect, status: int, headers: Mapping[str, str], body: bytes
) -> tuple[Outcome, str]:
    """(outcome, reason as a short code) of an answer. Never raises, whatever the bytes."""
    if 200 <= status < 300:
        failure = _inside(headers, body)
    else:
        failure = (check.failure or dialect.failure)(status, headers, body)
    if failure is None or failure.kind in check.proves:
        return "verified", "accepted_by_provider"
    if failure.kind == "credential_invalid":
        return "rejected", "refused_by_provider"
    return "indeterminate", failure.kind


def _inside(headers: Mapping[str, str], body: bytes) -> Failure | None:
    """The failure that an answer of status 200 hides: an error object, or a page of some edge."""
    if headers.get("content-type", "").startswith("text/html"):
        return Failure(kind="invalid_response", status=200, message="")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None  # another form, such as XML, or cut off: the status has spoken
    error = found.get("error") if isinstance(found, dict) else None
    return classify_inside(error) if error else None


def _get(url: str, headers: dict[str, str]) -> UpstreamRequest:
    return UpstreamRequest(
        url=url, headers={**headers, "accept": "application/json"}, body=b"", method="GET"
    )
