"""Exchanges recorded from Google's service: usage, text and tool calls as they were.

The recordings are kept beside the checkout (see test_corpus.py).
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from api.providers.gemini.dialect import Gemini
from api.providers.port import ChatCall, Chunk, Outcome
from tests.api.providers import test_corpus as corpus
from tests.instants import AT

pytestmark = corpus.pytestmark
UNITS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


def exchanges() -> Iterator[dict[str, Any]]:
    with gzip.open(corpus.CORPUS, "rt") as lines:
        for line in lines:
            exchange = json.loads(line)
            if exchange["api"] in ("gemini", "gemini-stream"):
                yield exchange


def read(exchange: dict[str, Any], sizes: tuple[int, ...]) -> tuple[Outcome, list[Chunk], str]:
    chance = random.Random(exchange["id"])
    call = ChatCall(
        body={},
        model=exchange["model"],
        stream=exchange["api"] == "gemini-stream",
        wants_usage=True,
        choices=1,
        at=AT,
    )
    reader = Gemini().reader(call, exchange["response_headers"])
    body, at = corpus.body_of(exchange), 0
    chunks: list[Chunk] = []
    while at < len(body):
        size = chance.choice(sizes)
        chunks.extend(reader.feed(body[at : at + size]))
        at += size
    outcome = reader.finish()
    return outcome, [*chunks, *outcome.tail], reader.received_text()


def recorded(exchange: dict[str, Any]) -> tuple[str, str, list[tuple[str, Any]]]:
    """(text, thoughts, tool calls) of the first candidate, read straight from the recording."""
    text = corpus.body_of(exchange).decode()
    if text.lstrip().startswith(("[", "{")):
        found = json.loads(text)
        responses = found if isinstance(found, list) else [found]
    else:
        lines = text.splitlines()
        responses = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
    said = {False: "", True: ""}
    calls: list[tuple[str, Any]] = []
    for response in responses:
        for part in response["candidates"][0]["content"].get("parts", []):
            said[part.get("thought", False)] += part.get("text", "")
            called = part.get("functionCall", {})
            if "name" in called:
                calls.append((called["name"], called.get("args", {})))
            for piece in called.get("partialArgs", []):
                name = piece["jsonPath"].removeprefix("$.")
                calls[-1][1][name] = calls[-1][1].get(name, "") + piece["stringValue"]
    return said[False], said[True], calls


def given(outcome: Outcome, chunks: list[Chunk]) -> tuple[str, str, list[tuple[str, Any]]]:
    """The same out of what the client gets."""
    if outcome.answer:
        messages = [json.loads(outcome.answer)["choices"][0]["message"]]
    else:
        choices = [choice for chunk in chunks for choice in json.loads(chunk.data)["choices"]]
        messages = [choice["delta"] for choice in choices]
    calls = [call["function"] for message in messages for call in message.get("tool_calls", [])]
    return (
        "".join(message.get("content") or "" for message in messages),
        "".join(message.get("reasoning_content", "") for message in messages),
        [(call["name"], json.loads(call["arguments"])) for call in calls],
    )


def test_answers_are_what_was_recorded() -> None:
    seen = 0
    for exchange in exchanges():
        if exchange["status"] != 200:
            continue
        outcome, chunks, text = read(exchange, (10**9,))
        for sizes in ((1, 2, 3, 9, 70), (500, 4000)):
            assert read(exchange, sizes) == (outcome, chunks, text), exchange["id"]
        assert outcome.failure is None, exchange["id"]
        assert outcome.ended, exchange["id"]
        assert outcome.complete_usage, exchange["id"]
        expected = exchange["expected"]
        assert outcome.model == expected["model"], exchange["id"]
        for unit in UNITS:
            assert outcome.usage.get(unit) == expected[unit], (exchange["id"], unit)
        assert given(outcome, chunks) == recorded(exchange), exchange["id"]
        assert all(raw in exchange["response_body"] for raw in outcome.usage_raw), exchange["id"]
        seen += 1
    assert seen >= 90


@pytest.mark.parametrize(("status", "kind"), [(400, "bad_request"), (404, "not_found")])
def test_refusals_are_understood(status: int, kind: str) -> None:
    seen = 0
    for exchange in exchanges():
        if exchange["status"] != status:
            continue
        body = corpus.body_of(exchange)
        failure = Gemini().failure(status, exchange["response_headers"], body)
        wanted = "credential_invalid" if b"API_KEY_INVALID" in body else kind
        assert failure.kind == wanted, exchange["id"]
        assert failure.code == ("model_not_found" if status == 404 else None), exchange["id"]
        seen += 1
    assert seen >= 3
