"""Every class of failure has its status and code, and what may have been billed is not retried."""

from __future__ import annotations

from typing import get_args

import pytest

from api.chat.failures import (
    cut_off_error,
    failure_error,
    interrupted_error,
    transport_error,
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
    ("error", "failure", "status", "code", "final"),
    [
        (Unreachable("x"), "unreachable", 502, "provider_unreachable", False),
        (HostRefused("x"), "unreachable", 502, "provider_unreachable", False),
        (TimedOut("connect"), "unreachable", 504, "provider_timeout", False),
        (TimedOut("first_byte"), "timeout", 504, "provider_timeout", True),
        (TimeoutError(), "timeout", 504, "provider_timeout", True),
        (Broken("x"), "provider_error", 502, "provider_error", True),
    ],
)
def test_a_failed_line(error: Exception, failure: str, status: int, code: str, final: bool) -> None:
    """Final: something was sent, so an SDK must not repeat it by itself."""
    recorded, shown = transport_error(error, provider="openai")
    assert recorded == failure
    assert recorded in FAILURES
    assert (shown.status, shown.code) == (status, code)
    assert (shown.headers.get("x-should-retry") == "false") == final


def test_our_own_endings_are_not_retried() -> None:
    for error in (cut_off_error("openai"), interrupted_error("shutdown")):
        assert error.headers["x-should-retry"] == "false"
        assert error.code in CODES
