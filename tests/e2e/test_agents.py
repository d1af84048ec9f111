"""What developers do with openai's SDK beyond `create`: its stream helper, its own messages sent
back as they came, and typed answers, over every protocol."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from tests.e2e.gate import MODELS, TollGate, new_name
from tests.e2e.test_sdk import WEATHER

PROVIDERS = (
    *("openai-responses", "anthropic", "aws", "google", "azure", "azure-responses"),
    *("groq", "fireworks", "openrouter"),
)


class City(BaseModel):
    city: str


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_turn_of_an_agent(gate: TollGate, provider: str) -> None:
    chat = gate.sdk().chat.completions
    begun, ended = new_name(), new_name()
    messages: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": f"plain {begun}"},
    ]
    asked: dict[str, Any] = {"model": MODELS[provider], "messages": messages, "tools": [WEATHER]}
    with chat.stream(**asked, extra_body=byok(provider, begun)) as stream:
        for _ in stream:
            pass
        said = stream.get_final_completion().choices[0].message
    assert said.tool_calls
    messages.append(said.model_dump())  # with its nulls, and whatever else the SDK keeps in it
    for call in said.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})
    messages.append({"role": "user", "content": f"plain {ended}"})
    chat.create(**asked, extra_body=byok(provider, ended))
    for name in (begun, ended):
        assert gate.program.settled(name)["topic"] == "request.usage-reported"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_typed_answer(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = gate.sdk().chat.completions.parse(
        model=MODELS[provider],
        messages=[{"role": "user", "content": f"object {name}"}],
        response_format=City,
        extra_body=byok(provider, name),
    )
    assert answer.choices[0].message.parsed == City(city="Ulm")
    assert gate.program.settled(name)["topic"] == "request.usage-reported"


def byok(provider: str, name: str) -> dict[str, Any]:
    return {"byok": {"provider": provider, "tags": {"call": name}}}
