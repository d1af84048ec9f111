"""Who may do what: every management route with every role."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.api.management import ROLES, Management

MATRIX: list[tuple[str, str, Any, str]] = [
    ("POST", "/api/user/provider-keys", {"provider": "openai", "key": "sk-abcdefgh"}, "owner"),
    ("GET", "/api/user/provider-keys", None, "owner operator"),
    ("PATCH", "/api/user/provider-keys/{key}", {"disabled": True}, "owner operator"),
    ("PATCH", "/api/user/provider-keys/{key}", {"key": "sk-rotated1"}, "owner"),
    ("DELETE", "/api/user/provider-keys/{key}", None, "owner operator"),
    ("DELETE", "/api/user/provider-keys?provider=openai", None, "owner"),
    ("POST", "/api/user/provider-keys/validate", {"id": "{key}"}, "owner"),
    ("POST", "/api/user/api-keys", {"role": "caller"}, "owner operator"),
    ("POST", "/api/user/api-keys", {"role": "owner"}, "owner operator"),
    ("POST", "/api/user/api-keys", {"role": "finance"}, "operator"),
    ("POST", "/api/user/api-keys", {"role": "auditor"}, "operator"),
    ("POST", "/api/user/api-keys", {"role": "operator"}, "operator"),
    ("GET", "/api/user/api-keys", None, "owner operator"),
    ("DELETE", "/api/user/api-keys/{spare}", None, "owner operator"),
    ("GET", "/api/user/routing", None, "owner operator"),
    ("PUT", "/api/user/routing", {"providers": ["groq"]}, "owner operator"),
    ("GET", "/api/user/budgets", None, "owner operator"),
    ("PUT", "/api/user/budgets", {"budgets": []}, "owner operator"),
    ("GET", "/api/v1/models", None, "caller owner operator"),
    ("GET", "/api/v1/models/{model}", None, "caller owner operator"),
    ("POST", "/api/v1/accounts", {}, "operator"),
    ("GET", "/api/v1/accounts", None, "operator finance auditor"),
    ("GET", "/api/v1/accounts/{account}", None, "operator finance auditor owner"),
    ("PATCH", "/api/v1/accounts/{account}", {"suspended": False}, "operator"),
    ("PUT", "/api/v1/accounts/{account}/markup", {"rate": "0.04"}, "operator"),
]


async def test_the_matrix_knows_every_route(world: Management) -> None:
    served = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path))
        for path, methods in world.app.openapi()["paths"].items()
        for method in methods
    }
    tested = {
        (method, re.sub(r"\{\w+\}", "{}", path.partition("?")[0])) for method, path, _, _ in MATRIX
    }
    assert served == tested


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path", "body", "allowed"), MATRIX)
async def test_a_role_may_do_what_the_matrix_says(
    world: Management, role: str, method: str, path: str, body: Any, allowed: str
) -> None:
    key = await world.add_key()
    spare = world.ledger.issue_api_key(world.account_id, "caller")
    names = {
        "{key}": key["id"],
        "{spare}": spare.key_id,
        "{account}": world.account_id,
        "{model}": "gpt-4o-mini",
    }
    for name, value in names.items():
        path = path.replace(name, value)
    sent = {k: names.get(v, v) if isinstance(v, str) else v for k, v in (body or {}).items()}
    before = world.lines()
    response = await world.call(role, method, path, None if body is None else sent)
    if role in allowed.split():
        assert response.status_code < 300, response.text
    else:
        assert response.status_code == 403, response.text
        assert response.json()["error"]["code"] == "role_not_allowed"
        assert response.json()["error"]["type"] == "permission_error"
        assert world.lines() == before


@pytest.mark.parametrize(("method", "path", "body", "allowed"), MATRIX)
async def test_nobody_may_do_anything(
    world: Management, method: str, path: str, body: Any, allowed: str
) -> None:
    response = await world.call(None, method, path, body)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_another_accounts_things_do_not_exist(world: Management) -> None:
    key = await world.add_key()
    api_key = world.ledger.issue_api_key(world.account_id, "caller")
    before = world.lines()
    for method, path, body in (
        ("PATCH", f"/api/user/provider-keys/{key['id']}", {"disabled": True}),
        ("DELETE", f"/api/user/provider-keys/{key['id']}", None),
        ("POST", "/api/user/provider-keys/validate", {"id": key["id"]}),
        ("DELETE", "/api/user/provider-keys?provider=openai", None),
        ("GET", f"/api/user/provider-keys?account={world.account_id}", None),
        ("DELETE", f"/api/user/api-keys/{api_key.key_id}", None),
        ("GET", f"/api/user/api-keys?account={world.account_id}", None),
        ("POST", "/api/user/api-keys", {"account": world.account_id}),
        ("GET", f"/api/v1/accounts/{world.account_id}", None),
    ):
        response = await world.call("other", method, path, body)
        absent = await world.call(
            "other", method, path.replace(key["id"], "cred_" + "0" * 32), body
        )
        assert response.status_code == 404, (method, path, response.text)
        assert response.json()["error"]["code"] == "not_found"
        assert absent.json()["error"]["message"] == response.json()["error"]["message"]
    assert world.lines() == before
    assert (await world.call("other", "GET", "/api/user/provider-keys")).json() == {"keys": []}


async def test_an_operator_reaches_every_account(world: Management) -> None:
    key = await world.add_key("other")
    account = {"account": world.other_id}
    listed = await world.call(
        "operator", "GET", f"/api/user/provider-keys?account={world.other_id}"
    )
    assert [each["id"] for each in listed.json()["keys"]] == [key["id"]]
    path = f"/api/user/provider-keys/{key['id']}"
    assert (await world.call("operator", "PATCH", path, {"disabled": True})).status_code == 200
    issued = await world.call("operator", "POST", "/api/user/api-keys", account)
    assert issued.json()["account_id"] == world.other_id
    revoked = await world.call("operator", "DELETE", f"/api/user/api-keys/{issued.json()['id']}")
    assert revoked.status_code == 200
    nowhere = await world.call(
        "operator", "POST", "/api/user/api-keys", {"account": "acc_" + "0" * 32}
    )
    assert nowhere.status_code == 404
