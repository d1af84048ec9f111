"""What providers' errors mean, and what of them may be shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.failures import FailureRules, classify, classify_inside
from api.providers.redact import MESSAGE_CHARS_MAX, redacted


def error(message: str = "m", **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, error(code="invalid_api_key"), "credential_invalid", None),
        (401, error("Missing scopes: model.request"), "forbidden_not_auth", None),
        (400, error("API key not valid. Please pass one"), "credential_invalid", None),
        (403, b'{"message":"x","__type":"y"}', "forbidden_not_auth", None),
        (402, error(type="billing_error"), "credential_out_of_money", None),
        (429, error(type="insufficient_quota"), "credential_out_of_money", None),
        (429, error(code="credit_balance_exhausted"), "credential_out_of_money", None),
        (429, error(type="requests", code="rate_limit_exceeded"), "rate_limited", None),
        (
            429,
            error(details={"error_code": "enforced_spend_limit_reached"}),
            "credential_out_of_money",
            None,
        ),
        (400, error("Your credit balance is too low to access"), "credential_out_of_money", None),
        (
            400,
            error("You have reached your specified API usage limits."),
            "credential_out_of_money",
            None,
        ),
        (429, b"", "rate_limited", None),
        (498, b"", "rate_limited", None),
        (503, error(code="server_is_overloaded"), "overloaded", None),
        (529, error(type="overloaded_error"), "overloaded", None),
        (504, b"<html>", "overloaded", None),
        (524, b"", "overloaded", None),
        (500, error(), "provider_error", None),
        (502, b"<html>", "provider_error", None),
        (404, error(code="model_not_found"), "not_found", "model_not_found"),
        (404, error("model: claude-x", type="not_found_error"), "not_found", "model_not_found"),
        (404, error("This is not a chat model"), "not_found", None),
        # OpenAI's Responses say with 400 what its chat completions say with 404.
        (400, error(code="model_not_found"), "not_found", "model_not_found"),
        (
            404,
            error(
                "The API deployment for this resource does not exist.", code="DeploymentNotFound"
            ),
            "not_found",
            "model_not_found",
        ),
        (
            400,
            error(
                code="content_filter",
                status=400,
                innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
            ),
            "bad_request",
            "content_filter",
        ),
        (400, error(code="context_length_exceeded"), "bad_request", "context_length_exceeded"),
        (
            400,
            error("prompt is too long: 210000 tokens > 200000 maximum"),
            "bad_request",
            "context_length_exceeded",
        ),
        (413, error(type="request_too_large"), "bad_request", None),
        (
            400,
            error(innererror={"code": "ResponsibleAIPolicyViolation"}),
            "bad_request",
            "content_filter",
        ),
        (400, error(code="content_filter"), "bad_request", "content_filter"),
        (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "bad_request", None),
        (302, b"", "invalid_response", None),
    ],
)
def test_classes(status: int, body: bytes, kind: str, code: str | None) -> None:
    failure = classify(status, {}, body)
    assert (failure.kind, failure.code, failure.status) == (kind, code, status)


@pytest.mark.parametrize(
    "body",
    [
        '{"error":{"message":"It broke"}}',
        '{"error":"It broke"}',
        '[{"error":{"code":400,"message":"It broke","status":"INVALID"}}]',
        '{"message":"It broke"}',
        '{"Message":"It broke"}',
        '{"code":20012,"message":"It broke","data":null}',
        '{"detail":"It broke"}',
        '{"detail":[{"loc":[],"msg":"It broke"}]}',
        '{"detail":{"message":"It broke","quota_reset_timestamp":1}}',
        '{"fault":{"faultstring":"It broke"}}',
        '{"object":"error","message":"It broke"}',
        '{"error":{"details":"It broke"}}',
        '{"type":"error","error":{"type":"x","message":"It broke"},"request_id":"r"}',
        '"It broke"',
    ],
)
def test_every_shape_of_body_is_read(body: str) -> None:
    assert classify(400, {}, body.encode()).message == "It broke"


def test_pages_of_edges_are_not_repeated() -> None:
    failure = classify(502, {}, b"<html>sk-proj-secret</html>")
    assert failure.message == "The provider answered with status 502."


def test_amazon_s_error_type_is_a_header() -> None:
    headers = {"x-amzn-errortype": "UnrecognizedClientException:http://internal"}
    assert classify(403, headers, b'{"message":"bad token"}').kind == "credential_invalid"


def test_a_row_may_read_a_status_otherwise() -> None:
    rules = FailureRules(statuses={403: "bad_request"}, money_codes=frozenset({"1113"}))
    assert classify(403, {}, b"", rules).kind == "bad_request"
    assert classify(429, {}, error(code="1113"), rules).kind == "credential_out_of_money"
    assert classify(429, {}, error(code=1113), rules).kind == "credential_out_of_money"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"retry-after": "3"}, "3"),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "Wed, 21 Oct 2026 07:28:00 GMT"),
        ({"retry-after-ms": "1200"}, "2"),
        ({"retry-after": "3", "retry-after-ms": "1200"}, "3"),
        ({"retry-after": "x" * 41}, None),
        ({"retry-after": "3\r\nset-cookie: a"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], found: str | None) -> None:
    assert classify(429, headers, b"").retry_after == found


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ({"error": {"type": "overloaded_error", "message": "x"}}, "overloaded"),
        ({"error": {"code": 429, "message": "x"}}, "rate_limited"),
        ({"error": {"message": "x", "status_code": 400}}, "bad_request"),
        ({"error": {"code": "insufficient_quota"}}, "credential_out_of_money"),
        ({"error": {"type": "authentication_error"}}, "credential_invalid"),
        ({"error": "x"}, "provider_error"),
        ({}, "provider_error"),
        (None, "provider_error"),
    ],
)
def test_errors_inside_an_answer(found: Any, kind: str) -> None:
    failure = classify_inside(found)
    assert (failure.kind, failure.status) == (kind, 200)
    assert failure.message


SECRETS = [
    "sk-proj-AbCdEfGh1234567890",
    "sk-ant-api03-AAAAbbbbCCCC",
    "sk-...abcd",
    "sk-proj-********************wxyz",
    "gsk_abcdefgh12345678",
    "nvapi-abcdefgh",
    "AIzaSyA1234567890",
    "ABSKQmVkcm9ja0FQSUtleS1abc",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.abc",
    "abcd****wxyz",
    "kt_0123456789abcdef",
    "org-AbCdEf123456",
    "ann@example.org",
    "123456789012",
    "0123456789abcdef0123456789abcdef01",
    "…wxyz",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("text", ["Wrong key {}.", "({})", "key: '{}' given", "{}", "a\n{}\tb"])
def test_nothing_like_a_key_is_shown(secret: str, text: str) -> None:
    shown = redacted(text.format(secret))
    for part in (secret, secret[-6:], secret[-4:]):
        assert part not in shown


def test_whatever_is_called_a_key_is_hidden() -> None:
    assert redacted("Incorrect API key provided: DEADBEEF. See docs.") == (
        "Incorrect API key provided: [redacted] See docs."
    )
    assert "hunter2" not in redacted("Authorization: Bearer hunter2")
    assert "zz99" not in redacted("the key ending in zz99 was revoked")


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens: 200000 > 128000, which is the maximum",
        "The model `claude-opus-4-5-20251101` does not exist",
        "messages.3.content: text content blocks must be non-empty",
        "This model's maximum context length is 128000 tokens...",
        "tools.0.custom.input_schema: Field required",
        "Read https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "user_location and team_members",
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert redacted(text) == text


def test_messages_are_bounded() -> None:
    assert len(redacted("word " * 10**6)) == MESSAGE_CHARS_MAX
