"""A key that is limited to some models must not reach others by another field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.providers.catalogue import PROVIDERS, Provider
from api.providers.further_models import HIDDEN
from api.providers.port import ChatCall
from tests.instants import AT


def tool(**more: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": more}}]}


@pytest.mark.parametrize(
    ("slug", "body", "models"),
    [
        ("openrouter", {"models": ["a/one", "b/two"], "route": "fallback"}, {"a/one", "b/two"}),
        (
            "openrouter",
            {"plugins": [{"id": "auto-router", "allowed_models": ["a/*"]}, {"id": "web"}]},
            {"a/*"},
        ),
        ("openrouter", {"preset": "mine"}, {HIDDEN}),
        ("openrouter", {"tools": [{"type": "image", "parameters": {"model": "x/y"}}]}, {"x/y"}),
        ("openrouter", tool(properties={"model": {"type": "string"}}), set()),
        ("openrouter", {"provider": {"order": ["x"]}, "messages": [{"model": "no"}]}, set()),
        ("vercel", {"providerOptions": {"gateway": {"models": ["c/three"]}}}, {"c/three"}),
        ("vercel", {"models": "d/four"}, {"d/four"}),
        (
            "groq",
            {"compound_custom": {"models": {"answering_model": "e", "reasoning_model": "f"}}},
            {"e", "f"},
        ),
        ("morpheus", {"session_id": "0xab"}, {HIDDEN}),
        ("openai", {"models": ["ignored, for it is never sent"]}, set()),
    ],
)
def test_what_a_body_names(slug: str, body: dict[str, Any], models: set[str]) -> None:
    assert PROVIDERS[slug].further_models({"model": "m", **body}) == models


GATEWAYS = ("openrouter", "vercel")
STAND_INS: dict[str, Any] = {
    "models": ["a/one"],
    "preset": "mine",
    "route": "fallback",
    "provider": {"order": ["x"]},
    "providerOptions": {"gateway": {"models": ["b/two"]}},
}


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in PROVIDERS.values()
        if row.dialect is not None
        and row.dialect.name == "openai.chat"
        and row.slug not in (*GATEWAYS, "azure", "sandbox")
    ],
    ids=lambda row: row.slug,
)
def test_stand_ins_are_sent_to_gateways_only(row: Provider) -> None:
    assert row.dialect is not None
    messages = [{"role": "user", "content": "Hi"}]
    call = ChatCall(
        body={"messages": messages, **STAND_INS},
        model="m",
        stream=False,
        wants_usage=False,
        choices=1,
        at=AT,
    )
    request = row.dialect.request(call, {"apiKey": "k" * 20}, "https://a.test")
    assert not json.loads(request.body).keys() & STAND_INS.keys()


def test_a_gateway_gets_its_own() -> None:
    for slug, not_sent in (("openrouter", {"providerOptions"}), ("vercel", {"preset", "route"})):
        dialect = PROVIDERS[slug].dialect
        assert dialect is not None
        call = ChatCall(
            body={"messages": [], **STAND_INS},
            model="m",
            stream=False,
            wants_usage=False,
            choices=1,
            at=AT,
        )
        sent = json.loads(dialect.request(call, {"apiKey": "k" * 20}, "https://a.test").body)
        assert "models" in sent
        assert not sent.keys() & not_sent
