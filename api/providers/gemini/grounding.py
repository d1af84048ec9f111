"""What Gemini found on the web, as annotations of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.providers.lenient import objects, text_of
from api.providers.port import RawObject


class Grounding:
    """The searches of one choice."""

    def __init__(self) -> None:
        self.queries: set[str] = set()
        """What was searched for; Google counts unique queries that are not empty."""

    def take(self, found: Any, texts: list[str]) -> list[RawObject]:
        """The annotations that a `groundingMetadata` adds to the text so far."""
        if not isinstance(found, Mapping):
            return []
        queries = found.get("webSearchQueries")
        for query in queries if isinstance(queries, list) else ():
            if isinstance(query, str) and query:
                self.queries.add(query)
        chunks = objects(found.get("groundingChunks"))
        text = "".join(texts).encode(errors="replace")
        return [
            _citation(chunks[index], segment, text)
            for support in objects(found.get("groundingSupports"))
            for segment in objects([support.get("segment")])
            for index in _indexes(support, len(chunks))
            if isinstance(chunks[index].get("web"), Mapping)
        ]


def _indexes(support: Mapping[str, Any], count: int) -> list[int]:
    indexes = support.get("groundingChunkIndices")
    found = indexes if isinstance(indexes, list) else []
    return [index for index in found if type(index) is int and 0 <= index < count]


def _citation(chunk: RawObject, segment: RawObject, text: bytes) -> RawObject:
    """Google counts bytes, OpenAI characters."""
    web = chunk["web"]
    start, end = (_characters(text, segment.get(name)) for name in ("startIndex", "endIndex"))
    return {
        "type": "url_citation",
        "url_citation": {
            "url": text_of(web, "uri"),
            "title": text_of(web, "title"),
            "start_index": start,
            "end_index": end,
        },
    }


def _characters(text: bytes, place: Any) -> int:
    return len(text[:place].decode(errors="ignore")) if type(place) is int and place > 0 else 0
