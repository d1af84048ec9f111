from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.management import Management

KEYS = "/api/user/provider-keys"
AWS = {
    "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "region": "us-east-1",
}
AZURE = {
    "endpoint": "https://myresource.openai.azure.com",
    "apiKey": "0123456789abcdef0123456789abcdef",
    "deploymentName": "gpt-4o",
    "apiVersion": "2024-10-21-preview",
}


async def test_a_stored_key_is_listed_by_its_last_four_characters(world: Management) -> None:
    answer = await world.add_key(key="sk-proj-secretsecret9Qkx", label="work", models=["gpt-4o"])
    assert answer["success"] is True
    assert answer["key_suffix"] == "9Qkx"
    listed = (await world.call("owner", "GET", KEYS)).json()["keys"]
    assert listed == [
        {
            "id": answer["id"],
            "provider": "openai",
            "key_suffix": "9Qkx",
            "label": "work",
            "status": "unverified",
            "status_reason": None,
            "position": 1,
            "models": ["gpt-4o"],
            "disabled": False,
            "created_at": "2026-11-01T00:00:00.000000Z",
            "last_used_at": None,
        }
    ]


async def test_the_last_use_is_shown(world: Management) -> None:
    answer = await world.add_key()
    world.last_used[answer["id"]] = "2026-11-02T00:00:00.000000Z"
    listed = (await world.call("owner", "GET", KEYS)).json()["keys"]
    assert listed[0]["last_used_at"] == "2026-11-02T00:00:00.000000Z"


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(
    ("provider", "key", "suffix"), [("aws", AWS, "MPLE"), ("azure", AZURE, "cdef")]
)
async def test_a_json_credential_is_an_object_or_text_that_holds_one(
    world: Management, provider: str, key: dict[str, str], suffix: str, as_text: bool
) -> None:
    answer = await world.add_key(provider=provider, key=json.dumps(key) if as_text else key)
    assert answer["key_suffix"] == suffix


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"key": "sk-abcdefgh"}, "missing_required_parameter", "provider"),
        ({"provider": "openai"}, "missing_required_parameter", "key"),
        ({"provider": "nobody", "key": "sk-abcdefgh"}, "unknown_provider", "provider"),
        ({"provider": 7, "key": "sk-abcdefgh"}, "invalid_parameter_value", "provider"),
        ({"provider": "openai", "key": ""}, "invalid_parameter_value", "key"),
        ({"provider": "openai", "key": None}, "invalid_parameter_value", "key"),
        ({"provider": "openai", "key": 12345678}, "invalid_parameter_value", "key"),
        ({"provider": "openai", "key": ["sk-abcdefgh"]}, "invalid_parameter_value", "key"),
        ({"provider": "openai", "key": "sk-abc defgh"}, "invalid_parameter_value", "key"),
        ({"provider": "openai", "key": "sk-ant-abcdefgh"}, "invalid_parameter_value", "key"),
        ({"provider": "openai", "key": "sk-admin-abcdefgh"}, "invalid_parameter_value", "key"),
        (
            {"provider": "openai", "key": "sk-abcdefgh", "models": []},
            "invalid_parameter_value",
            "models",
        ),
        (
            {"provider": "openai", "key": "sk-abcdefgh", "models": ["a b"]},
            "invalid_parameter_value",
            "models.0",
        ),
        (
            {"provider": "openai", "key": "sk-abcdefgh", "label": "x" * 101},
            "invalid_parameter_value",
            "label",
        ),
        (
            {"provider": "openai", "key": "sk-abcdefgh", "label": "two\nlines"},
            "invalid_parameter_value",
            "label",
        ),
        (
            {"provider": "openai", "key": "sk-abcdefgh", "validate": "yes"},
            "invalid_parameter_value",
            "validate",
        ),
        (
            {"provider": "openai", "key": "sk-abcdefgh", "modles": []},
            "invalid_parameter_value",
            "modles",
        ),
        (
            {"provider": "aws", "key": {**AWS, "region": "nowhere-1"}},
            "invalid_parameter_value",
            "key.region",
        ),
        (
            {"provider": "aws", "key": {**AWS, "accessKeyId": "short"}},
            "invalid_parameter_value",
            "key.accessKeyId",
        ),
        (
            {"provider": "azure", "key": {**AZURE, "endpoint": "https://evil.example"}},
            "invalid_parameter_value",
            "key.endpoint",
        ),
        (
            {"provider": "azure", "key": {**AZURE, "apiVersion": "soon"}},
            "invalid_parameter_value",
            "key.apiVersion",
        ),
        ([], "invalid_parameter_value", None),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    world: Management, body: Any, code: str, param: str | None
) -> None:
    response = await world.call("owner", "POST", KEYS, body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    assert error["request_id"] == response.headers["x-request-id"]
    assert "abcdefgh" not in response.text
    assert AWS["secretAccessKey"] not in response.text
    assert world.vault.held() == []


async def test_a_secret_in_the_wrong_place_is_not_repeated(world: Management) -> None:
    for body in (
        {"provider": "openai", "key": "sk-abcdefgh", "sk-Secret123": "x"},
        {"provider": "openai", "key": {"sk-Secret123": "x"}},
        {"provider": "aws", "key": {**AWS, "sk-Secret123": "x"}},
        {"provider": "sk-Secret123", "key": "x"},
        {"provider": "aws", "key": '{"accessKeyId": "sk-Secret123'},
        {"provider": "openai", "key": "sk-abcdefgh", "models": "sk-Secret123"},
    ):
        response = await world.call("owner", "POST", KEYS, body)
        assert response.status_code == 400
        assert "Secret123" not in response.text
    for path in (f"{KEYS}/sk-Secret123", f"{KEYS}?provider=sk-Secret123"):
        response = await world.call("owner", "DELETE", path)
        assert response.status_code in {400, 404}
        assert "Secret123" not in response.text


async def test_broken_json_is_said_to_be_broken(world: Management) -> None:
    async with world.client("owner") as client:
        response = await client.post(
            KEYS, content=b'{"provider": "sk-Secret', headers={"content-type": "application/json"}
        )
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_json"
    assert "Secret" not in response.text


async def test_several_keys_of_a_provider_keep_their_order(world: Management) -> None:
    first, second, third = [await world.add_key(label=name) for name in ("a", "b", "c")]
    assert [each["position"] for each in (first, second, third)] == [1, 2, 3]
    moved = await world.call("owner", "PATCH", f"{KEYS}/{third['id']}", {"position": 1})
    assert moved.json()["position"] == 1
    assert await _labels(world) == ["c", "a", "b"]
    await world.call("owner", "PATCH", f"{KEYS}/{third['id']}", {"position": 2})
    assert await _labels(world) == ["a", "c", "b"]
    await world.call("owner", "PATCH", f"{KEYS}/{first['id']}", {"position": 99})
    assert await _labels(world) == ["c", "b", "a"]
    await world.call("owner", "PATCH", f"{KEYS}/{first['id']}", {"position": 0})
    assert await _labels(world) == ["a", "c", "b"]
    await world.call("owner", "DELETE", f"{KEYS}/{third['id']}")
    listed = (await world.call("owner", "GET", KEYS)).json()["keys"]
    assert [(each["label"], each["position"]) for each in listed] == [("a", 1), ("b", 2)]


async def test_a_change_touches_only_what_was_sent(world: Management) -> None:
    key = await world.add_key(label="a", models=["gpt-4o"])
    path = f"{KEYS}/{key['id']}"
    answer = (await world.call("owner", "PATCH", path, {"disabled": True})).json()
    assert (answer["status"], answer["label"], answer["models"]) == ("disabled", "a", ["gpt-4o"])
    answer = (await world.call("owner", "PATCH", path, {"models": None, "label": "b"})).json()
    assert (answer["status"], answer["label"], answer["models"]) == ("disabled", "b", None)
    answer = (await world.call("owner", "PATCH", path, {"disabled": False, "label": None})).json()
    assert (answer["status"], answer["label"], answer["disabled"]) == ("unverified", None, False)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"position": -1}, "position"),
        ({"position": 1.5}, "position"),
        ({"position": True}, "position"),
        ({"position": "1"}, "position"),
        ({"disabled": 1}, "disabled"),
        ({"models": [""]}, "models.0"),
        ({"key": "sk-ant-abcdefgh"}, "key"),
        ({"key": None}, "key"),
        ({"provider": "groq"}, "provider"),
    ],
)
async def test_a_wrong_change_changes_nothing(
    world: Management, body: dict[str, Any], param: str
) -> None:
    key = await world.add_key(label="a")
    before = world.log.head()
    path = f"{KEYS}/{key['id']}"
    response = await world.call("owner", "PATCH", path, {"label": "b", "disabled": True, **body})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert world.log.head() == before
    assert (await world.call("owner", "GET", KEYS)).json()["keys"][0]["label"] == "a"


