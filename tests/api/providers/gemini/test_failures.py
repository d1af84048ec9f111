"""What Google's errors mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.gemini.dialect import Gemini
from api.providers.port import ProviderFailure

QUOTA = "You exceeded your current quota, please check your plan and billing details."
WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def failed(status: int, message: str, word: str = "", *details: dict[str, Any]) -> ProviderFailure:
    error = {"code": status, "message": message, "status": word, "details": list(details)}
    whole = Gemini().failure(status, {}, json.dumps({"error": error}).encode())
    in_a_list = Gemini().failure(status, {}, json.dumps([{"error": error}]).encode())
    assert whole == in_a_list
    return whole


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "API key not valid. Please pass a valid API key.", "credential_invalid"),
        (400, "API key expired. Please renew the API key.", "credential_invalid"),
        (401, "Request had invalid authentication credentials.", "credential_invalid"),
        (403, "Your API key was reported as leaked.", "credential_invalid"),
        (403, "Method doesn't allow this caller.", "forbidden_not_auth"),
        (400, "User location is not supported for the API use.", "forbidden_not_auth"),
        (400, "The File is not in an ACTIVE state.", "bad_request"),
        (400, "Please use a valid role: user, model.", "bad_request"),
        (402, "Your prepaid credits are gone.", "credential_out_of_money"),
        (429, "Your prepayment credits are depleted.", "credential_out_of_money"),
        (429, QUOTA, "rate_limited"),
        (404, "models/x is not found for API version v1beta.", "not_found"),
        (500, "An internal error has occurred.", "provider_error"),
        (503, "The model is overloaded.", "overloaded"),
        (504, "Deadline expired.", "overloaded"),
    ],
)
def test_classes(status: int, message: str, kind: str) -> None:
    assert failed(status, message, WORDS[status]).kind == kind


def test_a_reason_among_the_details_tells_a_bad_key() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    assert failed(400, "Bad.", "INVALID_ARGUMENT", info).kind == "credential_invalid"


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("22s", "22"), ("10.689924287s", "11"), ("0.5s", "1"), ("3.000s", "3"), ("soon", None)],
)
def test_how_long_to_wait(delay: str, seconds: str | None) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    failure = failed(429, QUOTA, "RESOURCE_EXHAUSTED", {"violations": []}, retry)
    assert failure.retry_after == seconds


def test_a_header_wins_over_the_body() -> None:
    body = json.dumps({"error": {"code": 429, "details": [{"retryDelay": "9s"}]}}).encode()
    assert Gemini().failure(429, {"retry-after": "2"}, body).retry_after == "2"


def test_codes_that_clients_know() -> None:
    too_long = "The input token count (1200000) exceeds the maximum number of tokens allowed (9)."
    assert failed(400, too_long, "INVALID_ARGUMENT").code == "context_length_exceeded"
    missing = "models/x is not found for API version v1beta, or is not supported."
    assert failed(404, missing, "NOT_FOUND").code == "model_not_found"


def test_keys_and_projects_are_not_passed_on() -> None:
    key = "AIza" + "SyTestTestTestTestTestTestTest12345"
    failure = failed(403, f"Consumer 'api_key:{key}' of projects/123456789012 is suspended.")
    assert key not in failure.message
    assert "123456789012" not in failure.message
