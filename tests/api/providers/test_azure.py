"""Where calls go at Azure, which deployment they reach, and what its filter adds to an answer."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from api.providers.azure import deployment_for, list_models, without_filter
from api.providers.catalogue import PROVIDERS, parse_key
from api.providers.hosts import origin_allowed, origin_of
from api.providers.port import ChatCall, Outcome, UpstreamRequest
from tests.instants import AT

ENDPOINT = "https://acme.openai.azure.com"
CLASSIC = {"endpoint": ENDPOINT, "apiKey": "0123456789abcdef", "apiVersion": "2024-10-21"}
PREVIEW = "2024-10-21-preview"
"""What the page of credentials suggests, although Azure never had it."""


def key(slug: str = "azure", **changes: Any) -> dict[str, str]:
    named = {"deploymentName": "prod"} if slug == "azure" else {}
    return parse_key(PROVIDERS[slug], {**CLASSIC, **named, **changes})


def request(
    slug: str, key: dict[str, str], *, model: str = "gpt-5.6", base: str = "", stream: bool = False
) -> UpstreamRequest:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    body = {"model": model, "messages": [{"role": "user", "content": "a"}], "stream": stream}
    call = ChatCall(body=body, model=model, stream=stream, wants_usage=False, choices=1, at=AT)
    return dialect.request(call, key, base)


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("2024-10-21", "/openai/deployments/prod/chat/completions?api-version=2024-10-21"),
        (PREVIEW, f"/openai/deployments/prod/chat/completions?api-version={PREVIEW}"),
        ("v1", "/openai/v1/chat/completions"),
        ("latest", "/openai/v1/chat/completions"),
        ("preview", "/openai/v1/chat/completions?api-version=preview"),
    ],
)
def test_paths_of_chat(version: str, path: str) -> None:
    sent = request("azure", key(apiVersion=version))
    assert sent.url == ENDPOINT + path
    assert sent.headers["api-key"] == CLASSIC["apiKey"]
    assert "authorization" not in sent.headers
    assert json.loads(sent.body)["model"] == "prod"


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("v1", "/openai/v1/responses"),
        ("preview", "/openai/v1/responses?api-version=preview"),
        ("2025-03-01-preview", "/openai/responses?api-version=2025-03-01-preview"),
        ("2025-04-01-preview", "/openai/responses?api-version=2025-04-01-preview"),
        # Older versions have no Responses.
        ("2025-02-01-preview", "/openai/v1/responses"),
        (PREVIEW, "/openai/v1/responses"),
    ],
)
def test_paths_of_responses(version: str, path: str) -> None:
    sent = request("azure-responses", key("azure-responses", apiVersion=version))
    assert sent.url == ENDPOINT + path
    assert sent.headers["api-key"] == CLASSIC["apiKey"]
    assert "authorization" not in sent.headers
    # Nothing but the model says which deployment is meant.
    assert json.loads(sent.body)["model"] == "gpt-5.6"
    assert "/deployments/" not in sent.url


@pytest.mark.parametrize("slug", ["azure", "azure-responses"])
def test_a_gateway_of_the_operator_stands_in_for_the_endpoint(slug: str) -> None:
    sent = request(slug, key(slug), base="http://127.0.0.1:9/az/")
    parts = urlsplit(sent.url)
    assert (parts.scheme, parts.netloc) == ("http", "127.0.0.1:9")
    assert parts.path.startswith("/az/openai/")


NAMES = {"a-mini": "gpt-5.6-mini", "big": "gpt-5.6", "big-2": "gpt-5.6", "prod": "gpt-4.1"}


@pytest.mark.parametrize(
    ("model", "deployment"),
    [
        ("big-2", "big-2"),  # its name
        ("gpt-5.6-mini", "a-mini"),  # what it serves
        ("gpt-5.6", "big"),  # the first of two
        ("gpt-5.6-2026-01-05", "big"),  # another spelling of what it serves
        ("openai/gpt-4.1", "prod"),
        ("prod", "prod"),
        ("o3", "prod"),  # none: the credential's own
    ],
)
def test_which_deployment_serves_a_model(model: str, deployment: str) -> None:
    assert deployment_for(key(deployments=NAMES), model) == deployment


def test_the_credential_s_own_deployment_is_preferred_among_equals() -> None:
    assert deployment_for(key(deployments={"a": "gpt-5.6", "prod": "gpt-5.6"}), "gpt-5.6") == "prod"


def test_without_a_list_the_own_deployment_serves_all() -> None:
    assert deployment_for(key(), "gpt-5.6") == "prod"
    # Responses have no deployment of their own: the model is the deployment's name.
    assert deployment_for(key("azure-responses"), "gpt-5.6") == "gpt-5.6"
    listed = key("azure-responses", deployments={"big": "gpt-5.6"})
    assert deployment_for(listed, "gpt-5.6") == "big"
    assert deployment_for(listed, "other") == "other"


@pytest.mark.parametrize("slug", ["azure", "azure-responses"])
def test_what_a_deployment_serves_is_known_before_the_answer(slug: str) -> None:
    sent = request(slug, key(slug, deployments={"big": "gpt-5.6"}), model="big")
    assert sent.context == {"deployment_model": "gpt-5.6"}
    assert request(slug, key(slug, deployments={"other": "x"}), model="gpt-5.6").context == {}


def test_streams_are_asked_for_their_usage() -> None:
    sent = json.loads(request("azure", key(), stream=True).body)
    assert sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("2024-10-21", "/openai/models?api-version=2024-10-21"),
        ("v1", "/openai/v1/models"),
        ("preview", "/openai/v1/models?api-version=preview"),
    ],
)
def test_a_key_is_checked_for_nothing(version: str, path: str) -> None:
    check = list_models(key(apiVersion=version), "", None, AT)
    assert check.request.method == "GET"
    assert check.request.url == ENDPOINT + path
    assert check.request.headers["api-key"] == CLASSIC["apiKey"]
    assert check.request.body == b""
    for slug in ("azure", "azure-responses"):
        assert PROVIDERS[slug].validation is list_models


def kept(**chunk: Any) -> bool:
    data = json.dumps(chunk).encode()
    found = without_filter(chunk, data)
    assert found is None or found is data
    return found is not None


CHECKED: dict[str, Any] = {"index": 0, "finish_reason": None, "content_filter_results": {}}


def test_what_the_filter_says_in_chunks_of_its_own_is_left_out() -> None:
    assert not kept(choices=[], prompt_filter_results=[{"prompt_index": 0}])
    assert not kept(choices=[], prompt_annotations=[])
    assert not kept(choices=[{**CHECKED, "content_filter_offsets": {"check_offset": 1}}])


def test_all_else_is_left_as_it_is() -> None:
    assert kept(choices=[], usage={"prompt_tokens": 1})
    assert kept(choices=[{**CHECKED, "delta": {}}])
    # The filter ends an answer, or checks one of two while the other goes on.
    assert kept(choices=[{**CHECKED, "finish_reason": "content_filter"}])
    assert kept(choices=[CHECKED, {"index": 1, "delta": {"content": "a"}}])


def read(slug: str, data: bytes, *, stream: bool) -> tuple[list[Any], Outcome]:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    call = ChatCall(body={}, model="m", stream=stream, wants_usage=True, choices=1, at=AT)
    headers = {} if stream else {"content-type": "application/json"}
    reader = dialect.reader(call, headers)
    chunks = [json.loads(chunk.data) for chunk in reader.feed(data)]
    return chunks, reader.finish()


def test_an_end_without_a_delta_gets_one() -> None:
    chunk = {"choices": [{**CHECKED, "finish_reason": "content_filter"}]}
    (found,), _ = read("azure", b"data: %s\n\n" % json.dumps(chunk).encode(), stream=True)
    assert found["choices"] == [{**CHECKED, "finish_reason": "content_filter", "delta": {}}]


def test_an_answer_that_the_filter_emptied_gets_a_message() -> None:
    body = {
        "id": "x",
        "choices": [{**CHECKED, "finish_reason": "content_filter"}],
        "usage": {"prompt_tokens": 15, "completion_tokens": 19, "total_tokens": 34},
    }
    _, outcome = read("azure", json.dumps(body).encode(), stream=False)
    (choice,) = json.loads(outcome.answer)["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == outcome.finish_reason == "content_filter"
    # What was produced before it was taken away is charged.
    assert outcome.usage == {"input_tokens": 15, "output_tokens": 19}
    assert outcome.complete_usage


@pytest.mark.parametrize("slug", ["azure", "azure-responses"])
def test_calls_may_go_to_any_resource_of_azure_and_to_nobody_else(slug: str) -> None:
    origin = origin_of(request(slug, key(slug)).url)
    assert origin is not None
    assert origin_allowed(origin, PROVIDERS[slug].hosts)
    assert not origin_allowed(("https", "acme.azure-api.net", 443), PROVIDERS[slug].hosts)


def test_a_wait_told_in_milliseconds_is_passed_on_in_seconds() -> None:
    dialect = PROVIDERS["azure"].dialect
    assert dialect is not None
    failure = dialect.failure(429, {"retry-after-ms": "1200"}, b'{"error":{"code":"429"}}')
    assert (failure.kind, failure.retry_after) == ("rate_limited", "2")
