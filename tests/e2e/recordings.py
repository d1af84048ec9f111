"""Recorded exchanges of real providers, and what was said in them.

What a recording says is read here by a program that shares nothing with the dialects: the text
and the tool calls of the first choice, straight from the provider's own JSON.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.e2e.plan import Json
from tests.e2e.program import REPOSITORY

CORPUS: Final = Path(
    os.environ.get("KEYTOLL_CORPUS", REPOSITORY.parent / "shared" / "corpus" / "exchanges.jsonl.gz")
)
_STAND_INS: Final = {
    "openai-chat": "openai",
    "openai-responses": "openai-responses",
    "anthropic-messages": "anthropic",
    "gemini": "google",
    "gemini-stream": "google",
    "bedrock-converse": "aws",
    "bedrock-converse-stream": "aws",
}
"""Who speaks the API, for recordings of hosts that are no provider of ours (or of another API)."""
_SPOKEN: Final = {
    "openai-responses": {"openai-responses", "azure-responses"},
    "anthropic-messages": {"anthropic"},
}


@dataclass
class Said:
    """What came back, in any protocol."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """Name and arguments of each tool call; arguments that are no JSON as they came."""

    def call(self, name: str, arguments: Any) -> None:
        if isinstance(arguments, str):
            with suppress(ValueError):
                arguments = json.loads(arguments or "{}")
        self.calls.append((name, arguments))


def exchanges() -> Iterator[Json]:
    """Every recorded call (lists of models are none), with `slug`: the row that serves it."""
    with gzip.open(CORPUS, "rt") as lines:
        for line in lines:
            found = json.loads(line)
            api = found["api"]
            if api == "models":
                continue
            own = found["provider"] in _SPOKEN.get(api, {found["provider"]})
            known = api in {"openai-chat", *_SPOKEN}
            found["slug"] = (
                found["provider"] if own and known and _is_row(found) else _STAND_INS[api]
            )
            yield found


def _is_row(exchange: Json) -> bool:
    return exchange["provider"] not in {"deepseek", "cerebras", "zai"}


def body_of(exchange: Json) -> bytes:
    """The recorded answer."""
    body: str = exchange["response_body"] or ""
    if exchange.get("response_body_encoding") == "base64":
        return base64.b64decode(body)
    return body.encode()


def said_in(exchange: Json) -> Said:
    """Text and tool calls of the first choice."""
    return _READERS[exchange["api"]](exchange, body_of(exchange))


def _events(body: bytes) -> Iterator[Json]:
    if body.startswith(b"["):  # Gemini without alt=sse
        yield from json.loads(body)
        return
    for line in body.decode().replace("\r\n", "\n").split("\n"):
        if line.startswith("data:") and line[5:].strip() not in {"", "[DONE]"}:
            yield json.loads(line[5:])


def _chat(exchange: Json, body: bytes) -> Said:
    said = Said()
    if not exchange["stream"]:
        message = json.loads(body)["choices"][0].get("message", {})
        said.text = message.get("content") or ""
        for call in message.get("tool_calls") or []:
            said.call(call["function"]["name"], call["function"]["arguments"])
        return said
    names: dict[int, list[str]] = {}
    for event in _events(body):
        for choice in event.get("choices") or []:
            if choice.get("index", 0) != 0:
                continue
            delta = choice.get("delta") or {}
            said.text += delta.get("content") or ""
            for call in delta.get("tool_calls") or []:
                function = call.get("function") or {}
                kept = names.setdefault(call.get("index", 0), ["", ""])
                kept[0] += function.get("name") or ""
                kept[1] += function.get("arguments") or ""
    for name, arguments in names.values():
        said.call(name, arguments)
    return said


def _responses(exchange: Json, body: bytes) -> Said:
    if exchange["stream"]:
        last = {"response.completed", "response.incomplete"}
        answers = [event["response"] for event in _events(body) if event["type"] in last]
    else:
        answers = [json.loads(body)]
    said = Said()
    for item in (item for answer in answers for item in answer["output"]):
        if item["type"] == "message":
            said.text += "".join(p["text"] for p in item["content"] if p["type"] == "output_text")
        elif item["type"] == "function_call":
            said.call(item["name"], item["arguments"])
        elif item["type"] == "custom_tool_call":
            said.call(item["name"], item["input"])
    return said


def _messages(exchange: Json, body: bytes) -> Said:
    said = Said()
    blocks: dict[int, Json] = {}
    if not exchange["stream"]:
        blocks = dict(enumerate(json.loads(body)["content"]))
    else:
        for event in _events(body):
            if event["type"] == "content_block_start":
                blocks[event["index"]] = {**event["content_block"], "json": ""}
            elif event["type"] == "content_block_delta":
                block, delta = blocks[event["index"]], event["delta"]
                block["text"] = block.get("text", "") + delta.get("text", "")
                block["json"] += delta.get("partial_json", "")
    for block in blocks.values():
        if block["type"] == "text":
            said.text += block["text"]
        elif block["type"] == "tool_use":
            said.call(block["name"], block.get("json") or block["input"])
    return said


def _gemini(exchange: Json, body: bytes) -> Said:
    said = Said()
    pieces = list(_events(body)) if exchange["stream"] else [json.loads(body)]
    for piece in pieces:
        for candidate in piece.get("candidates", ())[:1]:
            for part in candidate.get("content", {}).get("parts", ()):
                if "functionCall" in part:
                    _gemini_call(said, part["functionCall"])
                elif not part.get("thought"):
                    said.text += part.get("text", "")
    return said


def _gemini_call(said: Said, called: Json) -> None:
    """A call, whole or begun; later parts without a name add to members of the last one."""
    if "name" in called:
        said.call(called["name"], called.get("args", {}))
    arguments = said.calls[-1][1]
    for piece in called.get("partialArgs", ()):
        name, (value,) = (
            piece["jsonPath"].removeprefix("$."),
            (piece[kind] for kind in ("stringValue", "numberValue", "boolValue") if kind in piece),
        )
        text = isinstance(value, str)
        arguments[name] = arguments.get(name, "") + value if text else value


def _converse(exchange: Json, body: bytes) -> Said:
    said = Said()
    blocks: dict[int, Json] = {}
    if not exchange["stream"]:
        blocks = dict(enumerate(json.loads(body)["output"]["message"]["content"]))
    else:
        for name, event in _frames(body):
            if name == "contentBlockStart" and "toolUse" in event["start"]:
                blocks[event["contentBlockIndex"]] = {
                    "toolUse": {**event["start"]["toolUse"], "input": ""}
                }
            elif name == "contentBlockDelta":
                block, delta = blocks.setdefault(event["contentBlockIndex"], {}), event["delta"]
                if "text" in delta:
                    block["text"] = block.get("text", "") + delta["text"]
                if "toolUse" in delta:
                    block["toolUse"]["input"] += delta["toolUse"]["input"]
    for block in blocks.values():
        said.text += block.get("text", "")
        for part in block.get("citationsContent", {}).get("content", ()):
            said.text += part.get("text", "")
        # What the provider runs itself is no call for the client.
        if "toolUse" in block and block["toolUse"].get("type") != "server_tool_use":
            said.call(block["toolUse"]["name"], block["toolUse"]["input"])
    return said


def _frames(body: bytes) -> Iterator[tuple[str, Json]]:
    at = 0
    while at < len(body):
        total, named = struct.unpack("!II", body[at : at + 8])
        headers = body[at + 12 : at + 12 + named]
        payload = body[at + 12 + named : at + total - 4]
        yield _header(headers, b":event-type"), json.loads(payload)
        at += total


def _header(headers: bytes, name: bytes) -> str:
    found = headers.find(bytes([len(name)]) + name)
    if found < 0:
        return ""
    start = found + 1 + len(name) + 1
    (size,) = struct.unpack("!H", headers[start : start + 2])
    return headers[start + 2 : start + 2 + size].decode()


_READERS: Final = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic-messages": _messages,
    "gemini": _gemini,
    "gemini-stream": _gemini,
    "bedrock-converse": _converse,
    "bedrock-converse-stream": _converse,
}
