"""Bedrock's Converse, with its event stream in frames."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from tests.e2e.plan import CACHED, CITY, Ask, Heard, Json, last_text

_PATH: Final = re.compile(r"/model/(?P<model>[^/]+)/(?P<verb>converse|converse-stream)")
_ERRORS: Final = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


class Converse:
    """`POST /model/{modelId}/converse` and `/converse-stream`."""

    stream_type = "application/vnd.amazon.eventstream"

    def hear(self, path: str, body: Json) -> Heard:
        found = _PATH.fullmatch(path)
        if found is None or ":" in found["model"]:
            raise ValueError(path)
        return Heard(
            model=unquote(found["model"]),
            stream=found["verb"] == "converse-stream",
            text=last_text(body["messages"]),
            tool=_tool(body),
        )

    def usage(self, ask: Ask) -> Json:
        return {
            "inputTokens": ask.prompt_tokens - CACHED,
            "outputTokens": ask.completion_tokens,
            "totalTokens": ask.prompt_tokens + ask.completion_tokens,
            "cacheReadInputTokens": CACHED,
            "cacheWriteInputTokens": 0,
        }

    def whole(self, ask: Ask, *, text: str | None = None, usage: bool = True) -> bytes:
        called = {
            "toolUse": {"toolUseId": "tool_1", "name": ask.heard.tool, "input": {"city": "Ulm"}}
        }
        content = [called if ask.heard.tool else {"text": text or "".join(ask.say)}]
        found = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _reason(ask),
            "metrics": {"latencyMs": 17},
        }
        if usage:
            found["usage"] = self.usage(ask)
        return json.dumps(found).encode()

    def said(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        yield frame("messageStart", {"role": "assistant"})
        if ask.heard.tool:
            start = {"toolUse": {"toolUseId": "tool_1", "name": ask.heard.tool}}
            yield frame("contentBlockStart", {"contentBlockIndex": 0, "start": start})
        for word in CITY if ask.heard.tool else ask.say:
            yield self._delta(ask, word)

    def delta(self, ask: Ask, text: str) -> bytes:
        return self._delta(ask, text)

    def finish(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        yield frame("contentBlockStop", {"contentBlockIndex": 0})
        yield frame("messageStop", {"stopReason": _reason(ask)})

    def tail(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        told = {"usage": self.usage(ask)} if usage else {}
        yield frame("metadata", {**told, "metrics": {"latencyMs": 17}})

    def error(self, status: int, kind: str, code: str | None, message: str) -> bytes:
        return json.dumps({"message": message}).encode()

    def error_headers(self, status: int) -> dict[str, str]:
        name = _ERRORS.get(status, "InternalServerException")
        return {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/"}

    def error_inside(self, message: str) -> bytes:
        named = {":message-type": "exception", ":exception-type": "serviceUnavailableException"}
        return _framed(named, {"message": message})

    def problems(self, ask: Ask) -> list[str]:
        return _against_the_model({"modelId": ask.model, **ask.body}, stream=ask.stream)

    def _delta(self, ask: Ask, word: str) -> bytes:
        delta: Json = {"toolUse": {"input": word}} if ask.heard.tool else {"text": word}
        return frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta})


def frame(kind: str, payload: Json) -> bytes:
    """One event of the stream."""
    return _framed({":message-type": "event", ":event-type": kind}, {**payload, "p": "abc"})


def _framed(named: dict[str, str], payload: Json) -> bytes:
    body = json.dumps(payload).encode()
    headers = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + b"\x07"
        + struct.pack("!H", len(value))
        + value.encode()
        for name, value in {**named, ":content-type": "application/json"}.items()
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    whole = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return whole + struct.pack("!I", zlib.crc32(whole))


def _reason(ask: Ask) -> str:
    return "tool_use" if ask.heard.tool else "end_turn"


@cache
def _operation(name: str) -> Any:
    import botocore.session  # noqa: PLC0415 - a heavy import, for these checks only

    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    return model.operation_model(name).input_shape


def _against_the_model(params: Json, *, stream: bool) -> list[str]:
    from botocore.validate import ParamValidator  # noqa: PLC0415

    shape = _operation("ConverseStream" if stream else "Converse")
    report = ParamValidator().validate(params, shape)
    return [report.generate_report()] if report.has_errors() else []


def _tool(body: Json) -> str | None:
    answered = any("toolResult" in part for part in body["messages"][-1]["content"])
    if answered or not body.get("toolConfig"):
        return None
    name: str = body["toolConfig"]["tools"][0]["toolSpec"]["name"]
    return name