async def test_rotation_replaces_the_secret_in_place(world: Management) -> None:
    world.checker.says = ("rejected", "invalid_key")
    key = await world.add_key(validate=True)
    assert key["status"] == "rejected"
    path = f"{KEYS}/{key['id']}"
    answer = (await world.call("owner", "PATCH", path, {"key": "sk-proj-another0new1"})).json()
    assert (answer["key_suffix"], answer["status"]) == ("new1", "unverified")
    assert world.vault.held() == [(key["id"], 2)]
    await world.call("owner", "POST", f"{KEYS}/validate", {"id": key["id"]})
    assert world.checker.asked[-1][1] == {"apiKey": "sk-proj-another0new1"}


async def test_removal_destroys_the_secret_and_keeps_the_trail(world: Management) -> None:
    key = await world.add_key(label="private words")
    response = await world.call("owner", "DELETE", f"{KEYS}/{key['id']}")
    assert response.json() == {"success": True}
    assert world.vault.held() == []
    assert (await world.call("owner", "GET", KEYS)).json() == {"keys": []}
    assert world.labels.get(key["id"]) == {}
    assert b"credential.key-removed" in world.lines()
    again = await world.call("owner", "DELETE", f"{KEYS}/{key['id']}")
    assert again.status_code == 404


async def test_removal_by_provider_needs_a_single_key(world: Management) -> None:
    none = await world.call("owner", "DELETE", f"{KEYS}?provider=openai")
    assert none.status_code == 404
    await world.add_key()
    second = await world.add_key()
    two = await world.call("owner", "DELETE", f"{KEYS}?provider=openai")
    assert (two.status_code, two.json()["error"]["param"]) == (400, "provider")
    await world.call("owner", "DELETE", f"{KEYS}/{second['id']}")
    one = await world.call("owner", "DELETE", f"{KEYS}?provider=openai")
    assert one.json() == {"success": True}
    missing = await world.call("owner", "DELETE", KEYS)
    assert missing.json()["error"]["code"] == "missing_required_parameter"


