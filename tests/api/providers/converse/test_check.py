"""What Bedrock's refusals mean, and how a key of Amazon's is asked about."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from api.providers.catalogue import PROVIDERS
from api.providers.converse.check import check_aws_key
from api.providers.converse.dialect import Converse
from api.providers.http import Upstream
from api.providers.probe import KeyProbe
from domain.clock import FixedClock
from tests.api.providers.converse.calls import ACCESS, KEY
from tests.api.providers.converse.test_wire import expected_signature
from tests.instants import AT

INVALID = "The security token included in the request is invalid."
REJECTED = ("rejected", "refused_by_provider")
FORBIDDEN = ("indeterminate", "forbidden_not_auth")


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected", "code"),
    [
        (400, "ValidationException", "Malformed input request.", "bad_request", None),
        (
            400,
            "ValidationException",
            "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
            *("bad_request", "context_length_exceeded"),
        ),
        (
            400,
            None,
            "Input is too long for requested model.",
            *("bad_request", "context_length_exceeded"),
        ),
        (400, None, "The provided model identifier is invalid.", "bad_request", "model_not_found"),
        (400, "ServiceQuotaExceededException", "Too many.", "rate_limited", None),
        (403, "AccessDeniedException", "No access to the model.", "forbidden_not_auth", None),
        (403, "UnrecognizedClientException", INVALID, "credential_invalid", None),
        (403, None, INVALID, "credential_invalid", None),
        (403, "ExpiredTokenException", "Expired.", "credential_invalid", None),
        (403, "InvalidSignatureException", "Does not match.", "credential_invalid", None),
        (
            403,
            "InvalidSignatureException",
            "Signature expired: 20261101T120000Z is now earlier than 20261101T120500Z",
            *("forbidden_not_auth", None),
        ),
        (
            403,
            None,
            "Authentication failed: Please make sure your API Key is valid.",
            *("credential_invalid", None),
        ),
        (404, "ResourceNotFoundException", "Could not resolve it.", "not_found", "model_not_found"),
        (408, "ModelTimeoutException", "Too slow.", "overloaded", None),
        (424, "ModelErrorException", "The model broke.", "provider_error", None),
        (429, "ThrottlingException", "Too many requests.", "rate_limited", None),
        (429, "ModelNotReadyException", "Not ready.", "rate_limited", None),
        (500, "InternalServerException", "Oops.", "provider_error", None),
        (503, "ServiceUnavailableException", "Later.", "overloaded", None),
    ],
)
@pytest.mark.parametrize("name", ["message", "Message"])
def test_refusals(
    status: int, kind: str | None, message: str, expected: str, code: str | None, name: str
) -> None:
    headers = {"x-amzn-errortype": f"{kind}:http://internal.test/coral/"} if kind else {}
    found = Converse().failure(status, headers, json.dumps({name: message}).encode())
    assert (found.kind, found.code, found.message) == (expected, code, message)


def test_a_customer_s_account_is_not_told() -> None:
    told = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: InvokeModel"
    found = Converse().failure(403, {}, json.dumps({"Message": told}).encode())
    assert found.kind == "forbidden_not_auth"
    assert "123456789012" not in found.message


class Amazon(httpx.AsyncBaseTransport):
    """Answers every request with one answer; keeps what it was asked."""

    def __init__(self, status: int, body: str) -> None:
        self._answer = status, body
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        status, body = self._answer
        return httpx.Response(status, text=body)


async def verdict(key: dict[str, str], status: int, body: str = "") -> tuple[str, str]:
    probe = KeyProbe(Upstream(transport=Amazon(status, body)), {"aws": ""}, FixedClock(AT))
    return await probe.check(PROVIDERS["aws"], key, None)


def xml(code: str) -> str:
    """As STS answers."""
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        f"<Type>Sender</Type><Code>{code}</Code><Message>No, {code}.</Message>"
        "</Error></ErrorResponse>"
    )


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, "<GetCallerIdentityResponse/>", ("verified", "accepted_by_provider")),
        (403, xml("InvalidClientTokenId"), REJECTED),
        (403, xml("SignatureDoesNotMatch"), REJECTED),
        (403, xml("ExpiredToken"), REJECTED),
        (
            403,
            '{"Error":{"Code":"InvalidClientTokenId","Message":"No."},"RequestId":"1"}',
            REJECTED,
        ),
        (403, xml("AccessDenied"), FORBIDDEN),
        (403, xml("SignatureDoesNotMatch").replace("No,", "Signature not yet current:"), FORBIDDEN),
        (403, "", FORBIDDEN),
        (400, xml("Throttling"), ("indeterminate", "bad_request")),
        (503, "<html>", ("indeterminate", "overloaded")),
    ],
)
async def test_access_keys(status: int, body: str, expected: tuple[str, str]) -> None:
    assert await verdict(ACCESS, status, body) == expected


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (200, "", ("verified", "accepted_by_provider")),
        (403, "Authentication failed: Please make sure your API Key is valid.", REJECTED),
        (403, INVALID, REJECTED),
        (403, "You may not perform: bedrock:ListFoundationModels", FORBIDDEN),
        (429, "Slow.", ("indeterminate", "rate_limited")),
    ],
)
async def test_api_keys(status: int, message: str, expected: tuple[str, str]) -> None:
    assert await verdict(KEY, status, json.dumps({"Message": message})) == expected


def test_the_question_to_sts_is_signed_for_sts() -> None:
    key = {**ACCESS, "sessionToken": "AQoDYXdzEXAMPLETOKEN0123456789"}
    request = check_aws_key(key, "", None, AT).request
    assert (request.method, request.url) == ("POST", "https://sts.eu-west-1.amazonaws.com/")
    assert request.body == b"Action=GetCallerIdentity&Version=2011-06-15"
    head: dict[str, Any] = {**request.headers, "host": "sts.eu-west-1.amazonaws.com"}
    names = ["content-type", "host", "x-amz-date", "x-amz-security-token"]
    expected = expected_signature(
        ACCESS, "sts", head, names, method="POST", path="/", body=request.body
    )
    assert head["authorization"].endswith(f"Signature={expected}")


def test_the_question_to_bedrock_goes_to_its_control_host() -> None:
    request = check_aws_key(KEY, "", None, AT).request
    assert request.url == "https://bedrock.eu-west-1.amazonaws.com/foundation-models"
    assert (request.method, request.body) == ("GET", b"")
    assert request.headers["authorization"] == f"Bearer {KEY['apiKey']}"


@pytest.mark.parametrize(
    ("key", "url"),
    [(KEY, "http://127.0.0.1:9/aws/foundation-models"), (ACCESS, "http://127.0.0.1:9/aws/")],
)
def test_questions_go_to_the_gateway_that_stands_in(key: dict[str, str], url: str) -> None:
    assert check_aws_key(key, "http://127.0.0.1:9/aws/", None, AT).request.url == url
