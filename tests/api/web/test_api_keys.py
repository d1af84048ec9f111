"""The page of API keys: a secret is shown once, and what is wrong is said beside its field."""

from __future__ import annotations

import html
import re

import pytest

from tests.api.web.front import Front

API = "/keys/api"


def held(front: Front) -> dict[str, str]:
    """Id → role of the keys that are in use."""
    return {
        key.key_id: key.role
        for key in front.world.directory.api_keys(front.world.account_id)
        if not key.revoked
    }


async def test_a_secret_is_shown_once_and_works(front: Front) -> None:
    before = held(front)
    fields = {
        "role": "caller",
        "name": "ci <i>",
        "requests_per_minute": "60",
        "models": "gpt-4o\ngpt-5",
        "expires_on": "2026-12-01",
    }
    answer = await front.post("owner", API, fields)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    (secret,) = re.findall(r"kt_[A-Za-z0-9_-]{40,}", answer.text)
    assert "ci &lt;i&gt;" in answer.text
    (new,) = held(front).keys() - before.keys()
    view = front.world.directory.api_key_by_id(new)
    assert view is not None
    assert (view.role, view.requests_per_minute, view.models, view.receipt, view.expires_at) == (
        "caller",
        60,
        frozenset({"gpt-4o", "gpt-5"}),
        False,
        "2026-12-01T00:00:00.000000Z",
    )
    assert secret not in (await front.get("owner", API)).text
    front.world.secrets["new"] = secret
    assert (await front.get("new", "/start")).status_code == 200


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"requests_per_minute": "many"}, "requests_per_minute", "whole number"),
        ({"requests_per_minute": "0"}, "requests_per_minute", "greater than or equal to 1"),
        ({"expires_on": "2026-10-01"}, "expires_on", "in the future"),
        ({"expires_on": "soon"}, "expires_on", "RFC 3339"),
        ({"models": "ü"}, "models", "visible characters"),
        ({"name": "two\nlines"}, "name", "one line"),
        ({"role": "operator"}, "role", "caller and owner only"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field(
    front: Front, fields: dict[str, str], field: str, words: str
) -> None:
    before = held(front)
    answer = await front.post("owner", API, {"role": "caller", "receipt": "yes", **fields})
    assert answer.status_code in {400, 403}
    problem = answer.text.partition(f'id="{field}-problem"')[2].partition("</p>")[0]
    assert words in html.unescape(problem)
    assert held(front) == before


async def test_a_revoked_key_is_gone(front: Front) -> None:
    caller = next(key for key, role in held(front).items() if role == "caller")
    answer = await front.post("owner", f"{API}/{caller}/revoke")
    assert answer.headers["location"] == "/keys/api?said=revoked"
    assert caller not in held(front)
    assert caller not in (await front.get("owner", API)).text
    assert (await front.post("owner", f"{API}/{caller}/revoke")).status_code == 404


async def test_keys_of_the_installation_are_not_there(front: Front) -> None:
    operator = next(key for key, role in held(front).items() if role == "operator")
    assert operator not in (await front.get("owner", API)).text
    assert (await front.post("owner", f"{API}/{operator}/revoke")).status_code == 404
    assert (await front.post("other", f"{API}/{operator}/revoke")).status_code == 404


async def test_a_form_of_another_site_does_nothing(front: Front) -> None:
    before = held(front)
    for path in (API, *(f"{API}/{key}/revoke" for key in before)):
        assert (await front.post("owner", path, {"role": "owner"}, csrf="x")).status_code == 400
    assert held(front) == before


async def test_callers_begin_with_the_call_to_copy(front: Front) -> None:
    page = (await front.get("caller", "/start")).text
    assert "No usable provider key is stored yet" in page
    await front.world.add_key(provider="groq", key="gsk_abcdefgh")
    page = (await front.get("caller", "/start")).text
    assert "http://keytoll/api/v1/chat/completions" in page
    assert "x-byok-provider: groq" in page
    other = (await front.get("caller", "/start?example=google")).text
    assert "x-byok-provider: google" in other
    assert (await front.get("finance", "/start")).status_code == 403