@pytest.mark.parametrize(
    ("outcome", "valid"), [("verified", True), ("rejected", False), ("indeterminate", None)]
)
async def test_validation_says_what_the_provider_said(
    world: Management, outcome: Any, valid: bool | None
) -> None:
    key = await world.add_key()
    world.checker.says = (outcome, "some_reason")
    by_id = await world.call("owner", "POST", f"{KEYS}/validate", {"id": key["id"], "model": "m"})
    assert (by_id.json()["valid"], by_id.json()["status"]) == (valid, outcome)
    assert world.checker.asked == [("openai", {"apiKey": "sk-proj-abcdefghijkl"}, "m")]
    listed = (await world.call("owner", "GET", KEYS)).json()["keys"]
    assert (listed[0]["status"], listed[0]["status_reason"]) == (outcome, "some_reason")

    before = world.log.head()
    sent = {"provider": "openai", "key": "sk-notstored99"}
    by_key = await world.call("owner", "POST", f"{KEYS}/validate", sent)
    assert by_key.json()["valid"] is valid
    assert world.log.head() == before
    assert len(world.vault.held()) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"provider": "openai"},
        {"key": "sk-abcdefgh"},
        {"provider": "openai", "key": "sk-abcdefgh", "id": "cred_" + "0" * 32},
    ],
)
async def test_validation_needs_one_key_to_ask_about(
    world: Management, body: dict[str, str]
) -> None:
    response = await world.call("owner", "POST", f"{KEYS}/validate", body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "missing_required_parameter"


async def test_validating_a_key_under_another_provider_is_refused(world: Management) -> None:
    key = await world.add_key()
    sent = {"id": key["id"], "provider": "groq"}
    response = await world.call("owner", "POST", f"{KEYS}/validate", sent)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "provider")
    assert world.checker.asked == []


async def test_an_account_holds_a_limited_number_of_keys(world: Management) -> None:
    for _ in range(20):
        await world.add_key()
    sent = {"provider": "openai", "key": "sk-abcdefghijkl"}
    response = await world.call("owner", "POST", KEYS, sent)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "limit_reached")
    assert len(world.vault.held()) == 20


async def test_an_unusual_key_is_taken_with_a_remark(world: Management) -> None:
    assert (await world.add_key(provider="groq", key="unusual-key"))["warning"]
    assert (await world.add_key(provider="groq", key="gsk_usualkey"))["warning"] is None


async def test_no_answer_and_no_event_holds_the_secret(world: Management) -> None:
    canary = "sk-proj-CANARYcanary7777"
    key = await world.add_key(key=canary, label="x", validate=True)
    path = f"{KEYS}/{key['id']}"
    texts = [json.dumps(key)]
    for method, where, body in (
        ("GET", KEYS, None),
        ("PATCH", path, {"key": canary, "label": "y"}),
        ("POST", f"{KEYS}/validate", {"id": key["id"]}),
        ("POST", f"{KEYS}/validate", {"provider": "openai", "key": canary}),
        ("POST", KEYS, {"provider": "groq", "key": canary, "models": [canary * 20]}),
        ("DELETE", path, None),
    ):
        texts.append((await world.call("owner", method, where, body)).text)
    texts.append(world.lines().decode())
    assert not [text for text in texts if "CANARY" in text]


async def _labels(world: Management) -> list[str]:
    return [each["label"] for each in (await world.call("owner", "GET", KEYS)).json()["keys"]]
