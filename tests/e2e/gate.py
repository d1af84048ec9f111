"""A running program, the upstream behind it, and calls through both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import httpx
import openai

from tests.e2e.program import Json, Program
from tests.e2e.upstream import ScriptedUpstream

MODELS: Final = {
    "openai": "gpt-4o-mini",
    "openai-responses": "gpt-4o-mini",
    "anthropic": "claude-sonnet-4-5",
    "openrouter": "meta-llama/llama-3.3-70b-instruct",
    "chutes": "deepseek-ai/DeepSeek-V3",
    "aws": "anthropic.claude-3-5-haiku-20241022-v1:0",
    "azure": "gpt-4o-mini",
    "azure-responses": "gpt-4o-mini",
    "groq": "llama-3.3-70b-versatile",
    "sambanova": "Meta-Llama-3.3-70B-Instruct",
    "vercel": "meta/llama-3.3-70b",
    "novita": "meta-llama/llama-3.3-70b-instruct",
    "akash": "meta-llama/Llama-3.3-70B-Instruct",
    "nvidia": "meta/llama-3.3-70b-instruct",
    "google": "gemini-2.5-flash",
    "hyperbolic": "meta-llama/Llama-3.3-70B-Instruct",
    "morpheus": "llama-3.3-70b",
    "fireworks": "accounts/fireworks/models/llama-v3p3-70b-instruct",
    "together": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "sandbox": "sandbox/echo",
}
_NUMBERS: Final = count(1)


@dataclass
class TollGate:
    """What a test of the whole needs."""

    program: Program
    upstream: ScriptedUpstream
    credentials: dict[str, str]
    _clients: list[openai.OpenAI] = field(default_factory=list)

    def end(self) -> None:
        """Stop in order."""
        for client in self._clients:
            client.close()
        if self.program.running():
            self.program.stop()

    def sdk(self, role: str = "owner", **options: Any) -> openai.OpenAI:
        """The official client, without its own retries."""
        client = openai.OpenAI(
            base_url=f"{self.program.base_url}/api/v1",
            api_key=self.program.api_keys[role],
            **{"max_retries": 0, "timeout": 30, **options},
        )
        self._clients.append(client)
        return client

    def post(
        self, behaviour: str, *, headers: Mapping[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        """A call over plain HTTP, to look at the bytes."""
        name = body.pop("name", None) or new_name()
        with self.program.client() as client:
            return client.post(
                "/api/v1/chat/completions",
                json=asking(behaviour, name, **body),
                headers=dict(headers or {}),
            )


def new_name() -> str:
    """A name that no call has had."""
    return f"call{next(_NUMBERS)}"


def asking(behaviour: str, name: str, *, provider: str = "openai", **body: Any) -> Json:
    """The body of a call that makes the upstream behave so, tagged with its name."""
    byok = {"provider": provider, "tags": {"call": name}, **body.pop("byok", {})}
    return {
        "model": MODELS[provider],
        "messages": [{"role": "user", "content": f"{behaviour} {name}"}],
        "byok": byok,
        **body,
    }


def sse(response: httpx.Response) -> list[str]:
    """The data of each event of a finished stream."""
    assert response.headers["content-type"].startswith("text/event-stream"), response.text
    blocks = response.text.split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [block.removeprefix("data: ") for block in blocks]
