"""What a provider's answer to a free request proves about a key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from api.providers.catalogue import PROVIDERS, Provider
from api.providers.http import Upstream
from api.providers.probe import KeyProbe
from api.providers.validation import Validation, get, get_elsewhere, impossible_model
from domain.clock import FixedClock
from tests.instants import AT

BASE = "https://api.openai.com/v1"
GOOD = {"apiKey": "sk-the-good-one"}
UNKNOWN_MODEL = {"error": {"message": "no such model", "code": "model_not_found"}}
BAD_KEY = {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}

Answer = Callable[[httpx.Request], httpx.Response]


class Provided(httpx.AsyncBaseTransport):
    """A provider; keeps what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answer(request)


def row(validation: Validation | None) -> Provider:
    return replace(PROVIDERS["openai"], validation=validation)


def always(status: int, body: object = None, **more: str) -> Answer:
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    return lambda _request: httpx.Response(status, json=body or {}, headers=headers)


def to_the_good_key(found: httpx.Response, otherwise: httpx.Response) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        good = request.headers["authorization"] == f"Bearer {GOOD['apiKey']}"
        return found if good else otherwise

    return answer


async def ask(provided: Provided, validation: Validation | None) -> tuple[str, str]:
    probe = KeyProbe(Upstream(transport=provided), {"openai": BASE}, FixedClock(AT))
    return await probe.check(row(validation), GOOD, None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (always(200, {"data": []}), ("verified", "accepted_by_provider")),
        (always(401, BAD_KEY), ("rejected", "refused_by_provider")),
        (
            always(401, {"error": {"message": "Missing scopes: api.model.read"}}),
            ("indeterminate", "forbidden_not_auth"),
        ),
        (always(402), ("indeterminate", "credential_out_of_money")),
        (always(403), ("indeterminate", "forbidden_not_auth")),
        (always(404), ("indeterminate", "not_found")),
        (always(429), ("indeterminate", "rate_limited")),
        (always(503), ("indeterminate", "overloaded")),
        (always(302), ("indeterminate", "invalid_response")),
        (
            always(200, {"error": {"message": "x", "code": 401}}),
            ("rejected", "refused_by_provider"),
        ),
        (always(200, {"error": {"message": "x"}}), ("indeterminate", "provider_error")),
        (always(200, content_type="text/html"), ("indeterminate", "invalid_response")),
    ],
)
async def test_only_the_provider_s_own_word_decides(
    answer: Answer, expected: tuple[str, str]
) -> None:
    assert await ask(Provided(answer), get("/models")) == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("no route"), "unreachable"),
        (httpx.ConnectTimeout("no answer"), "timed_out"),
        (httpx.ReadTimeout("no answer"), "timed_out"),
        (httpx.ReadError("torn"), "unreachable"),
    ],
)
async def test_silence_is_no_verdict(error: Exception, reason: str) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    assert await ask(Provided(fail), get("/models")) == ("indeterminate", reason)


async def test_a_row_without_a_free_check_says_so() -> None:
    provided = Provided(always(200))
    assert await ask(provided, None) == ("indeterminate", "no_free_check")
    assert provided.asked == []


async def test_an_unknown_model_proves_a_key_where_a_wrong_key_is_refused() -> None:
    provided = Provided(
        to_the_good_key(httpx.Response(404, json=UNKNOWN_MODEL), httpx.Response(401, json=BAD_KEY))
    )
    assert await ask(provided, impossible_model()) == ("verified", "accepted_by_provider")
    control = provided.asked[1]
    assert control.headers["authorization"] == f"Bearer sk-{'0' * 40}"
    assert json.loads(control.content) == json.loads(provided.asked[0].content)


async def test_an_unknown_model_proves_nothing_where_every_key_is_told_so() -> None:
    provided = Provided(always(404, UNKNOWN_MODEL))
    assert await ask(provided, impossible_model()) == ("indeterminate", "check_proves_nothing")


async def test_a_list_that_is_public_after_all_proves_nothing() -> None:
    provided = Provided(always(200, {"data": []}))
    checked = await ask(provided, get("/models", control=True))
    assert checked == ("indeterminate", "check_proves_nothing")


async def test_the_control_is_asked_once_and_never_of_a_refused_key() -> None:
    provided = Provided(
        to_the_good_key(httpx.Response(200, json={}), httpx.Response(401, json=BAD_KEY))
    )
    probe = KeyProbe(Upstream(transport=provided), {"openai": BASE}, FixedClock(AT))
    wanted = row(get("/models", control=True))
    assert (await probe.check(wanted, {"apiKey": "sk-wrong"}, None))[0] == "rejected"
    assert len(provided.asked) == 1
    assert (await probe.check(wanted, GOOD, None))[0] == "verified"
    assert (await probe.check(wanted, GOOD, None))[0] == "verified"
    assert len(provided.asked) == 4  # the control stands between the two


def test_a_check_elsewhere_goes_to_the_gateway_that_stands_in() -> None:
    check = get_elsewhere("https://api.chutes.ai/users/me", base="https://llm.chutes.ai/v1")
    own = check(GOOD, "https://llm.chutes.ai/v1", None, AT)
    gateway = check(GOOD, "http://127.0.0.1:9/chutes/v1", None, AT)
    assert own.request.url == "https://api.chutes.ai/users/me"
    assert gateway.request.url == "http://127.0.0.1:9/users/me"
