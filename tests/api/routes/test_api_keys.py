from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api.management import Management

KEYS = "/api/user/api-keys"


async def test_the_secret_is_shown_once_and_works(world: Management) -> None:
    sent = {
        "role": "owner",
        "name": "ci",
        "receipt": False,
        "requests_per_minute": 60,
        "models": ["gpt-4o"],
        "expires_at": "2026-12-01T00:00:00Z",
    }
    response = await world.call("owner", "POST", KEYS, sent)
    assert response.status_code == 201
    issued = response.json()
    secret = issued.pop("secret")
    assert issued == {
        "success": True,
        "id": issued["id"],
        "account_id": world.account_id,
        "role": "owner",
        "name": "ci",
        "receipt": False,
        "requests_per_minute": 60,
        "models": ["gpt-4o"],
        "expires_at": "2026-12-01T00:00:00.000000Z",
        "created_at": "2026-11-01T00:00:00.000000Z",
        "last_used_at": None,
    }
    world.secrets["new"] = secret
    listed = await world.call("new", "GET", KEYS)
    assert issued["id"] in [each["id"] for each in listed.json()["keys"]]
    assert secret not in listed.text
    assert secret.encode() not in world.lines()


async def test_a_revoked_key_is_turned_away_and_not_listed(world: Management) -> None:
    issued = (await world.call("owner", "POST", KEYS, {"role": "owner", "name": "x"})).json()
    world.secrets["new"] = issued["secret"]
    assert (await world.call("new", "GET", KEYS)).status_code == 200
    revoked = await world.call("owner", "DELETE", f"{KEYS}/{issued['id']}")
    assert revoked.json() == {"success": True}
    assert (await world.call("new", "GET", KEYS)).status_code == 401
    listed = (await world.call("owner", "GET", KEYS)).json()["keys"]
    assert issued["id"] not in [each["id"] for each in listed]
    assert world.labels.get(issued["id"]) == {}
    assert (await world.call("owner", "DELETE", f"{KEYS}/{issued['id']}")).status_code == 404


async def test_a_key_ends_when_it_expires(world: Management) -> None:
    sent = {"role": "owner", "expires_at": "2026-11-01T00:01:00Z"}
    world.secrets["new"] = (await world.call("owner", "POST", KEYS, sent)).json()["secret"]
    world.clock.advance(timedelta(seconds=60) - timedelta(microseconds=1))
    assert (await world.call("new", "GET", KEYS)).status_code == 200
    world.clock.advance(timedelta(microseconds=1))
    assert (await world.call("new", "GET", KEYS)).status_code == 401


async def test_owners_do_not_see_the_keys_of_the_installation(world: Management) -> None:
    def roles(answer: Any) -> set[str]:
        return {each["role"] for each in answer.json()["keys"]}

    assert roles(await world.call("owner", "GET", KEYS)) == {"owner", "caller"}
    assert "operator" in roles(await world.call("operator", "GET", KEYS))
    operator = next(
        each for each in world.directory.api_keys(world.account_id) if each.role == "operator"
    )
    assert (await world.call("owner", "DELETE", f"{KEYS}/{operator.key_id}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"role": "god"}, "role"),
        ({"role": None}, "role"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": 1_000_001}, "requests_per_minute"),
        ({"requests_per_minute": 1.5}, "requests_per_minute"),
        ({"requests_per_minute": "60"}, "requests_per_minute"),
        ({"receipt": "no"}, "receipt"),
        ({"models": "gpt-4o"}, "models"),
        ({"models": []}, "models"),
        ({"models": ["not ok"]}, "models.0"),
        ({"name": "x" * 101}, "name"),
        ({"name": "\n"}, None),
        ({"expires_at": "yesterday"}, "expires_at"),
        ({"expires_at": "2026-11-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": 1}, "expires_at"),
        ({"nmae": "x"}, "nmae"),
    ],
)
async def test_a_wrong_field_is_named(
    world: Management, body: dict[str, Any], param: str | None
) -> None:
    response = await world.call("owner", "POST", KEYS, body)
    if param is None:  # an empty name is no name
        assert response.json()["name"] is None
        return
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert len(world.directory.api_keys(world.account_id)) == 5


async def test_an_operator_cannot_put_its_own_kind_into_another_account(world: Management) -> None:
    sent = {"role": "operator", "account": world.other_id}
    response = await world.call("operator", "POST", KEYS, sent)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "role")
