"""Bedrock's exchanges recorded from the real service, kept beside the checkout (test_corpus.py)."""

from __future__ import annotations

import base64
import gzip
import json
import random
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from api.providers.converse.dialect import Converse
from api.providers.port import ChatCall, Chunk, Outcome
from domain.usage import check_usage
from tests.api.providers.test_corpus import CORPUS, UNITS, WRITES
from tests.instants import AT

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.exists(), reason="no recorded exchanges beside the checkout"),
]
Said = tuple[str, str, list[tuple[str, str, Any]]]
"""Text, thoughts, and calls as (id, name, arguments)."""
_WORDS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def exchanges() -> Iterator[tuple[dict[str, Any], bytes]]:
    with gzip.open(CORPUS, "rt") as lines:
        for line in lines:
            found = json.loads(line)
            if found["api"].startswith("bedrock-converse"):
                body = found["response_body"]
                text = found["response_body_encoding"] == "text"
                yield found, body.encode() if text else base64.b64decode(body)


def read(exchange: dict[str, Any], pieces: Sequence[bytes]) -> tuple[list[Chunk], Outcome, str]:
    call = ChatCall(
        body={},
        model=exchange["model"],
        stream=bool(exchange["stream"]),
        wants_usage=True,
        choices=1,
        at=AT,
    )
    reader = Converse().reader(call, exchange["response_headers"])
    chunks = [chunk for piece in pieces for chunk in reader.feed(piece)]
    outcome = reader.finish()
    return [*chunks, *outcome.tail], outcome, reader.received_text()


def cut(body: bytes, sizes: Sequence[int], chance: random.Random) -> list[bytes]:
    pieces, at = [], 0
    while at < len(body):
        size = chance.choice(sizes)
        pieces.append(body[at : at + size])
        at += size
    return pieces


def test_usage_and_words_are_what_was_recorded() -> None:
    chance = random.Random(7)
    seen = 0
    for exchange, body in exchanges():
        if exchange["status"] != 200:
            continue
        name, expected = exchange["id"], exchange["expected"]
        told = [
            read(exchange, cut(body, sizes, chance))
            for sizes in ((len(body),), (1, 2, 3, 9, 70), (500, 4000))
        ]
        assert told[0] == told[1] == told[2], name
        chunks, outcome, _ = told[0]
        assert outcome.failure is None, name
        assert outcome.ended, name
        assert outcome.complete_usage, name
        assert outcome.anomalies == [], name
        check_usage(outcome.usage)
        for unit in UNITS:
            assert outcome.usage.get(unit) == expected[unit], (name, unit)
        written = [outcome.usage[unit] for unit in WRITES if unit in outcome.usage]
        assert (sum(written) if written else None) == expected["cache_write_tokens"], name
        assert all(text.encode() in body for text in outcome.usage_raw), name
        assert outcome.finish_reason == _WORDS[exchange["finish_reason"]], name
        if exchange["stream"]:
            assert said_in_chunks(chunks) == said_in_frames(body), name
        else:
            assert said_in_answer(outcome.answer) == said_in_body(body), name
        seen += 1
    assert seen >= 81


def test_refusals_are_understood() -> None:
    kinds = {400: "bad_request", 403: "credential_invalid"}
    seen = 0
    for exchange, body in exchanges():
        if exchange["status"] == 200:
            continue
        found = Converse().failure(exchange["status"], exchange["response_headers"], body)
        assert found.kind == kinds[exchange["status"]], exchange["id"]
        assert found.message == json.loads(body)["message"], exchange["id"]
        seen += 1
    assert seen >= 10


def said_in_answer(answer: bytes) -> Said:
    message = json.loads(answer)["choices"][0]["message"]
    calls = [
        (each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in message.get("tool_calls", ())
    ]
    return message["content"] or "", message.get("reasoning_content", ""), calls


def said_in_chunks(chunks: Sequence[Chunk]) -> Said:
    text, thoughts = "", ""
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in json.loads(chunk.data)["choices"]:
            text += choice["delta"].get("content") or ""
            thoughts += choice["delta"].get("reasoning_content") or ""
            for each in choice["delta"].get("tool_calls", ()):
                told = calls.setdefault(each["index"], ["", "", ""])
                told[0] += each.get("id", "")
                told[1] += each["function"].get("name", "")
                told[2] += each["function"].get("arguments", "")
    return text, thoughts, [(one, two, json.loads(three)) for one, two, three in calls.values()]


def said_in_body(body: bytes) -> Said:
    content = json.loads(body)["output"]["message"]["content"]
    text, thoughts, calls = "", "", []
    for block in content:
        text += block.get("text", "")
        thoughts += block.get("reasoningContent", {}).get("reasoningText", {}).get("text", "")
        text += "".join(
            each["text"] for each in block.get("citationsContent", {}).get("content", ())
        )
        use = block.get("toolUse")
        if use and use.get("type") != "server_tool_use":
            calls.append((use["toolUseId"], use["name"], use["input"]))
    return text, thoughts, calls


def said_in_frames(body: bytes) -> Said:
    text, thoughts = "", ""
    calls: dict[int, list[str]] = {}
    for found in payloads(body):
        use = found.get("start", {}).get("toolUse")
        if use and use.get("type") != "server_tool_use":
            calls[found["contentBlockIndex"]] = [use["toolUseId"], use["name"], ""]
        delta = found.get("delta", {})
        text += delta.get("text", "")
        thoughts += delta.get("reasoningContent", {}).get("text", "")
        if "toolUse" in delta and found["contentBlockIndex"] in calls:
            calls[found["contentBlockIndex"]][2] += delta["toolUse"]["input"]
    return (
        text,
        thoughts,
        [(one, two, json.loads(three or "{}")) for one, two, three in calls.values()],
    )


def payloads(body: bytes) -> Iterator[dict[str, Any]]:
    at = 0
    while at < len(body):
        length, headers = struct.unpack_from(">II", body, at)
        yield json.loads(body[at + 12 + headers : at + length - 4])
        at += length
