"""Every recorded answer of Responses: counts, text, thoughts, tools and refusals.

Amazon, Azure, DeepSeek and OpenRouter speak it too; all are read by the one dialect.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from api.providers.port import ChatCall, Chunk, Outcome
from api.providers.responses.dialect import Responses
from tests.api.providers.test_corpus import CORPUS, UNITS, WRITES, body_of
from tests.instants import AT

Json = dict[str, Any]

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.exists(), reason="no recorded exchanges beside the checkout"),
]
ANSWERS = {"aws": 8, "azure-responses": 14, "deepseek": 8, "openai-responses": 90, "openrouter": 3}
"""How many answers with status 200 there are of each."""
SEVERAL = "openai-responses-bfd14fce385c"
"""The answers to four calls, one behind the other: all is said, the last one's usage counts."""
REFUSALS = {
    "deepseek-d38b5e710ef3": ("bad_request", None),
    "openai-responses-5693009073a3": ("credential_invalid", None),
    "openai-responses-6d648c72a21f": ("credential_invalid", None),
    "openai-responses-88ba389773fd": ("not_found", "model_not_found"),
    "openai-responses-bedb69f1d66c": ("credential_out_of_money", None),
    "openai-responses-c70f525dad96": ("bad_request", None),
}


def exchanges() -> Iterator[Json]:
    with gzip.open(CORPUS, "rt") as lines:
        for line in lines:
            exchange = json.loads(line)
            if exchange["api"] == "openai-responses":
                yield exchange


def read(exchange: Json, sizes: tuple[int, ...]) -> tuple[list[Chunk], Outcome, str]:
    chance = random.Random(7)
    stream, model = bool(exchange["stream"]), exchange["model"] or "?"
    call = ChatCall(body={}, model=model, stream=stream, wants_usage=True, choices=1, at=AT)
    reader = Responses().reader(call, exchange["response_headers"])
    body = body_of(exchange)
    chunks: list[Chunk] = []
    at = 0
    while at < len(body):
        size = chance.choice(sizes)
        chunks.extend(reader.feed(body[at : at + size]))
        at += size
    outcome = reader.finish()
    return [*chunks, *outcome.tail], outcome, reader.received_text()


def recorded(exchange: Json) -> Json:
    """What the finished responses of the recording say."""
    body = body_of(exchange).decode()
    if exchange["stream"]:
        events = (line[5:] for line in body.splitlines() if line.startswith("data:"))
        told = [json.loads(event) for event in events if event.strip() != "[DONE]"]
        responses = [each["response"] for each in told if each["type"] == "response.completed"]
    else:
        responses = [json.loads(body)]
    said: Json = {"content": "", "refusal": "", "thoughts": [], "calls": []}
    for item in (item for response in responses for item in response["output"]):
        if item["type"] == "message":
            for part in item["content"]:
                said["content"] += part.get("text", "")
                said["refusal"] += part.get("refusal", "")
        elif item["type"] == "reasoning":
            thoughts = item["summary"] or item.get("content") or ()
            said["thoughts"] += [each["text"] for each in thoughts]
        elif item["type"] == "function_call":
            said["calls"].append((item["call_id"], item["name"], item["arguments"]))
    said["thoughts"] = "\n\n".join(said["thoughts"])
    calls = any(item["type"] == "function_call" for item in responses[-1]["output"])
    said["reason"] = "tool_calls" if calls else "stop"
    return said


def heard(objects: list[Json]) -> Json:
    """The same, as a client puts it together out of what it is given."""
    said: Json = {"content": "", "refusal": "", "thoughts": "", "calls": [], "reason": None}
    calls: dict[int, list[str]] = {}
    for choice in (choice for each in objects for choice in each["choices"]):
        message = choice.get("delta") or choice.get("message") or {}
        said["content"] += message.get("content") or ""
        said["refusal"] += message.get("refusal") or ""
        said["thoughts"] += message.get("reasoning_content") or ""
        said["reason"] = choice["finish_reason"] or said["reason"]
        for place, call in enumerate(message.get("tool_calls") or []):
            kept = calls.setdefault(call.get("index", place), ["", "", ""])
            function = call["function"]
            texts = (call.get("id"), function.get("name"), function.get("arguments"))
            for at, text in enumerate(texts):
                kept[at] += text or ""
    said["calls"] = [tuple(call) for _, call in sorted(calls.items())]
    return said


@pytest.mark.parametrize("provider", sorted(ANSWERS))
def test_counts_text_and_tools(provider: str) -> None:
    seen = 0
    for exchange in exchanges():
        if exchange["status"] != 200 or exchange["provider"] != provider:
            continue
        seen += 1
        who = exchange["id"]
        chunks, outcome, _ = whole = read(exchange, (1 << 30,))
        for sizes in ((1, 2, 3, 9, 70), (500, 4000)):
            assert read(exchange, sizes) == whole, who
        assert outcome.failure is None, who
        assert outcome.ended, who
        given = [json.loads(chunk.data) for chunk in chunks] or [json.loads(outcome.answer)]
        assert heard(given) == recorded(exchange), who
        assert outcome.complete_usage, who
        check_counts(exchange, outcome)
    assert seen == ANSWERS[provider]


def check_counts(exchange: Json, outcome: Outcome) -> None:
    who, expected = exchange["id"], exchange["expected"]
    assert outcome.model == expected["model"], who
    assert outcome.anomalies == (["several_responses"] if who == SEVERAL else []), who
    for unit in UNITS:
        assert outcome.usage.get(unit) == expected[unit], (who, unit)
    written = [outcome.usage[unit] for unit in WRITES if unit in outcome.usage]
    assert (sum(written) if written else None) == expected["cache_write_tokens"], who


def test_every_provider_of_the_protocol_is_looked_at() -> None:
    assert {exchange["provider"] for exchange in exchanges()} == set(ANSWERS)


def test_refusals_are_understood() -> None:
    told = {}
    for exchange in exchanges():
        if exchange["status"] != 200:
            failure = Responses().failure(
                exchange["status"], exchange["response_headers"], body_of(exchange)
            )
            told[exchange["id"]] = (failure.kind, failure.code)
            assert not failure.message.startswith("The provider answered")
    assert told == REFUSALS


def test_an_answer_that_breaks_off_anywhere_keeps_what_was_learned() -> None:
    chance = random.Random(11)
    for exchange in exchanges():
        if exchange["status"] != 200 or not exchange["stream"] or exchange["id"] == SEVERAL:
            continue
        body = body_of(exchange)
        end = body.rindex(b"response.completed")
        cut = {**exchange, "response_body": "", "response_body_encoding": "text"}
        cut["response_body"] = body[: chance.randrange(1, end)].decode(errors="ignore")
        _, outcome, text = read(cut, (1 << 30,))
        assert not outcome.ended, exchange["id"]
        assert not outcome.complete_usage, exchange["id"]
        assert bool(text) <= outcome.generated, exchange["id"]
        assert read(exchange, (1 << 30,))[2].startswith(text), exchange["id"]
