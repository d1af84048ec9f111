from __future__ import annotations

from typing import Any

import pytest

from tests.api.management import Management

ACCOUNTS = "/api/v1/accounts"


async def test_an_opened_account_has_an_owner(world: Management) -> None:
    sent = {"name": "Ministry of Tests", "default_tags": {"team": "a"}}
    response = await world.call("operator", "POST", ACCOUNTS, sent)
    assert response.status_code == 201
    opened = response.json()
    secret = opened.pop("api_keys")["owner"]
    assert opened == {
        "id": opened["id"],
        "name": "Ministry of Tests",
        "suspended": False,
        "currency": "USD",
        "markup_rate": "0.05",
        "markups": [],
        "tax": {"rate": "0", "note": ""},
        "default_tags": {"team": "a"},
        "created_at": "2026-11-01T00:00:00.000000Z",
        "version": 2,
    }
    world.secrets["new"] = secret
    seen = await world.call("new", "GET", f"{ACCOUNTS}/{opened['id']}")
    assert seen.json() == opened
    assert b"Ministry" not in world.lines()
    assert secret.encode() not in world.lines()


async def test_accounts_are_listed_in_pages(world: Management) -> None:
    for _ in range(3):
        await world.call("operator", "POST", ACCOUNTS, {})
    everything = (await world.call("finance", "GET", ACCOUNTS)).json()
    ids = [each["id"] for each in everything["accounts"]]
    assert (ids[:2], len(ids)) == ([world.account_id, world.other_id], 5)
    assert everything["next"] is None
    pages, after = [], ""
    while True:
        page = (await world.call("auditor", "GET", f"{ACCOUNTS}?limit=2{after}")).json()
        pages.append([each["id"] for each in page["accounts"]])
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert pages == [ids[:2], ids[2:4], ids[4:]]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many"])
async def test_a_wrong_page_is_refused(world: Management, query: str) -> None:
    response = await world.call("operator", "GET", f"{ACCOUNTS}?{query}")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "limit")


async def test_a_suspended_account_is_told_so_until_it_is_resumed(world: Management) -> None:
    path = f"{ACCOUNTS}/{world.other_id}"
    suspended = await world.call("operator", "PATCH", path, {"suspended": True})
    assert suspended.json()["suspended"] is True
    refused = await world.call("other", "GET", "/api/user/provider-keys")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "account_suspended")
    await world.call("operator", "PATCH", path, {"suspended": False})
    assert (await world.call("other", "GET", "/api/user/provider-keys")).status_code == 200


async def test_the_operator_cannot_lock_itself_out(world: Management) -> None:
    path = f"{ACCOUNTS}/{world.account_id}"
    await world.call("operator", "PATCH", path, {"suspended": True})
    assert (await world.call("owner", "GET", "/api/user/routing")).status_code == 403
    assert (await world.call("finance", "GET", ACCOUNTS)).status_code == 200
    resumed = await world.call("operator", "PATCH", path, {"suspended": False})
    assert resumed.json()["suspended"] is False


async def test_a_change_touches_only_what_was_sent(world: Management) -> None:
    path = f"{ACCOUNTS}/{world.other_id}"
    await world.call("operator", "PATCH", path, {"name": "a", "default_tags": {"team": "a"}})
    answer = (await world.call("operator", "PATCH", path, {"suspended": True})).json()
    assert (answer["name"], answer["default_tags"]) == ("a", {"team": "a"})
    answer = (await world.call("operator", "PATCH", path, {"name": None})).json()
    assert (answer["name"], answer["default_tags"], answer["suspended"]) == (
        None,
        {"team": "a"},
        True,
    )
    answer = (await world.call("operator", "PATCH", path, {"default_tags": {}})).json()
    assert answer["default_tags"] == {}


async def test_a_tax_is_set(world: Management) -> None:
    path = f"{ACCOUNTS}/{world.other_id}"
    sent = {"tax": {"rate": "0.190", "note": "VAT 19 %"}}
    answer = (await world.call("operator", "PATCH", path, sent)).json()
    assert answer["tax"] == {"rate": "0.19", "note": "VAT 19 %"}
    view = world.directory.account(world.other_id)
    assert view is not None
    assert (view.tax_rate, view.tax_note) == ("0.19", "VAT 19 %")


async def test_a_markup_holds_from_its_instant(world: Management) -> None:
    path = f"{ACCOUNTS}/{world.other_id}/markup"
    first = await world.call("operator", "PUT", path, {"rate": "0.030"})
    assert first.json()["markup_rate"] == "0.03"
    later = {"rate": "0.1", "from": "2026-12-01T00:00:00+01:00"}
    answer = (await world.call("operator", "PUT", path, later)).json()
    assert answer["markup_rate"] == "0.03"
    assert answer["markups"] == [
        {"rate": "0.03", "from": "2026-11-01T00:00:00.000000Z"},
        {"rate": "0.1", "from": "2026-11-30T23:00:00.000000Z"},
    ]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "rate"),
        ({"rate": 0.05}, "invalid_parameter_value", "rate"),
        ({"rate": "5%"}, "invalid_parameter_value", "rate"),
        ({"rate": "1.5"}, "invalid_parameter_value", "rate"),
        ({"rate": "0.0000001"}, "invalid_parameter_value", "rate"),
        ({"rate": "0.05", "from": "tomorrow"}, "invalid_parameter_value", "from"),
        ({"rate": "0.05", "from": "2026-10-01"}, "invalid_parameter_value", "from"),
        ({"rate": "0.05", "from": 5}, "invalid_parameter_value", "from"),
        ({"rate": "0.05", "effective_from": "2026-12-01"}, "invalid_parameter_value", None),
    ],
)
async def test_a_wrong_markup_is_refused(
    world: Management, body: dict[str, Any], code: str, param: str | None
) -> None:
    world.ledger.agree_markup(world.other_id, rate="0.02")
    before = world.log.head()
    path = f"{ACCOUNTS}/{world.other_id}/markup"
    response = await world.call("operator", "PUT", path, body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["code"] == code
    if param is not None:
        assert error["param"] == param
    assert world.log.head() == before


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"suspended": "yes"}, "suspended"),
        ({"name": "x" * 101}, "name"),
        ({"tax": {"rate": "2"}}, "tax.rate"),
        ({"tax": {"rate": 0.19}}, "tax.rate"),
        ({"tax": {"rate": "0.19", "note": "two\nlines"}}, "tax.note"),
        ({"default_tags": {"a b": "c"}}, "default_tags"),
        ({"default_tags": {"a": 1}}, "default_tags.a"),
        ({"default_tags": {f"t{n}": "v" for n in range(9)}}, "default_tags"),
    ],
)
async def test_a_wrong_change_changes_nothing(
    world: Management, body: dict[str, Any], param: str
) -> None:
    path = f"{ACCOUNTS}/{world.other_id}"
    response = await world.call("operator", "PATCH", path, {"suspended": True, **body})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert (await world.call("operator", "GET", path)).json()["suspended"] is False


@pytest.mark.parametrize("account", ["acc_" + "0" * 32, "nonsense", "cred_" + "0" * 32])
async def test_an_account_that_is_not_there(world: Management, account: str) -> None:
    for method, path, body in (
        ("GET", f"{ACCOUNTS}/{account}", None),
        ("PATCH", f"{ACCOUNTS}/{account}", {"suspended": True}),
        ("PUT", f"{ACCOUNTS}/{account}/markup", {"rate": "0.05"}),
        ("GET", f"{ACCOUNTS}?after={account}", None),
    ):
        response = await world.call("operator", method, path, body)
        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
