"""Many callers at once over every protocol, some of whom leave: one settled call each."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from tests.e2e.gate import TollGate, asking, new_name

PROVIDERS = ("openai", "openai-responses", "anthropic", "aws", "google", "azure")
DRAINED = {"aws", "google"}
"""Their streams are read to the end when the caller has left."""


async def ask(client: httpx.AsyncClient, provider: str, name: str, leaves_after: int | None) -> int:
    """Stream, and leave after so many chunks; how many there were."""
    body = asking("slow", name, provider=provider, stream=True)
    chunks = 0
    async with client.stream("POST", "/api/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            chunks += line.startswith("data: {")
            if leaves_after is not None and chunks >= leaves_after:
                break
    return chunks


@pytest.mark.parametrize("leaves_after", [None, 4])
async def test_each_call_is_settled_once(gate: TollGate, leaves_after: int | None) -> None:
    names = {new_name(): provider for provider in PROVIDERS for _ in range(4)}
    headers = {"authorization": f"Bearer {gate.program.api_keys['owner']}"}
    async with httpx.AsyncClient(
        base_url=gate.program.base_url, headers=headers, timeout=30
    ) as client:
        await asyncio.gather(*(ask(client, names[name], name, leaves_after) for name in names))
    for name, provider in names.items():
        event = gate.program.settled(name)
        used, served = event["data"]["usage"], gate.upstream.call(name)
        assert len(gate.program.tagged(name)) == 1
        if leaves_after is None or provider in DRAINED:
            assert event["topic"] == "request.usage-reported", json.dumps(event)
            assert used["output_tokens"] == served.completion_tokens
            assert used["input_tokens"] == served.prompt_tokens
        else:
            assert event["data"]["reason"] == "disconnected", json.dumps(event)
            assert 0 <= used["output_tokens"] <= served.completion_tokens
