"""Recorded exchanges of real providers, replayed through the running program.

The client asks in OpenAI's words; the recorded answer comes back, whole or in random pieces. The
event's counts, the text and the tool calls that the client gets must be those recorded. Prints
right/total by API (`pytest -s`).
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any, Final

import httpx
import pytest

from tests.e2e.gate import TollGate, asking, new_name
from tests.e2e.plan import Plan
from tests.e2e.program import KEYS, Json
from tests.e2e.recordings import CORPUS, Said, body_of, exchanges, said_in

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


def replayed(exchange: Json, dice: random.Random | None) -> Plan:
    """The recorded answer, whole or in random pieces."""
    body = body_of(exchange)
    headers = {n: v for n, v in exchange["response_headers"].items() if n.lower() not in _HOPS}
    places = sorted(dice.choices(range(len(body) + 1), k=12)) if dice else []
    bounds = zip([0, *places], [*places, len(body)], strict=True)
    pieces: list[Any] = [body[start:end] for start, end in bounds if end > start]
    return Plan(pieces, exchange["status"], headers)


@pytest.mark.parametrize("cut", [False, True])
def test_replay(gate: TollGate, cut: bool) -> None:
    dice = random.Random(7) if cut else None
    asked: dict[str, tuple[Json, httpx.Response]] = {}
    with gate.program.client() as client:
        # Keys of its own, named with each call: some answers refuse them.
        keys = {slug: gate.program.store_key(slug, key) for slug, key in KEYS.items()}
        try:
            for exchange in exchanges():
                name = new_name()
                plan = replayed(exchange, dice)
                gate.upstream.plans[name] = lambda _ask, plan=plan: plan  # type: ignore[misc]
                asked[name] = exchange, _call(client, exchange, name, keys[exchange["slug"]])
        finally:  # other tests share the program
            for key in keys.values():
                assert client.delete(f"/api/user/provider-keys/{key}").status_code == 200
    assert len(asked) > 800
    settled = {
        events[0]["data"]["tags"].get("call"): events[1]
        for events in gate.program.requests().values()
    }
    wrong: dict[str, list[Any]] = {}
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for name, (exchange, answer) in asked.items():
        event = settled.get(name)
        found = problems(exchange, answer, event) if event else [answer.status_code, answer.text]
        total[exchange["api"]] += 1
        right[exchange["api"]] += not found
        if found:
            wrong[f"{exchange['id']} ({exchange['provider']}, {exchange['api']})"] = found
    print("".join(f"\n{api}: {right[api]}/{total[api]} right" for api in sorted(total)))
    for identity, found in wrong.items():
        print(identity, *found, sep="\n    ")
    assert not wrong.keys()


def _call(client: httpx.Client, exchange: Json, name: str, key: str) -> httpx.Response:
    request: Json = exchange["request_body"] or {}
    body = asking(
        "plain",
        name,
        provider=exchange["slug"],
        stream=bool(exchange["stream"]),
        byok={"credential": key},
    )
    body["model"] = exchange["model"] or "unnamed"
    if exchange["api"] == "openai-chat" and request.get("n"):
        body["n"] = request["n"]
    return client.post("/api/v1/chat/completions", json=body)


def problems(exchange: Json, answer: httpx.Response, event: Json) -> list[Any]:
    """What is not as it was recorded."""
    data = event["data"]
    if exchange["status"] != 200:
        failed = event["topic"], data.get("upstream_status"), answer.status_code
        wanted = "request.failed", exchange["status"], _shown_status(exchange)
        return [] if failed == wanted else [failed, wanted, answer.text]
    wrong = _said_wrong(exchange, answer)
    expected = exchange["expected"]
    if expected is None:  # the provider told nothing: an estimate, marked as one
        as_it_should = event["topic"], data.get("reason")
        broke = exchange["stream"] and b"event: error" in body_of(exchange)
        told = ("request.usage-estimated", "cut_off" if broke else "not_reported")
        return wrong if as_it_should == told else [*wrong, as_it_should]
    if event["topic"] != "request.usage-reported":
        return [event["topic"], data.get("reason"), data.get("failure"), answer.text[-300:]]
    return wrong + _counts_wrong(expected, data) + _receipt_wrong(exchange, answer, data)


def _shown_status(exchange: Json) -> int:
    """Our status for the provider's: 5xx are ours, and some say 400 or 403 for a bad key."""
    status: int = exchange["status"]
    body = body_of(exchange)
    if b"API key not valid" in body or b"security token included in the request is invalid" in body:
        return 401
    if b'"model_not_found"' in body:
        return 404
    if b'"insufficient_quota"' in body:
        return 402
    return {500: 502, 529: 503}.get(status, status)


def _counts_wrong(expected: Json, data: Json) -> list[Any]:
    if "cached_exceeds_input" in data["anomalies"]:
        # A part cannot exceed its whole: ours is cut to it, the raw object keeps what was told.
        expected = {**expected, "cached_input_tokens": expected["input_tokens"]}
    wrong: list[Any] = [
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
    return wrong


def _receipt_wrong(exchange: Json, answer: httpx.Response, data: Json) -> list[Any]:
    shown = (
        json.loads(answer.text.split("\n\n")[-3].removeprefix("data: "))
        if exchange["stream"]
        else answer.json()
    )["x_keytoll"]["usage"]
    told = data["usage"]["output_tokens"]
    return [] if shown["output_tokens"] == told else [("receipt", shown, told)]


def _said_wrong(exchange: Json, answer: httpx.Response) -> list[Any]:
    said, got = said_in(exchange), _got(exchange, answer)
    return [
        (mine, its) for mine, its in ((got.text, said.text), (got.calls, said.calls)) if mine != its
    ]


def _got(exchange: Json, answer: httpx.Response) -> Said:
    got = Said()
    if not exchange["stream"]:
        message = answer.json()["choices"][0]["message"]
        got.text = message.get("content") or ""
        calls = message.get("tool_calls") or []
    else:
        pieces: dict[int, Json] = {}
        for line in answer.text.split("\n\n"):
            if not line.startswith("data: {"):
                continue
            for choice in json.loads(line[6:]).get("choices", ()):
                if choice["index"] == 0:
                    got.text += choice["delta"].get("content") or ""
                    _gather(pieces, choice["delta"].get("tool_calls") or [])
        calls = list(pieces.values())
    for call in calls:
        if "custom" in call:
            got.call(call["custom"]["name"], call["custom"]["input"])
        else:
            got.call(call["function"]["name"], call["function"]["arguments"])
    return got


def _gather(pieces: dict[int, Json], calls: list[Json]) -> None:
    for call in calls:
        kept = pieces.setdefault(call["index"], {})
        for kind in ("function", "custom"):
            for name, value in call.get(kind, {}).items():
                into = kept.setdefault(kind, {})
                into[name] = into.get(name, "") + (value or "")
