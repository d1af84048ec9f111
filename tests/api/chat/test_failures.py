"""Every class of failure has its status and code, and what may have been billed is not retried."""

from __future__ import annotations

from typing import get_args

import pytest

from api.chat.failures import (
    bug_of_ours,
    cut_off,
    failure_error,
    interrupted,
    line_broke,
    refused_by_provider,
)
from api.errors import CODES
from api.providers.http import Broken, HostRefused, TimedOut, Unreachable
from api.providers.port import FailureClass, ProviderFailure
from domain.events.requests import FAILURES
from tests.api.chat.test_routing import OPENAI


@pytest.mark.parametrize("kind", get_args(FailureClass))
def test_each_class_has_a_code_and_can_be_recorded(kind: FailureClass) -> None:
    error = failure_error(ProviderFailure(kind=kind, status=418, message="m"), OPENAI)
    assert error.code in CODES
    assert kind in FAILURES
    assert error.provider == "openai"
    assert ("x-should-retry" in error.headers) == (error.status == 502)


def test_a_bad_request_keeps_status_message_and_code() -> None:
    failure = ProviderFailure(
        kind="bad_request", status=422, message="too long", code="context_length_exceeded"
    )
    error = failure_error(failure, OPENAI)
    assert (error.status, error.code, error.message) == (
        422,
        "context_length_exceeded",
        "too long",
    )
    inside = ProviderFailure(kind="bad_request", status=200, message="no")
    assert (failure_error(inside, OPENAI).status, failure_error(inside, OPENAI).code) == (
        400,
        "provider_bad_request",
    )


def test_a_refused_key_is_named_by_its_suffix() -> None:
    failure = ProviderFailure(kind="credential_invalid", status=401, message="bad")
    error = failure_error(failure, OPENAI)
    assert (error.status, error.code) == (401, "provider_credential_rejected")
    assert (error.details or {})["key_suffix"] == "abcd"


@pytest.mark.parametrize(
    ("status", "final"), [(503, False), (504, True), (524, True), (529, False)]
)
def test_an_edge_that_gave_up_is_not_asked_again(status: int, final: bool) -> None:
    error = failure_error(ProviderFailure(kind="overloaded", status=status, message="m"), OPENAI)
    assert (error.status, error.code) == (503, "provider_overloaded")
    assert (error.headers.get("x-should-retry") == "false") is final


def test_retry_after_is_passed_on() -> None:
    failure = ProviderFailure(kind="rate_limited", status=429, message="m", retry_after="17")
    assert failure_error(failure, OPENAI).headers["retry-after"] == "17"


@pytest.mark.parametrize(
    ("error", "failure", "status", "code", "sent"),
    [
        (Unreachable("x"), "unreachable", 502, "provider_unreachable", False),
        (HostRefused("x"), "unreachable", 502, "provider_unreachable", False),
        (TimedOut("connect"), "unreachable", 504, "provider_timeout", False),
        (TimedOut("first_byte"), "timeout", 504, "provider_timeout", True),
        (TimedOut("total"), "timeout", 504, "provider_timeout", True),
        (TimeoutError(), "timeout", 504, "provider_timeout", True),
        (Broken("x"), "provider_error", 502, "provider_error", True),
    ],
)
def test_a_failed_line(error: Exception, failure: str, status: int, code: str, sent: bool) -> None:
    """What was sent may have been generated: nobody asks for it again, neither we nor an SDK."""
    refusal = line_broke(error, provider="openai")
    assert refusal.failure == failure
    assert refusal.failure in FAILURES
    assert (refusal.shown.status, refusal.shown.code) == (status, code)
    assert (refusal.shown.headers.get("x-should-retry") == "false") == sent
    assert refusal.elsewhere is not sent
    assert refusal.again is not (sent or isinstance(error, HostRefused))


@pytest.mark.parametrize(
    ("kind", "status", "code", "again", "elsewhere"),
    [
        ("credential_invalid", 401, None, False, True),
        ("credential_out_of_money", 429, None, False, True),
        ("credential_out_of_money", 402, None, False, True),
        ("forbidden_not_auth", 403, None, False, True),
        ("forbidden_not_auth", 403, "content_filter", False, False),
        ("bad_request", 400, None, False, False),
        ("bad_request", 400, "context_length_exceeded", False, False),
        ("not_found", 404, "model_not_found", False, True),
        ("rate_limited", 429, None, True, True),
        ("rate_limited", 498, None, True, True),
        ("rate_limited", 200, None, False, True),
        ("overloaded", 503, None, True, True),
        ("overloaded", 529, None, True, True),
        ("overloaded", 408, None, False, False),
        ("overloaded", 504, None, False, False),
        ("overloaded", 524, None, False, False),
        ("provider_error", 500, None, False, True),
        ("provider_error", 502, None, False, False),
        ("provider_error", 200, None, False, False),
        ("invalid_response", 200, None, False, False),
    ],
)
def test_what_may_follow_a_refusal(
    kind: FailureClass, status: int, code: str | None, again: bool, elsewhere: bool
) -> None:
    failure = ProviderFailure(kind=kind, status=status, message="m", code=code)
    refusal = refused_by_provider(failure, OPENAI)
    assert (refusal.again, refusal.elsewhere) == (again, elsewhere)


def test_our_own_endings_are_final() -> None:
    for refusal in (cut_off("openai"), interrupted("shutdown"), bug_of_ours()):
        assert not (refusal.again)
        assert not (refusal.elsewhere)
        assert refusal.shown.code in CODES
    for refusal in (cut_off("openai"), interrupted("disconnected")):
        assert refusal.shown.headers["x-should-retry"] == "false"
