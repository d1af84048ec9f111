"""Every row's key check, against a provider that knows the key, one that does not, and none."""

from __future__ import annotations

import json

import httpx
import pytest

from api.providers.catalogue import PROVIDERS, Provider, parse_key
from api.providers.http import Upstream
from api.providers.probe import KeyProbe
from api.providers.validation import IMPOSSIBLE_MODEL, MADE_UP
from domain.clock import FixedClock
from tests.api.providers.test_probe import Answer, Provided
from tests.instants import AT

AZURE = {
    "endpoint": "https://acme.openai.azure.com",
    "apiKey": "0123456789abcdef",
    "apiVersion": "2024-10-21",
}
KEYS: dict[str, object] = {
    "aws": {
        "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "secretAccessKey": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        "region": "eu-central-1",
    },
    "azure": {**AZURE, "deploymentName": "mine"},
    "azure-responses": AZURE,
    "chutes": "cpk_" + "a" * 32 + "." + "b" * 32 + "." + "C" * 32,
}
BASES = {slug: row.base_url for slug, row in PROVIDERS.items()} | {
    "sandbox": "http://sandbox.test/v1"
}
ALLOWED = ["http://sandbox.test/v1"]


@pytest.fixture(params=sorted(PROVIDERS))
def row(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


def fields_of(row: Provider) -> dict[str, str]:
    prefix = next(iter(row.key.prefixes), "")
    return parse_key(row, KEYS.get(row.slug, f"{prefix}good-key-good-key-1"))


def refused(request: httpx.Request) -> httpx.Response:
    """As each protocol says it of a key that it does not know."""
    if request.url.host.endswith("amazonaws.com"):
        error = {"Error": {"Code": "InvalidClientTokenId", "Message": "no", "Type": "Sender"}}
        return httpx.Response(403, json=error)
    return httpx.Response(401, json={"error": {"message": "no", "code": "invalid_api_key"}})


def accepted(request: httpx.Request) -> httpx.Response:
    """As a provider that knows every key but the made-up one; it generates nothing."""
    if any(MADE_UP in value for value in request.headers.values()):
        return refused(request)
    if request.method == "POST" and request.url.path.endswith("/chat/completions"):
        assert json.loads(request.content)["model"] == IMPOSSIBLE_MODEL
        return httpx.Response(404, json={"error": {"message": "no", "code": "model_not_found"}})
    return httpx.Response(200, json={})


def never(_request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("silence")


def failing(status: int) -> Answer:
    return lambda _request: httpx.Response(status, json={"error": {"message": "no"}})


async def verdict(row: Provider, answer: Answer) -> tuple[str, str]:
    upstream = Upstream(named_urls=ALLOWED, transport=Provided(answer))
    return await KeyProbe(upstream, BASES, FixedClock(AT)).check(row, fields_of(row), None)


async def test_a_key_that_the_provider_knows(row: Provider) -> None:
    assert await verdict(row, accepted) == ("verified", "accepted_by_provider")


async def test_a_key_that_the_provider_does_not_know(row: Provider) -> None:
    assert await verdict(row, refused) == ("rejected", "refused_by_provider")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (failing(429), "rate_limited"),
        (failing(500), "provider_error"),
        (failing(503), "overloaded"),
        (never, "timed_out"),
    ],
)
async def test_what_says_nothing_about_the_key(row: Provider, answer: Answer, reason: str) -> None:
    assert await verdict(row, answer) == ("indeterminate", reason)


async def test_no_check_asks_for_an_answer(row: Provider) -> None:
    """Nothing that a check sends could generate: a list, a count, or a model that is none."""
    provided = Provided(accepted)
    upstream = Upstream(named_urls=ALLOWED, transport=provided)
    await KeyProbe(upstream, BASES, FixedClock(AT)).check(row, fields_of(row), None)
    assert provided.asked
    for request in provided.asked:
        generates = ("/responses", "/messages", "/converse", "generateContent", "completions")
        if any(word in request.url.path for word in generates):
            assert json.loads(request.content)["model"] == IMPOSSIBLE_MODEL
