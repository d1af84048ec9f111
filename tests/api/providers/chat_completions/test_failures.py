"""What each provider's own errors mean, in the shapes that it writes them (PROVIDERS.md 1.6, 8)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.catalogue import PROVIDERS
from api.providers.port import ChatCall, Outcome
from tests.instants import AT

MONEY = "credential_out_of_money"


@pytest.mark.parametrize(
    ("slug", "status", "body", "kind", "code"),
    [
        ("openai", 429, {"error": {"code": "credit_balance_exhausted"}}, MONEY, None),
        (
            "openai",
            401,
            {"error": {"message": "Missing scopes: model.request"}},
            "forbidden_not_auth",
            None,
        ),
        (
            "openrouter",
            402,
            {"error": {"code": 402, "message": "Insufficient credits"}},
            MONEY,
            None,
        ),
        (
            "openrouter",
            403,
            {"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["x"]}}},
            "forbidden_not_auth",
            None,
        ),
        ("openrouter", 524, {"error": {"code": 524, "message": "m"}}, "overloaded", None),
        ("openrouter", 529, {"error": {"code": 529, "message": "m"}}, "overloaded", None),
        ("openrouter", 404, {"error": {"code": 404, "message": "none"}}, "not_found", None),
        ("chutes", 402, {"detail": {"message": "m", "quota_reset_timestamp": "t"}}, MONEY, None),
        ("chutes", 429, {"detail": "m"}, "rate_limited", None),
        ("chutes", 503, {"detail": "No instances"}, "overloaded", None),
        (
            "groq",
            400,
            {"error": {"message": "m", "code": "tool_use_failed", "failed_generation": "{}"}},
            "bad_request",
            None,
        ),
        (
            "groq",
            400,
            {"error": {"message": "reduce", "code": "context_length_exceeded"}},
            "bad_request",
            "context_length_exceeded",
        ),
        ("groq", 498, {"error": {"message": "m"}}, "rate_limited", None),
        ("groq", 413, {"error": {"code": "rate_limit_exceeded"}}, "bad_request", None),
        ("sambanova", 401, {"error": "Invalid API key"}, "credential_invalid", None),
        ("vercel", 402, {"error": {"message": "m", "type": "insufficient_funds"}}, MONEY, None),
        ("vercel", 403, {"error": {"message": "m", "type": "insufficient_funds"}}, MONEY, None),
        (
            "novita",
            403,
            {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "m", "metadata": {}},
            MONEY,
            None,
        ),
        ("novita", 403, {"error": "verify your identity"}, "forbidden_not_auth", None),
        ("akash", 402, {"error": {"message": "m"}}, MONEY, None),
        ("akash", 529, {"error": {"message": "no healthy backend"}}, "overloaded", None),
        ("akash", 504, {"error": {"message": "m"}}, "overloaded", None),
        ("nvidia", 403, {"status": 403, "title": "t", "detail": "d"}, "forbidden_not_auth", None),
        (
            "nvidia",
            422,
            {"detail": [{"loc": ["b"], "msg": "no", "type": "x"}]},
            "bad_request",
            None,
        ),
        (
            "hyperbolic",
            400,
            {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
            "bad_request",
            None,
        ),
        (
            "morpheus",
            402,
            {"error": {"message": "m", "type": "insufficient_balance", "available": "0"}},
            MONEY,
            None,
        ),
        ("fireworks", 412, {"error": {"message": "suspended"}}, MONEY, None),
        ("fireworks", 401, {"fault": {"faultstring": "bad"}}, "credential_invalid", None),
        ("fireworks", 404, {"error": {"message": "no permission"}}, "not_found", None),
        (
            "together",
            403,
            {"error": {"message": "`inputs` tokens + `max_new_tokens` must be <= 8193"}},
            "bad_request",
            "context_length_exceeded",
        ),
        ("together", 403, {"error": "m"}, "bad_request", "context_length_exceeded"),
        ("together", 402, {"error": {"message": "limit", "type": "x"}}, MONEY, None),
        ("together", 401, {"error": "Unauthorized"}, "credential_invalid", None),
    ],
)
def test_classes(slug: str, status: int, body: Any, kind: str, code: str | None) -> None:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    failure = dialect.failure(status, {}, json.dumps(body).encode())
    assert (failure.kind, failure.code, failure.status) == (kind, code, status)


@pytest.mark.parametrize(
    ("slug", "event", "kind"),
    [
        ("groq", b'event: error\ndata: {"error":{"message":"m","status_code":400}}', "bad_request"),
        ("groq", b'data: {"x_groq":{"error":"over capacity"},"choices":[]}', "provider_error"),
        ("morpheus", b'data: {"error":{"type":"proxy_error","status":503}}', "overloaded"),
        ("morpheus", b'data: {"error":{"type":"gateway_error","message":"m"}}', "provider_error"),
        ("hyperbolic", b'data: {"object":"error","message":"m","code":429}', "rate_limited"),
        ("chutes", b'data: {"detail":{"message":"m","code":402}}', MONEY),
        ("together", b'data: {"error":"m"}', "provider_error"),
        ("novita", b'data: {"code":403,"reason":"NOT_ENOUGH_BALANCE","message":"m"}', MONEY),
        ("fireworks", b'data: {"fault":{"faultstring":"m"}}', "provider_error"),
        (
            "openrouter",
            b'data: {"choices":[{"delta":{},"finish_reason":"error"}],"error":{"code":502}}',
            "provider_error",
        ),
    ],
)
def test_errors_inside_a_stream(slug: str, event: bytes, kind: str) -> None:
    outcome = streamed(slug, event + b"\n\n")
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.status) == (kind, 200)
    assert not outcome.complete_usage


@pytest.mark.parametrize("reason", ["error", "network_error"])
def test_a_stop_that_stands_for_an_error_is_one(reason: str) -> None:
    chunk = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    outcome = streamed("openrouter", b"data: %s\n\n" % json.dumps(chunk).encode())
    assert outcome.failure is not None
    assert outcome.failure.kind == "provider_error"


def test_an_error_chunk_may_carry_the_usage() -> None:
    usage = b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"cost":0.5}'
    outcome = streamed(
        "openrouter",
        b'data: {"id":"g","choices":[{"index":0,"delta":{},"finish_reason":"error"}],'
        b'"error":{"code":502,"message":"m"},' + usage + b"}\n\ndata: [DONE]\n\n",
    )
    assert outcome.failure is not None
    assert outcome.complete_usage
    assert outcome.provider_cost == {"amount": "0.5", "meaning": "total"}


def streamed(slug: str, data: bytes) -> Outcome:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    call = ChatCall(body={}, model="m", stream=True, wants_usage=False, choices=1, at=AT)
    reader = dialect.reader(call, {})
    assert not list(reader.feed(data))
    return reader.finish()


@pytest.mark.parametrize(
    ("message", "secret"),
    [
        ("Function 'f-1': Not found for account 'aB-3_xYz-9'", "aB-3_xYz-9"),
        ("Rate limit reached in organization `org_01kabc9` on tokens", "org_01kabc9"),
        ("Account accounts/acme-corp is suspended", "acme-corp"),
        ("account_id: 'acme corp'", "acme corp"),
    ],
)
def test_accounts_are_nobody_s_business(message: str, secret: str) -> None:
    dialect = PROVIDERS["fireworks"].dialect
    assert dialect is not None
    body = json.dumps({"error": {"message": message}}).encode()
    assert secret not in dialect.failure(400, {}, body).message


def test_the_model_s_own_name_stays() -> None:
    dialect = PROVIDERS["fireworks"].dialect
    assert dialect is not None
    body = b'{"error":{"message":"Model not found: accounts/fireworks/models/kimi"}}'
    assert "accounts/fireworks/models/kimi" in dialect.failure(404, {}, body).message
