"""/openapi.json tells what the management routes take and give."""

from __future__ import annotations

from typing import Any

from api.routes.schemas import NewProviderKey, ProviderKeyChange, ProviderKeyProbe
from tests.api.management import Management


async def test_every_operation_names_its_answers_and_its_error(world: Management) -> None:
    described = world.app.openapi()
    count = 0
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            count += 1
            answers = operation["responses"]
            assert "422" not in answers, (method, path)
            assert reference(answers["default"]) == "ErrorAnswer"
            success = answers.get("200") or answers["201"]
            assert reference(success) in described["components"]["schemas"]
            assert operation["security"], (method, path)
            assert operation["summary"]
            assert operation["description"]
    assert count > 15


async def test_a_key_is_described_as_text_or_object_and_never_answered(world: Management) -> None:
    schemas = world.app.openapi()["components"]["schemas"]
    key = schemas["NewProviderKey"]["properties"]["key"]
    assert key["anyOf"] == [{"type": "string"}, {"type": "object"}]
    assert key["writeOnly"] is True
    assert "key" not in schemas["ProviderKey"]["properties"]
    assert "key" not in schemas["StoredProviderKey"]["properties"]


def test_a_body_does_not_print_its_secret() -> None:
    for body in (
        NewProviderKey(provider="openai", key="sk-CANARY"),
        ProviderKeyChange(key={"apiKey": "sk-CANARY"}),
        ProviderKeyProbe(provider="openai", key="sk-CANARY"),
    ):
        assert "CANARY" not in repr(body)
        assert "CANARY" not in str(body)


def reference(answer: dict[str, Any]) -> str:
    name: str = answer["content"]["application/json"]["schema"]["$ref"]
    return name.rsplit("/", 1)[1]
