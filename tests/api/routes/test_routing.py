from __future__ import annotations

from typing import Any

import pytest

from tests.api.management import Management

ROUTING = "/api/user/routing"
BUDGETS = "/api/user/budgets"


async def test_preferences_are_replaced_as_a_whole(world: Management) -> None:
    default = {"providers": [], "fallbacks": False, "on_disconnect": None}
    assert (await world.call("owner", "GET", ROUTING)).json() == default
    sent = {"providers": ["groq", "openai"], "fallbacks": True, "on_disconnect": "drain"}
    assert (await world.call("owner", "PUT", ROUTING, sent)).json() == sent
    assert (await world.call("owner", "GET", ROUTING)).json() == sent
    assert (await world.call("other", "GET", ROUTING)).json() == default
    assert (await world.call("owner", "PUT", ROUTING, {})).json() == default


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"providers": ["openai", "nobody"]}, "providers.1"),
        ({"providers": ["openai", "openai"]}, "providers"),
        ({"providers": "openai"}, "providers"),
        ({"fallbacks": "yes"}, "fallbacks"),
        ({"on_disconnect": "explode"}, "on_disconnect"),
    ],
)
async def test_a_wrong_preference_is_refused(
    world: Management, body: dict[str, Any], param: str
) -> None:
    before = world.log.head()
    response = await world.call("owner", "PUT", ROUTING, body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert world.log.head() == before


async def test_there_are_no_budgets_and_none_is_pretended(world: Management) -> None:
    assert (await world.call("owner", "GET", BUDGETS)).json() == {"budgets": []}
    assert (await world.call("owner", "PUT", BUDGETS, {"budgets": []})).json() == {"budgets": []}
    sent = {"budgets": [{"amount_usd": "10"}]}
    response = await world.call("owner", "PUT", BUDGETS, sent)
    assert (response.status_code, response.json()["error"]["code"]) == (
        400,
        "unsupported_parameter",
    )
