"""Calls of OpenAI's protocol, for tests of what rows make of them."""

from __future__ import annotations

import json
from typing import Any

from api.providers.catalogue import PROVIDERS
from api.providers.port import ChatCall, Chunk, Outcome
from tests.instants import AT

HI = [{"role": "user", "content": "Hi"}]
KEY = {"apiKey": "k" * 20}
TOOL = {"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}


def call(*, stream: bool = False, choices: int = 1, model: str = "m", **body: Any) -> ChatCall:
    return ChatCall(
        body={"model": "asked", "messages": HI, **body},
        model=model,
        stream=stream,
        wants_usage=False,
        choices=choices,
        at=AT,
    )


def sent(slug: str, *, stream: Any = False, **body: Any) -> dict[str, Any]:
    """The upstream body that a provider's row makes."""
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    found: dict[str, Any] = json.loads(
        dialect.request(call(stream=stream, **body), KEY, "https://a.test/v1").body
    )
    return found


def streamed(slug: str, *objects: Any, done: bool = True) -> tuple[list[Chunk], Outcome]:
    """What a provider's row makes of a stream."""
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    reader = dialect.reader(call(stream=True), {})
    data = b"".join(b"data: %s\n\n" % json.dumps(found).encode() for found in objects)
    chunks = list(reader.feed(data + (b"data: [DONE]\n\n" if done else b"")))
    outcome = reader.finish()
    return [*chunks, *outcome.tail], outcome


def whole(slug: str, found: Any, **headers: str) -> Outcome:
    """What a provider's row makes of an answer."""
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    reader = dialect.reader(call(), headers)
    reader.feed(json.dumps(found).encode())
    return reader.finish()
