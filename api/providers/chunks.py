"""Chunks of a streamed chat completion with one choice, for dialects that translate."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from api.providers.messages_usage import openai_usage
from api.providers.port import Chunk, RawObject


class ChunkWriter:
    """Writes chunks that all say who answers; that part is made once."""

    def __init__(self, *, identity: str, created: int, model: str) -> None:
        head = {
            "id": identity,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._head = orjson.dumps(head)[:-1] + b',"choices":['

    def delta(self, delta: RawObject) -> Chunk:
        """A piece of the answer."""
        return Chunk(self._chunk(delta, b"null"), True, False)

    def finish(self, delta: RawObject, reason: str) -> Chunk:
        """The last chunk with a choice."""
        return Chunk(self._chunk(delta, orjson.dumps(reason)), True, True)

    def usage(self, usage: Mapping[str, int]) -> Chunk:
        """The usage in OpenAI's meaning, beside no choices."""
        told = orjson.dumps(openai_usage(usage))
        return Chunk(b"".join((self._head, b'],"usage":', told, b"}")), False, True)

    def _chunk(self, delta: RawObject, reason: bytes) -> bytes:
        return b"".join(
            (
                self._head,
                b'{"index":0,"delta":',
                orjson.dumps(delta),
                b',"logprobs":null,"finish_reason":',
                reason,
                b"}]}",
            )
        )
