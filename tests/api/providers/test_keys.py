"""Credentials as their owners give them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.catalogue import (
    PROVIDERS,
    key_suffix,
    key_warning,
    parse_key,
)
from domain.credential import fields_of, secret_of
from domain.errors import BadValue

GOOD = {
    "openai": "sk-proj-abcdefgh1234",
    "openai-responses": "sk-svcacct-abcdefgh1234",
    "anthropic": "sk-ant-api03-abcdefgh1234",
    "sandbox": "anything",
    "openrouter": "sk-or-v1-abcdefgh1234",
    "chutes": "cpk_" + "0" * 32 + "." + "1" * 32 + "." + "a" * 32,
    "google": "AIzaSyAabcdefgh1234",
    "groq": "gsk_abcdefgh1234",
    "sambanova": "abcdefgh-1234",
    "vercel": "vck_abcdefgh1234",
    "novita": "sk_abcdefgh1234",
    "akash": "sk-abcdefgh1234",
    "nvidia": "nvapi-abcdefgh1234",
    "hyperbolic": "abcdefgh1234",
    "morpheus": "sk-abcdef.0123456789",
    "fireworks": "fw_abcdefgh1234",
    "together": "tgp_v1_abcdefgh1234",
}
AWS = {
    "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "region": "eu-central-1",
}
AZURE = {
    "endpoint": "https://acme.openai.azure.com",
    "apiKey": "0123456789abcdef",
    "deploymentName": "chat",
    "apiVersion": "2024-10-21-preview",
}


def wrong(slug: str, key: Any) -> str | None:
    with pytest.raises(BadValue) as caught:
        parse_key(PROVIDERS[slug], key)
    for value in key.values() if isinstance(key, dict) else (key,):
        # Names of fields may be told; what stands in them may not.
        assert not isinstance(value, str) or len(value) < 8 or value not in str(caught.value)
    return caught.value.param


@pytest.mark.parametrize("slug", sorted(GOOD))
def test_plain_keys(slug: str) -> None:
    row = PROVIDERS[slug]
    fields = parse_key(row, GOOD[slug])
    assert fields == {"apiKey": GOOD[slug]}
    assert key_suffix(row, fields) == GOOD[slug][-4:]
    assert key_warning(row, fields) is None
    assert fields_of(secret_of(fields)) == fields


def test_every_provider_of_the_page_takes_credentials() -> None:
    assert set(PROVIDERS) == {*GOOD, "aws", "azure", "azure-responses"}
    assert len(PROVIDERS) == 20


@pytest.mark.parametrize("slug", sorted(set(GOOD) - {"sandbox"}))
@pytest.mark.parametrize(
    "key", ["", " ", "short", "sk-abc defgh", "sk-abcdefgh\n", "sk-äbcdefgh", "x" * 5000]
)
def test_what_cannot_be_a_key(slug: str, key: str) -> None:
    assert wrong(slug, key) == "key"


@pytest.mark.parametrize(
    "key",
    [
        *("sk-admin-abcdefgh", "sk-ant-oat01-abcdefgh", "sk-ant-admin01-abcdefgh"),
        "kt_0123456789abcdef",
    ],
)
@pytest.mark.parametrize("slug", ["openai", "anthropic", "akash"])
def test_keys_that_no_provider_should_get(slug: str, key: str) -> None:
    assert wrong(slug, key) == "key"


@pytest.mark.parametrize("home", ["anthropic", "openrouter", "groq", "nvidia", "google", "chutes"])
def test_another_provider_s_key_is_named_and_refused(home: str) -> None:
    for slug in ("openai", "together", "sambanova"):
        with pytest.raises(BadValue, match=home):
            parse_key(PROVIDERS[slug], GOOD[home])


def test_an_ambiguous_key_is_taken_at_its_word() -> None:
    for slug in ("openai", "akash", "sambanova"):
        assert parse_key(PROVIDERS[slug], "sk-abcdefgh1234")
    assert key_warning(PROVIDERS["openai"], {"apiKey": "abcdefgh"}) is not None


def test_the_sandbox_takes_any_key_that_fits_in_a_header() -> None:
    row = PROVIDERS["sandbox"]
    assert parse_key(row, "x") == {"apiKey": "x"}
    assert parse_key(row, "sk-ant-x-revoked") == {"apiKey": "sk-ant-x-revoked"}
    assert key_suffix(row, {"apiKey": "x"}) == "****"
    assert wrong("sandbox", "a\nb") == "key"
    assert wrong("sandbox", "kt_0123456789abcdef") == "key"


def test_a_plain_key_may_come_as_an_object_but_with_nothing_else() -> None:
    assert parse_key(PROVIDERS["openai"], {"apiKey": GOOD["openai"]}) == {"apiKey": GOOD["openai"]}
    assert wrong("openai", {"apiKey": GOOD["openai"], "region": "eu"}) == "key"
    assert wrong("openai", 5) == "key"
    assert wrong("openai", None) == "key"


@pytest.mark.parametrize("written", [AWS, json.dumps(AWS)])
def test_access_keys_of_aws(written: Any) -> None:
    fields = parse_key(PROVIDERS["aws"], written)
    assert fields == AWS
    assert key_suffix(PROVIDERS["aws"], fields) == "MPLE"


def test_an_api_key_of_bedrock() -> None:
    fields = parse_key(PROVIDERS["aws"], {"apiKey": "ABSKabcdefgh", "region": "us-east-1"})
    assert key_suffix(PROVIDERS["aws"], fields) == "efgh"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"region": "eu-central-9"}, "key.region"),
        ({"region": "evil.test/#"}, "key.region"),
        ({"region": None}, "key.region"),
        ({"accessKeyId": "nope"}, "key.accessKeyId"),
        ({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"}, "key.sessionToken"),
        ({"secretAccessKey": ""}, "key.secretAccessKey"),
        ({"secretAccessKey": "white space in the key"}, "key.secretAccessKey"),
        ({"sessionToken": 5}, "key.sessionToken"),
        ({"endpoint": "https://x.test"}, "key.endpoint"),
        ({"wJalrXUtnFEMI/K7MDENG": 1}, "key"),
        ({"apiKey": "ABSKabcdefgh"}, "key.accessKeyId"),
    ],
)
def test_wrong_fields_of_aws_are_named(change: dict[str, Any], param: str) -> None:
    assert wrong("aws", {**AWS, **change}) == param


@pytest.mark.parametrize("key", [AWS, {"apiKey": "ABSKabcdefgh", "region": "us-east-1"}])
def test_aws_keeps_what_the_owner_s_arns_stand_for(key: dict[str, Any]) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdefghijkl"
    fields = parse_key(PROVIDERS["aws"], {**key, "models": {arn: "amazon.nova-lite-v1:0"}})
    assert json.loads(fields["models"]) == {arn: "amazon.nova-lite-v1:0"}
    for wrong_map in ([arn], {arn: 5}, {arn: ""}, {"amazon.nova-lite-v1:0": "x"}, {arn + " ": "x"}):
        assert wrong("aws", {**key, "models": wrong_map}) == "key.models"


def test_aws_takes_no_plain_key() -> None:
    assert wrong("aws", "AKIAIOSFODNN7EXAMPLE") == "key"
    assert wrong("aws", "{not json") == "key"


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://acme.openai.azure.com",
        "https://ACME.openai.azure.com:443/",
        "https://acme.services.ai.azure.com",
        "https://acme.cognitiveservices.azure.com",
        "https://acme.openai.azure.us",
    ],
)
def test_endpoints_of_azure(endpoint: str) -> None:
    fields = parse_key(PROVIDERS["azure"], {**AZURE, "endpoint": endpoint})
    assert fields["endpoint"].startswith("https://acme.")
    assert fields["endpoint"].count("/") == 2
    assert key_suffix(PROVIDERS["azure"], fields) == "cdef"


@pytest.mark.parametrize(
    "endpoint",
    [
        *(
            "http://acme.openai.azure.com",
            "https://acme.openai.azure.com:8443",
            "acme.openai.azure.com",
        ),
        *("https://openai.azure.com", "https://a.b.openai.azure.com", "https://.openai.azure.com"),
        *("https://acme.openai.azure.com.evil.test", "https://evil.test/acme.openai.azure.com"),
        *("https://user@acme.openai.azure.com", "https://evil.test#@acme.openai.azure.com"),
        *("https://evil.test\\@acme.openai.azure.com", "https://acme.privatelink.openai.azure.com"),
        *(
            "https://acme.azure-api.net",
            "https://127.0.0.1",
            "https://169.254.169.254",
            "https://[::1]",
        ),
        *(
            "https://acme_x.openai.azure.com",
            "https://-a.openai.azure.com",
            "https://x:port/",
            "file:///x",
        ),
        *("https://acme.openai.azure.cn", "https://acmé.openai.azure.com"),
    ],
)
def test_what_is_no_endpoint_of_azure(endpoint: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse_key(PROVIDERS["azure"], {**AZURE, "endpoint": endpoint})
    assert caught.value.param == "key.endpoint"


def test_a_host_that_the_operator_named_is_an_endpoint() -> None:
    given = {**AZURE, "endpoint": "http://127.0.0.1:9000/openai"}
    fields = parse_key(PROVIDERS["azure"], given, named_hosts={"127.0.0.1"})
    assert fields["endpoint"] == "http://127.0.0.1:9000"


def test_a_pasted_url_fills_what_is_empty() -> None:
    pasted = (
        "https://acme.openai.azure.com/openai/deployments/chat/chat/completions"
        "?api-version=2025-01-01-preview"
    )
    fields = parse_key(PROVIDERS["azure"], {"endpoint": pasted, "apiKey": "0123456789abcdef"})
    assert fields == {
        "endpoint": "https://acme.openai.azure.com",
        "apiKey": "0123456789abcdef",
        "deploymentName": "chat",
        "apiVersion": "2025-01-01-preview",
    }
    newer = {"endpoint": "https://acme.openai.azure.com/openai/v1/", "apiKey": "0123456789abcdef"}
    assert parse_key(PROVIDERS["azure-responses"], newer)["apiVersion"] == "v1"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"deploymentName": None}, "key.deploymentName"),
        ({"deploymentName": "../x"}, "key.deploymentName"),
        ({"apiVersion": "latest&x=1"}, "key.apiVersion"),
        ({"apiVersion": None}, "key.apiVersion"),
        ({"apiKey": "short"}, "key.apiKey"),
        ({"deployments": {"chat": 5}}, "key.deployments"),
        ({"deployments": ["chat"]}, "key.deployments"),
        ({"region": "x"}, "key.region"),
    ],
)
def test_wrong_fields_of_azure_are_named(change: dict[str, Any], param: str) -> None:
    assert wrong("azure", {**AZURE, **change}) == param


def test_deployments_are_kept_with_the_key() -> None:
    fields = parse_key(PROVIDERS["azure"], {**AZURE, "deployments": {"chat": "gpt-5.6"}})
    assert json.loads(fields["deployments"]) == {"chat": "gpt-5.6"}
    assert wrong("azure-responses", AZURE) == "key.deploymentName"
    given = {name: AZURE[name] for name in ("endpoint", "apiKey", "apiVersion")}
    fields = parse_key(PROVIDERS["azure-responses"], {**given, "deployments": {"b": "x", "a": "y"}})
    assert json.loads(fields["deployments"]) == {"a": "y", "b": "x"}
    assert "deployments" not in parse_key(PROVIDERS["azure-responses"], given)
