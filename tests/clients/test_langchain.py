"""LangChain's ChatOpenAI against the running program, every provider."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from tests.clients.test_vercel import check_books
from tests.e2e.gate import MODELS, TollGate, new_name
from tests.e2e.plan import TEXT
from tests.e2e.voices import VOICES

pytestmark = [
    pytest.mark.services,
    pytest.mark.parametrize("provider", sorted(VOICES)),
]


class City(BaseModel):
    """Where somebody is."""

    city: str


def chat(gate: TollGate, provider: str, name: str, **more: Any) -> Any:
    """The client as its manual says, with keytoll's base URL."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - of the services group only

    return ChatOpenAI(
        base_url=f"{gate.program.base_url}/api/v1",
        api_key=gate.program.api_keys["caller"],
        model=MODELS[provider],
        max_retries=0,
        stream_usage=True,
        use_responses_api=False,
        default_headers={"x-byok-provider": provider, "x-keytoll-tags": f"call={name}"},
        **more,
    )


def test_text(gate: TollGate, provider: str) -> None:
    name = new_name()
    answer = chat(gate, provider, name).invoke(f"plain {name}")
    served = gate.upstream.call(name)
    assert answer.content == TEXT
    assert answer.usage_metadata["input_tokens"] == served.prompt_tokens
    assert answer.usage_metadata["output_tokens"] == served.completion_tokens
    check_books(gate, name, 1)


def test_stream(gate: TollGate, provider: str) -> None:
    name = new_name()
    pieces = list(chat(gate, provider, name).stream(f"plain {name}"))
    served = gate.upstream.call(name)
    assert "".join(piece.content for piece in pieces) == TEXT
    (usage,) = [piece.usage_metadata for piece in pieces if piece.usage_metadata]
    assert usage["output_tokens"] == served.completion_tokens
    check_books(gate, name, 1)


async def test_async_stream(gate: TollGate, provider: str) -> None:
    name = new_name()
    async with httpx.AsyncClient(verify=False) as own:  # not the one it keeps for other loops
        client = chat(gate, provider, name, http_async_client=own)
        said = [piece.content async for piece in client.astream(f"plain {name}")]
    assert "".join(said) == TEXT
    check_books(gate, name, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_their_results(gate: TollGate, provider: str, stream: bool) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage  # noqa: PLC0415
    from langchain_core.tools import tool  # noqa: PLC0415

    def weather(city: str) -> str:
        """The weather in a city."""
        return f"rain in {city}"

    name = new_name()
    bound = chat(gate, provider, name).bind_tools([tool(weather)])
    asked = HumanMessage(f"plain {name}")
    if stream:
        first = None
        for piece in bound.stream([asked]):
            first = piece if first is None else first + piece
    else:
        first = bound.invoke([asked])
    assert first is not None
    (call,) = first.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Ulm"})
    result = ToolMessage(weather(**call["args"]), tool_call_id=call["id"])
    assert bound.invoke([asked, first, result]).content == TEXT
    check_books(gate, name, 2)


def test_structured_output(gate: TollGate, provider: str) -> None:
    name = new_name()
    client = chat(gate, provider, name).with_structured_output(City, method="json_schema")
    assert client.invoke(f"object {name}") == City(city="Ulm")
    check_books(gate, name, 1)
