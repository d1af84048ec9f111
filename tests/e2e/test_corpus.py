"""Recorded exchanges of real providers, replayed through the running program."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.e2e.gate import TollGate, asking, new_name
from tests.e2e.plan import Plan
from tests.e2e.program import REPOSITORY, Json

CORPUS: Final = Path(
    os.environ.get("KEYTOLL_CORPUS", REPOSITORY.parent / "shared" / "corpus" / "exchanges.jsonl.gz")
)
KINDS: Final = {("openai", "openai-chat"), ("anthropic", "anthropic-messages")}
UNITS: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)
WRITES: Final = ("cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_HOPS: Final = {"connection", "transfer-encoding", "content-length", "content-encoding"}

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.exists(), reason=f"no recorded exchanges at {CORPUS}"),
]


def exchanges() -> Iterator[Json]:
    with gzip.open(CORPUS, "rt") as lines:
        for line in lines:
            found = json.loads(line)
            if (found["provider"], found["api"]) in KINDS:
                yield found


def replayed(exchange: Json, cut: random.Random | None) -> Plan:
    """The recorded answer, whole or in random pieces."""
    body = exchange["response_body"].encode()
    headers = {n: v for n, v in exchange["response_headers"].items() if n.lower() not in _HOPS}
    places = sorted(cut.choices(range(len(body) + 1), k=12)) if cut else []
    pieces = [
        body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)
    ]
    return Plan([piece for piece in pieces if piece], exchange["status"], headers)


@pytest.mark.parametrize("cut", [False, True])
def test_replay(gate: TollGate, cut: bool) -> None:
    dice = random.Random(7)
    asked: dict[str, tuple[Json, httpx.Response]] = {}
    # Keys of its own, named with each call: some answers refuse them.
    keys = {
        "openai": gate.program.store_key("openai", "sk-proj-corpus0001"),
        "anthropic": gate.program.store_key("anthropic", "sk-ant-corpus0001"),
    }
    with gate.program.client() as client:
        for exchange in exchanges():
            name = new_name()
            plan = replayed(exchange, dice if cut else None)
            gate.upstream.plans[name] = lambda _ask, plan=plan: plan  # type: ignore[misc]
            asked[name] = exchange, _call(client, exchange, name, keys[exchange["provider"]])
        for key in keys.values():
            assert client.delete(f"/api/user/provider-keys/{key}").status_code == 200
    assert len(asked) > 200
    settled = {
        events[0]["data"]["tags"].get("call"): events[1]
        for events in gate.program.requests().values()
    }
    wrong = {}
    for name, (exchange, answer) in asked.items():
        found = _problems(exchange, answer, settled[name])
        if found:
            wrong[exchange["id"]] = found
    assert not wrong


def _call(client: httpx.Client, exchange: Json, name: str, key: str) -> httpx.Response:
    request: Json = exchange["request_body"] or {}
    body = asking(
        "plain",
        name,
        provider=exchange["provider"],
        stream=bool(exchange["stream"]),
        byok={"credential": key},
    )
    body["model"] = exchange["model"]
    if exchange["provider"] == "openai" and request.get("n"):
        body["n"] = request["n"]
    return client.post("/api/v1/chat/completions", json=body)


def _problems(exchange: Json, answer: httpx.Response, event: Json) -> list[Any]:
    data = event["data"]
    if exchange["status"] != 200:
        failed = (
            event["topic"] == "request.failed" and data["upstream_status"] == exchange["status"]
        )
        expected = {401: 401, 404: 404}.get(exchange["status"], exchange["status"])
        return [] if failed and answer.status_code == expected else [event, answer.text]
    expected = exchange["expected"]
    if expected is None:  # the provider told nothing: an estimate, marked as one
        as_it_should = event["topic"], data.get("reason")
        return [] if as_it_should == ("request.usage-estimated", "not_reported") else [event]
    if event["topic"] != "request.usage-reported":
        return [event["topic"], data.get("reason"), data.get("failure"), answer.text[-300:]]
    wrong = [
        (unit, expected[unit], data["usage"].get(unit))
        for unit in UNITS
        if expected[unit] != data["usage"].get(unit)
    ]
    # Of the records this unit is the total; ours is what is neither of the two (API.md 7).
    written = [data["usage"][unit] for unit in WRITES if unit in data["usage"]]
    if (sum(written) if written else None) != expected["cache_write_tokens"]:
        wrong.append(("cache writes", expected["cache_write_tokens"], written))
    if expected.get("model") != data["model"]:
        wrong.append(("model", expected.get("model"), data["model"]))
    receipt = (
        json.loads(answer.text.split("\n\n")[-3].removeprefix("data: "))
        if exchange["stream"]
        else answer.json()
    )["x_keytoll"]
    if receipt["usage"]["output_tokens"] != data["usage"]["output_tokens"]:
        wrong.append(("receipt", receipt["usage"], data["usage"]))
    return wrong
