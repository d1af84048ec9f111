"""A stranger's upstream (npm @copilotkit/aimock), as a second opinion: its count equals ours.

It checks requests hardly at all, drops cached and reasoning counts, and its Bedrock frames are
broken; so it stands beside the scripted upstream, never for it.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.clients.conftest import HERE
from tests.e2e.gate import asking, new_name, sse
from tests.e2e.program import KEYS, Json, Program

SLUGS: Final = ("openai", "openai-responses", "anthropic", "azure", "google")
HELLO: Final = "Good morning to everyone who pays the toll once."
WEATHER: Final = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
_SERVED: Final = re.compile(
    r'^aimock_requests_total\{method="POST",path="[^"]*",status="\d+"\} (\d+)$', re.MULTILINE
)
START_S: Final = 20.0

pytestmark = pytest.mark.services


@dataclass
class Stranger:
    """keytoll in front of aimock."""

    program: Program
    address: str

    def served(self) -> int:
        """POST requests that the stranger counts."""
        told = httpx.get(f"{self.address}/metrics").text
        return sum(int(count) for count in _SERVED.findall(told))

    def post(self, words: str, name: str, provider: str, **body: Any) -> httpx.Response:
        asked = {
            **asking("", name, provider=provider, **body),
            "messages": [{"role": "user", "content": words}],
        }
        with self.program.client() as client:
            return client.post("/api/v1/chat/completions", json=asked)

    def terminal(self, name: str) -> Json:
        """The one terminal event of the one request of this name."""
        event = self.program.settled(name)
        (events,) = self.program.tagged(name)
        assert len(events) == 2
        return event


@pytest.fixture(scope="module")
def stranger(node: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    folder = tmp_path_factory.mktemp("aimock")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    words = ["-h", "127.0.0.1", "-p", str(port), "-f", str(HERE / "aimock.json")]
    words += ["--strict", "--metrics", "--journal-max", "0", "--log-level", "warn"]
    mock = HERE / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    with (folder / "aimock.log").open("wb") as log:
        process = subprocess.Popen([node, mock, *words], stdout=log, stderr=log)
    try:
        _await_ready(address)
        bases = dict.fromkeys(SLUGS, address) | {
            "openai": f"{address}/v1",
            "openai-responses": f"{address}/v1",
        }
        program = Program(folder, upstreams=bases)
        program.init()
        program.start()
        for slug in SLUGS:
            program.store_key(slug, KEYS[slug])
        yield Stranger(program, address)
        program.stop()
    finally:
        process.kill()
        process.wait()


def _await_ready(address: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            if httpx.get(f"{address}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "aimock did not start"
        time.sleep(0.05)


def text_of(answer: httpx.Response, *, stream: bool) -> str:
    if not stream:
        return str(answer.json()["choices"][0]["message"]["content"])
    chunks = [json.loads(each) for each in sse(answer) if each != "[DONE]"]
    deltas = [c["delta"] for chunk in chunks for c in chunk.get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", SLUGS)
def test_one_call_is_one_call(stranger: Stranger, provider: str, stream: bool) -> None:
    name, before = new_name(), stranger.served()
    answer = stranger.post("say hello", name, provider, stream=stream)
    assert answer.status_code == 200, answer.text
    assert text_of(answer, stream=stream) == HELLO
    event = stranger.terminal(name)
    assert event["topic"] == "request.usage-reported"
    assert event["data"]["usage"]["input_tokens"] == 31
    assert event["data"]["usage"]["output_tokens"] == 12
    assert stranger.served() == before + 1


@pytest.mark.parametrize("provider", SLUGS)
def test_slow_words(stranger: Stranger, provider: str) -> None:
    name, before = new_name(), stranger.served()
    answer = stranger.post("take your time", name, provider, stream=True)
    assert text_of(answer, stream=True).startswith("Here it comes")
    assert stranger.terminal(name)["data"]["first_byte_ms"] is not None
    assert stranger.served() == before + 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", SLUGS)
def test_a_tool(stranger: Stranger, provider: str, stream: bool) -> None:
    name, before = new_name(), stranger.served()
    answer = stranger.post("call the tool", name, provider, stream=stream, tools=[WEATHER])
    assert answer.status_code == 200, answer.text
    assert '\\"city\\":' in answer.text.replace(" ", "")
    assert '"tool_calls"' in answer.text
    stranger.terminal(name)
    assert stranger.served() == before + 1


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [("too fast", 429, "provider_rate_limited"), ("too much", 503, "provider_overloaded")],
)
@pytest.mark.parametrize("provider", SLUGS)
def test_a_refusal(stranger: Stranger, provider: str, words: str, status: int, code: str) -> None:
    name, before = new_name(), stranger.served()
    answer = stranger.post(words, name, provider)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    event = stranger.terminal(name)
    assert event["topic"] == "request.failed"
    assert stranger.served() == before + event["data"]["tries"]


@pytest.mark.parametrize("provider", SLUGS)
def test_a_stream_that_breaks_off(stranger: Stranger, provider: str) -> None:
    """The stranger leaves such a call out of its metrics; our book holds it."""
    name = new_name()
    answer = stranger.post("break off", name, provider, stream=True)
    event = stranger.terminal(name)
    assert event["topic"] == "request.usage-estimated"
    assert event["data"]["reason"] == "cut_off"
    assert event["data"]["usage"]["input_tokens"] > 0
    assert "[DONE]" not in answer.text
