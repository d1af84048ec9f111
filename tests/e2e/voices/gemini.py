"""Gemini's own protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from tests.e2e.plan import CACHED, REASONED, Ask, Heard, Json, last_text

_PATH: Final = re.compile(
    r"/v1beta/models/(?P<model>[^/:]+):(?P<verb>generateContent|streamGenerateContent\?alt=sse)"
)


class Gemini:
    """`POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent?alt=sse`."""

    stream_type = "text/event-stream"

    def hear(self, path: str, body: Json) -> Heard:
        found = _PATH.fullmatch(path)
        if found is None:
            raise ValueError(path)
        return Heard(
            model=found["model"],
            stream=found["verb"].startswith("stream"),
            text=last_text(body["contents"], content="parts"),
            tool=_tool(body),
            choices=body.get("generationConfig", {}).get("candidateCount", 1),
        )

    def usage(self, ask: Ask, *, thoughts: bool = True) -> Json:
        found = {
            "promptTokenCount": ask.prompt_tokens,
            "cachedContentTokenCount": CACHED,
            "candidatesTokenCount": ask.completion_tokens - REASONED,
            "totalTokenCount": ask.prompt_tokens + ask.completion_tokens,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": ask.prompt_tokens}],
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": CACHED}],
        }
        return {**found, "thoughtsTokenCount": REASONED} if thoughts else found

    def whole(self, ask: Ask, *, text: str | None = None, usage: bool = True) -> bytes:
        return json.dumps(
            self._answer(ask, text or "".join(ask.say), "STOP", usage=usage), indent=2
        ).encode()

    def said(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        if ask.heard.tool:
            yield _line(self._answer(ask, "", None, usage=usage))
            return
        for at, word in enumerate(ask.say, start=1):
            found = self._answer(ask, word, None, usage=usage)
            if usage:
                found["usageMetadata"]["candidatesTokenCount"] = at
            yield _line(found)

    def delta(self, ask: Ask, text: str) -> bytes:
        return _line(self._answer(ask, text, None, usage=False))

    def finish(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        found = self._answer(ask, "", "STOP", usage=usage)
        for candidate in found["candidates"]:
            candidate["content"]["parts"] = [{"text": ""}]
        yield _line(found)

    def tail(self, ask: Ask, *, usage: bool = True) -> Iterator[bytes]:
        yield from ()

    def error(self, status: int, kind: str, code: str | None, message: str) -> bytes:
        word = {
            400: "INVALID_ARGUMENT",
            401: "UNAUTHENTICATED",
            403: "PERMISSION_DENIED",
            404: "NOT_FOUND",
            429: "RESOURCE_EXHAUSTED",
            503: "UNAVAILABLE",
        }
        error = {"code": status, "message": message, "status": word.get(status, "INTERNAL")}
        return json.dumps({"error": error}).encode()

    def error_headers(self, status: int) -> dict[str, str]:
        return {}

    def error_inside(self, message: str) -> bytes:
        return _line({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})

    def problems(self, ask: Ask) -> list[str]:
        from tests.e2e.voices.google_types import read_by_google  # noqa: PLC0415 - a heavy import

        try:
            read_by_google(json.dumps(ask.body))
        except (AssertionError, ValueError) as error:
            return [str(error)]
        return []

    def _answer(self, ask: Ask, text: str, reason: str | None, *, usage: bool) -> Json:
        part: Json = {"text": text}
        if ask.heard.tool:
            part = {"functionCall": {"name": ask.heard.tool, "args": {"city": "Ulm"}}}
        candidates: list[Json] = []
        for index in range(ask.heard.choices):
            candidate: Json = {"index": index, "content": {"role": "model", "parts": [part]}}
            if reason is not None:
                candidate["finishReason"] = reason
            candidates.append(candidate)
        found: Json = {
            "candidates": candidates,
            "modelVersion": ask.model,
            "responseId": ask.identity,
        }
        if usage:
            found["usageMetadata"] = self.usage(ask)
        return found


def _line(found: Json) -> bytes:
    return b"data: " + json.dumps(found).encode() + b"\r\n\r\n"


def _tool(body: Json) -> str | None:
    answered = any("functionResponse" in part for part in body["contents"][-1]["parts"])
    if answered or not body.get("tools"):
        return None
    name: str = body["tools"][0]["functionDeclarations"][0]["name"]
    return name
