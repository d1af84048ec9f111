"""Random damage to valid requests never breaks the server and never leaves half a change."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.api.management import Management

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    " ",
    "x" * 5_000,
    "\ud800",
    "\x00",
    "ü",
    "sk-ant-CANARY123",
    [],
    [[]],
    [None],
    {},
    {"a": {"b": {}}},
    {"sk-CANARY9": "sk-CANARY9"},
]


def valid(world: Management, key: str, api_key: str) -> list[tuple[str, str, str, Any]]:
    """(who, method, path, body) of requests that are right."""
    account = f"/api/v1/accounts/{world.other_id}"
    return [
        (
            "owner",
            "POST",
            "/api/user/provider-keys",
            {"provider": "openai", "key": "sk-abcdefgh", "label": "a", "models": ["m"]},
        ),
        (
            "owner",
            "POST",
            "/api/user/provider-keys",
            {
                "provider": "azure",
                "key": {
                    "endpoint": "https://x.openai.azure.com",
                    "apiKey": "0123456789abcdef",
                    "deploymentName": "d",
                    "apiVersion": "2024-10-21",
                },
            },
        ),
        (
            "owner",
            "PATCH",
            f"/api/user/provider-keys/{key}",
            {"label": "b", "position": 1, "disabled": False, "models": ["m"], "key": "sk-abcdefgi"},
        ),
        ("owner", "POST", "/api/user/provider-keys/validate", {"id": key, "model": "m"}),
        ("owner", "DELETE", f"/api/user/provider-keys/{key}", None),
        ("owner", "GET", "/api/user/provider-keys", None),
        (
            "operator",
            "POST",
            "/api/user/api-keys",
            {"role": "caller", "name": "n", "requests_per_minute": 5, "account": world.other_id},
        ),
        ("operator", "DELETE", f"/api/user/api-keys/{api_key}", None),
        ("owner", "PUT", "/api/user/routing", {"providers": ["groq"], "fallbacks": True}),
        ("owner", "PUT", "/api/user/budgets", {"budgets": []}),
        ("operator", "POST", "/api/v1/accounts", {"name": "n", "default_tags": {"a": "b"}}),
        ("operator", "PATCH", account, {"suspended": False, "default_tags": {"a": "b"}}),
        ("operator", "PUT", f"{account}/markup", {"rate": "0.05", "from": "2027-01-01"}),
        ("operator", "GET", "/api/v1/accounts?limit=2", None),
    ]


def damaged(body: Any, chance: random.Random) -> bytes:
    """The body with one value replaced, one field renamed, added or taken, or its bytes cut."""
    copy = json.loads(json.dumps(body)) if body is not None else {}
    spot, name = copy, chance.choice([*copy, "extra"]) if copy else "extra"
    if isinstance(copy.get(name), dict) and copy[name] and chance.random() < 0.6:
        spot, name = copy[name], chance.choice(list(copy[name]))
    act = chance.randrange(5)
    if act <= 2:
        spot[name] = chance.choice(VALUES)
    elif act == 3:
        spot.pop(name, None)
    else:
        spot[name + chance.choice(["", "s", "-CANARY", "\x00"])] = spot.pop(name, 1)
    text = json.dumps(copy).encode()
    if chance.random() < 0.1:
        text = text[: chance.randrange(len(text))]
    if chance.random() < 0.05:
        text = bytes([chance.randrange(256)]) + text
    return text


async def test_damaged_requests_are_refused_and_nothing_else(world: Management) -> None:
    chance = random.Random(3)
    statuses: set[int] = set()
    keys = [await world.add_key() for _ in range(3)]
    for _ in range(1_500):
        issued = world.directory.api_keys(world.account_id)[-1]
        live = world.directory.credentials(world.account_id)
        key = live[0].credential_id if live else keys[0]["id"]
        who, method, path, body = chance.choice(valid(world, key, issued.key_id))
        if chance.random() < 0.1:
            path = path[: chance.randrange(10, len(path))] + chance.choice(["", "%00", "%ff", "/"])
        headers = {
            "content-type": chance.choice(["application/json"] * 9 + ["text/plain"]),
            "authorization": f"Bearer {world.secrets[who]}",
        }
        if chance.random() < 0.05:
            headers["authorization"] = chance.choice(["", "Bearer ", "Bearer kt_CANARY", "x"])
        async with world.client(None) as client:
            response = await client.request(
                method, path, content=damaged(body, chance), headers=headers
            )
        statuses.add(response.status_code)
        assert response.status_code < 500, (method, path, response.text)
        assert "CANARY" not in response.text, (method, path)
        if response.status_code >= 400:
            assert set(response.json()) == {"error"}
    assert {200, 201, 400, 401, 404} <= statuses
    assert b"CANARY" not in world.lines()
    in_use = {
        (view.credential_id, view.secret_version)
        for view in world.directory.credentials(world.account_id)
    }
    assert set(world.vault.held()) == in_use
