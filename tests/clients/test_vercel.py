"""The Vercel AI SDK (`@ai-sdk/openai-compatible`) against the running program, every provider."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.clients.conftest import HERE
from tests.e2e.gate import MODELS, TollGate, new_name
from tests.e2e.plan import TEXT
from tests.e2e.program import Json
from tests.e2e.voices import VOICES

pytestmark = [
    pytest.mark.services,
    pytest.mark.parametrize("provider", sorted(VOICES)),
]
NODE_S: Final = 60


def run(node: Path, gate: TollGate, provider: str, scenario: str, name: str) -> Json:
    """What the SDK saw."""
    base_url = f"{gate.program.base_url}/api/v1"
    api_key = gate.program.api_keys["caller"]
    done = subprocess.run(
        [node, "vercel.mjs", base_url, api_key, provider, MODELS[provider], scenario, name],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=NODE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Json = json.loads(done.stdout)
    return found


def check_books(gate: TollGate, name: str, calls: int) -> None:
    """As many calls as the upstream counted, each with its very counts, each as its API wants."""
    served = [each for each in gate.upstream.served if each.name == name]
    assert len(served) == calls
    ends = [events[1] for events in gate.program.tagged(name) if len(events) > 1]
    assert {end["topic"] for end in ends} == {"request.usage-reported"}
    assert sorted(end["data"]["usage"]["output_tokens"] for end in ends) == sorted(
        each.completion_tokens for each in served
    )
    for ask in gate.upstream.asks:
        if ask.name == name:
            assert ask.voice.problems(ask) == []


@pytest.mark.parametrize("scenario", ["text", "stream"])
def test_text(node: Path, gate: TollGate, provider: str, scenario: str) -> None:
    name = new_name()
    found = run(node, gate, provider, scenario, name)
    served = gate.upstream.call(name)
    assert found == {
        "text": TEXT,
        "finishReason": "stop",
        "usage": {"input": served.prompt_tokens, "output": served.completion_tokens},
    }
    check_books(gate, name, 1)


@pytest.mark.parametrize("scenario", ["tools", "tools-stream"])
def test_tools_and_their_results(node: Path, gate: TollGate, provider: str, scenario: str) -> None:
    """The SDK calls the tool, sends its result back, and gets the text."""
    name = new_name()
    found = run(node, gate, provider, scenario, name)
    assert found["inputs"] == [{"city": "Ulm"}]
    assert found["steps"] == 2
    assert found["text"] == TEXT
    if scenario == "tools":
        assert found["outputs"] == ["rain in Ulm"]
    check_books(gate, name, 2)


@pytest.mark.parametrize("scenario", ["object", "object-stream"])
def test_structured_output(node: Path, gate: TollGate, provider: str, scenario: str) -> None:
    name = new_name()
    assert run(node, gate, provider, scenario, name)["object"] == {"city": "Ulm"}
    check_books(gate, name, 1)


def test_a_refusal(node: Path, gate: TollGate, provider: str) -> None:
    found = run(node, gate, provider, "refused", new_name())
    assert found["status"] == 429
    assert "Slow down." in found["error"]
    assert found["retryable"] is True
