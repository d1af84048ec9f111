"""What every row of the catalogue must keep."""

from __future__ import annotations

import json

import pytest

from api.providers.catalogue import PROVIDERS, Provider
from api.providers.hosts import host_allowed, origin_allowed, origin_of, public_address
from api.providers.validation import IMPOSSIBLE_MODEL
from tests.instants import AT


@pytest.fixture(params=sorted(PROVIDERS))
def row(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


def test_a_base_url_leads_to_a_host_of_the_row(row: Provider) -> None:
    if row.base_url:
        origin = origin_of(row.base_url)
        assert origin is not None
        assert origin_allowed(origin, row.hosts)
        assert not row.base_url.endswith("/")


def test_hosts_are_exact_or_one_label_wide(row: Provider) -> None:
    for host in row.hosts:
        assert host == host.lower()
        assert host.count("*") == (1 if host.startswith("*.") else 0)
        assert host.count(".") >= 1


def test_checking_a_key_generates_nothing_and_goes_to_the_row_s_host(row: Provider) -> None:
    if row.validation is None or not row.key.plain:
        return
    request = row.validation({"apiKey": "sk-test-0123"}, "https://base.test/v9", None, AT).request
    assert request.url.startswith("https://base.test/")
    assert sum("sk-test-0123" in value for value in request.headers.values()) == 1
    if request.method == "POST":
        assert json.loads(request.body).get("model", IMPOSSIBLE_MODEL) == IMPOSSIBLE_MODEL
    else:
        assert (request.method, request.body) == ("GET", b"")


def test_who_stops_billing_when_we_hang_up() -> None:
    drained = {row.slug for row in PROVIDERS.values() if row.on_disconnect == "drain"}
    assert drained == {"aws", "google", "groq", "sambanova"}


def test_only_the_sandbox_is_a_sandbox() -> None:
    assert [row.slug for row in PROVIDERS.values() if row.sandbox] == ["sandbox"]


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("api.openai.com", True),
        ("acme.openai.azure.com", True),
        ("a.b.openai.azure.com", False),
        ("openai.azure.com", False),
        (".openai.azure.com", False),
        ("api.openai.com.evil.test", False),
        ("evil-api.openai.com", False),
    ],
)
def test_hosts_are_compared_whole(host: str, allowed: bool) -> None:
    assert host_allowed(host, ("api.openai.com", "*.openai.azure.com")) is allowed


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://api.openai.com", "//api.openai.com", "https://", "https://a:port/"),
        *("https://x@api.openai.com", "https://evil.test\\@api.openai.com", "https://[::1"),
    ],
)
def test_what_is_no_plain_url(url: str) -> None:
    assert origin_of(url) is None


@pytest.mark.parametrize(
    "url", ["http://api.openai.com", "https://api.openai.com:8443", "https://evil.test"]
)
def test_only_https_on_its_own_port(url: str) -> None:
    origin = origin_of(url)
    assert origin is not None
    assert not origin_allowed(origin, ("api.openai.com",))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::"),
        *("2001:db8::1", "fec0::1", "localhost", ""),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not public_address(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "104.18.7.192", "2606:4700::6812:7c0", "64:ff9b::101:101"]
)
def test_addresses_that_are(address: str) -> None:
    assert public_address(address)
