"""The body and headers of a call, read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.chat.request import ChatRequest, parse_request
from api.errors import ApiError, api_error
from domain.errors import DomainError

SAID = [{"role": "user", "content": "hi"}]


def parsed(headers: dict[str, str] | None = None, **body: Any) -> ChatRequest:
    return parse_request(
        json.dumps({"model": "m", "messages": SAID, **body}).encode(), headers or {}
    )


def refused(raw: bytes | None = None, headers: dict[str, str] | None = None, **body: Any) -> Any:
    """(code, param)"""
    raw = json.dumps({"model": "m", "messages": SAID, **body}).encode() if raw is None else raw
    with pytest.raises(DomainError) as caught:
        parse_request(raw, headers or {})
    error = api_error(caught.value)
    assert error.status == 400
    return error.code, error.param


def test_the_plain_request() -> None:
    request = parsed(temperature=0.5, unknown={"a": [1]})
    assert request.body == {
        "model": "m",
        "messages": SAID,
        "temperature": 0.5,
        "unknown": {"a": [1]},
    }
    assert (request.model, request.stream, request.wants_usage, request.choices) == (
        "m",
        False,
        False,
        1,
    )
    assert (request.provider, request.credential_id, request.fallbacks) == (None, None, False)
    assert (request.tags, request.receipt, request.idempotency_key) == ({}, None, None)


def test_byok_is_taken_out_of_the_body() -> None:
    byok = {
        "enabled": True,
        "provider": "openai",
        "credential": "cred_1",
        "disableFallbacks": False,
        "tags": {"team": "a"},
        "receipt": False,
    }
    request = parsed(byok=byok)
    assert "byok" not in request.body
    assert (request.provider, request.credential_id, request.fallbacks) == (
        "openai",
        "cred_1",
        True,
    )
    assert (request.tags, request.receipt) == ({"team": "a"}, False)


HEADERS = {
    "x-byok-provider": "groq",
    "x-byok-credential": "cred_2",
    "x-use-byok": "TRUE",
    "x-keytoll-tags": " team=b , env=prod,",
    "x-keytoll-receipt": "Off",
    "idempotency-key": "abc",
}


def test_headers() -> None:
    request = parsed(HEADERS)
    assert (request.provider, request.credential_id) == ("groq", "cred_2")
    assert request.tags == {"team": "b", "env": "prod"}
    assert (request.receipt, request.idempotency_key) == (False, "abc")


def test_the_body_wins_over_headers() -> None:
    byok = {"provider": "openai", "credential": "cred_1", "tags": {}, "receipt": True}
    request = parsed({**HEADERS, "x-use-byok": "false"}, byok={**byok, "enabled": True})
    assert (request.provider, request.credential_id) == ("openai", "cred_1")
    assert (request.tags, request.receipt) == ({}, True)


def test_only_the_callers_own_keys_serve() -> None:
    assert refused(byok={"enabled": False}) == ("byok_required", "byok.enabled")
    assert refused(headers={"x-use-byok": "0"}) == ("byok_required", "byok.enabled")


def test_usage_is_wanted_only_with_a_stream() -> None:
    options = {"include_usage": True}
    assert parsed(stream=True, stream_options=options).wants_usage
    assert not parsed(stream=False, stream_options=options).wants_usage
    assert not parsed(stream=True, stream_options=None).wants_usage


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": {}}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [*SAID, {"content": "x"}]}, "messages[1].role"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"model": "x" * 257}, "model"),
        ({"model": " m"}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.0}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"byok": []}, "byok"),
        ({"byok": {"provider": 1}}, "byok.provider"),
        ({"byok": {"credential": "x" * 65}}, "byok.credential"),
        ({"byok": {"enabled": "yes"}}, "byok.enabled"),
        ({"byok": {"disableFallbacks": 0}}, "byok.disableFallbacks"),
        ({"byok": {"receipt": "off"}}, "byok.receipt"),
        ({"byok": {"tags": {"a": 1}}}, "byok.tags"),
        ({"byok": {"tags": []}}, "byok.tags"),
        ({"byok": {"tags": {"a b": "c"}}}, "byok.tags"),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], param: str) -> None:
    assert refused(**change) == ("invalid_parameter_value", param)


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ({"x-use-byok": "maybe"}, "x-use-byok"),
        ({"x-keytoll-receipt": "maybe"}, "x-keytoll-receipt"),
        ({"x-keytoll-tags": "novalue"}, "x-keytoll-tags"),
        ({"idempotency-key": "a b"}, "Idempotency-Key"),
        ({"idempotency-key": "x" * 256}, "Idempotency-Key"),
        ({"idempotency-key": ""}, "Idempotency-Key"),
    ],
)
def test_wrong_headers_are_named(headers: dict[str, str], param: str) -> None:
    assert refused(headers=headers) == ("invalid_parameter_value", param)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0, 10**18, 1e300, 2.0**64])
def test_numbers_that_can_be_passed_on(number: float) -> None:
    request = parsed(seed=number, messages=[*SAID, {"role": "user", "content": "9" * 100}])
    assert request.body["seed"] == number
    assert type(request.body["seed"]) is type(number)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ('"seed":18446744073709551616', "seed"),
        ('"seed":-9223372036854775809', "seed"),
        ('"tools":[{"function":{"parameters":{"maximum":1' + "0" * 300 + "}}}]", "tools"),
        ('"sk-Secret":[1' + "0" * 30 + "]", "body"),
    ],
)
def test_numbers_that_would_change_on_the_way(more: str, param: str) -> None:
    raw = '{"model":"m","messages":[{"role":"user","content":"hi"}],' + more + "}"
    assert refused(raw.encode()) == ("invalid_parameter_value", param)


def test_boundaries() -> None:
    assert parsed(n=128).choices == 128
    assert parsed(model="x" * 256).model == "x" * 256
    assert parsed({"idempotency-key": "x" * 255}).idempotency_key == "x" * 255
    assert len(parsed(byok={"tags": {str(n): "v" for n in range(8)}}).tags) == 8
    assert refused(byok={"tags": {str(n): "v" for n in range(9)}})[1] == "byok.tags"
    assert len(parsed(byok={"tags": {"k" * 64: "v" * 64}}).tags) == 1
    assert refused(byok={"tags": {"k" * 65: "v"}})[1] == "byok.tags"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 5_000, b'{"a":NaN}'])
def test_what_is_no_json_object(raw: bytes) -> None:
    assert refused(raw) == ("invalid_json", None)


def test_what_is_missing() -> None:
    assert refused(b"{}") == ("missing_required_parameter", "messages")
    assert refused(messages=None) == ("missing_required_parameter", "messages")
    assert refused(model=None) == ("missing_required_parameter", "model")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["model", "messages", "n", "stream", "stream_options", "byok", "x"]), JSON
    ),
    st.dictionaries(st.sampled_from(sorted(HEADERS)), st.text(max_size=20)),
)
def test_any_body_is_read_or_refused(body: dict[str, Any], headers: dict[str, str]) -> None:
    try:
        request = parse_request(json.dumps(body).encode(), headers)
    except DomainError as error:
        shown = api_error(error)
        assert isinstance(shown, ApiError)
        assert shown.status == 400
    else:
        assert request.body.get("byok") is None


@pytest.mark.parametrize("byok", [{"provder": "anthropic"}, {"provider": "openai", "x": 1}])
def test_an_unknown_member_of_byok_is_refused(byok: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        parsed(byok=byok)
    assert (caught.value.code, caught.value.param) == ("invalid_parameter_value", "byok")
