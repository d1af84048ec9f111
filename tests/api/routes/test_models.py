"""The list of models: whose it is, what it says, and that it is not made anew for each reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from api.providers.catalogue import PROVIDERS
from api.routes.models import LISTS_KEPT_MAX, ModelLists
from pricing.book import Entries, PriceBook
from tests.api.management import BOOKS, Management

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TURN = datetime(2026, 12, 1, tzinfo=UTC)


def row(provider: str, model: str, price: str, **more: Any) -> dict[str, Any]:
    prices = {"input": price, "output": price}
    name = more.pop("id", f"{provider}:{model}:{price}")
    return {"row": {"id": name, "provider": provider, "model": model, "prices": prices, **more}}


def book_of(*entries: dict[str, Any]) -> PriceBook:
    return PriceBook(Entries([json.dumps(each).encode() for each in entries]))


BOOK = book_of(
    row("openai", "m", "2"),
    row("groq", "m", "1", effective_to="2026-12-01T00:00:00.000000Z"),
    row("groq", "m", "3", effective_from="2026-12-01T00:00:00.000000Z"),
    row("groq", "m", "9", batch=True, effective_to="2026-11-15T00:00:00.000000Z"),
    row("groq", "gone", "1", effective_to="2026-10-01T00:00:00.000000Z"),
    row("groq", "gift", "0"),
    row("hyperbolic", "h", "1"),
)


def listed(*slugs: str, now: datetime = NOW) -> dict[str, Any]:
    return dict(ModelLists(PROVIDERS).of(slugs, BOOK, now).entries)


def test_one_entry_per_model_with_every_provider_that_lists_it() -> None:
    entries = listed("groq", "openai")
    assert list(entries) == ["gift", "gone", "m"]
    assert entries["m"]["owned_by"] == "groq"
    assert entries["m"]["providers"] == [
        {
            "slug": "groq",
            "model": "m",
            "pricing": {"input": "1", "output": "1"},
            "free": False,
            "reference": "groq:m:1",
        },
        {
            "slug": "openai",
            "model": "m",
            "pricing": {"input": "2", "output": "2"},
            "free": False,
            "reference": "openai:m:2",
        },
    ]
    assert entries["gone"]["providers"][0]["pricing"] is None
    assert entries["gift"]["providers"][0]["free"] is True


def test_who_serves_only_where_named_is_listed_by_that_name() -> None:
    entries = listed("hyperbolic")
    assert list(entries) == ["hyperbolic/h"]
    assert entries["hyperbolic/h"]["providers"][0]["model"] == "h"


def test_a_list_is_kept_until_a_price_turns() -> None:
    lists = ModelLists(PROVIDERS)
    first = lists.of(("groq",), BOOK, NOW)
    assert lists.of(("groq",), BOOK, TURN - timedelta(microseconds=1)) is first
    turned = lists.of(("groq",), BOOK, TURN)
    assert turned.entries["m"]["providers"][0]["pricing"]["input"] == "3"
    assert json.loads(turned.body)["data"] == list(turned.entries.values())
    assert lists.of(("groq",), BOOK, TURN + timedelta(days=900)) is turned


def test_another_book_is_another_list() -> None:
    lists = ModelLists(PROVIDERS)
    assert (
        lists.of(("groq",), BOOK, NOW).entries != lists.of(("groq",), BOOK.prefix(2), NOW).entries
    )


def test_only_so_many_lists_are_kept() -> None:
    lists = ModelLists(PROVIDERS)
    first = lists.of(("openai",), BOOK, NOW)
    for slug in sorted(PROVIDERS.keys() - {"openai"})[: LISTS_KEPT_MAX - 1]:
        lists.of((slug,), BOOK, NOW)
    assert lists.of(("openai",), BOOK, NOW) is first
    for slug in sorted(PROVIDERS.keys() - {"openai"})[:LISTS_KEPT_MAX]:
        lists.of((slug,), BOOK, NOW)
    assert lists.of(("openai",), BOOK, NOW) is not first


async def test_the_list_is_that_of_the_account_s_keys(world: Management) -> None:
    assert (await world.call("caller", "GET", "/api/v1/models")).json()["data"] == []
    key = await world.add_key()
    found = (await world.call("caller", "GET", "/api/v1/models")).json()
    assert found["object"] == "list"
    book = BOOKS.current
    assert {each["id"] for each in found["data"]} == set(book.models("openai"))
    one = await world.call("owner", "GET", "/v1/models/gpt-4o-mini")
    (offer,) = one.json()["providers"]
    assert (offer["slug"], Decimal(offer["pricing"]["input"])) == ("openai", Decimal("0.15"))
    missing = await world.call("owner", "GET", "/api/v1/models/never-heard-of")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    await world.call("owner", "PATCH", f"/api/user/provider-keys/{key['id']}", {"disabled": True})
    assert (await world.call("caller", "GET", "/api/v1/models")).json()["data"] == []


async def test_operators_see_what_an_account_sees(world: Management) -> None:
    await world.add_key("other")
    path = f"/api/v1/models?account={world.other_id}"
    assert len((await world.call("operator", "GET", path)).json()["data"]) > 100
    told = (await world.call("operator", "GET", f"{path}&explain=gpt-4o-mini")).json()
    assert (told["provider"], told["rule"]) == ("openai", "exact")
    assert (await world.call("owner", "GET", path)).status_code == 404
    assert (await world.call("finance", "GET", "/api/v1/models")).status_code == 403


def test_every_provider_s_models_can_be_listed_at_once() -> None:
    """And every id of the list finds its way when it is asked for."""
    slugs = tuple(slug for slug, each in PROVIDERS.items() if each.dialect is not None)
    made = ModelLists(PROVIDERS).of(slugs, BOOKS.current, NOW)
    assert len(made.entries) > 1000
    assert "gpt-4o-mini" in made.entries
    assert not any(entry["providers"] == [] for entry in made.entries.values())


@pytest.mark.parametrize("status", ["rejected", "disabled"])
async def test_spoilt_keys_list_nothing(world: Management, status: str) -> None:
    key = await world.add_key()
    if status == "rejected":
        world.ledger.check_credential(world.account_id, key["id"], "rejected", "by_hand")
    else:
        world.ledger.disable_credential(world.account_id, key["id"])
    assert (await world.call("owner", "GET", "/api/v1/models")).json()["data"] == []
