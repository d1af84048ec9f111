"""The deltas of every protocol, added up as openai's own SDK does for those who stream with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from api.providers.catalogue import PROVIDERS
from api.providers.chunks import ChunkWriter
from api.providers.port import ChatCall, Chunk
from tests.e2e.plan import Json
from tests.e2e.recordings import CORPUS, body_of, exchanges, said_in
from tests.instants import AT


def added_up(chunks: Iterable[Chunk]) -> Any:
    """The first message that the SDK makes of these."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        with suppress(openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
            # The SDK's way to tell of an answer that was cut short, after it has taken it.
            state.handle_chunk(ChatCompletionChunk.construct(**json.loads(chunk.data)))
    return state.current_completion_snapshot.choices[0].message


def writer() -> ChunkWriter:
    return ChunkWriter(identity="chatcmpl-1", created=1, model="m")


@pytest.mark.parametrize("name", ["annotations", "images", "reasoning_details"])
@pytest.mark.parametrize(
    "indexes", [(None, None, None), (0, 0, 0), (0, 0, 1), (2, 3, 3), (5, 1, 1)]
)
def test_items_of_lists_stay_apart(name: str, indexes: tuple[int | None, ...]) -> None:
    """However an upstream numbers them, and whether they come alone or together."""
    items = [
        {"text": text} if index is None else {"text": text, "index": index}
        for text, index in zip("abc", indexes, strict=True)
    ]
    for groups in ([items], [[item] for item in items], [items[:1], items[1:]]):
        chunks = writer()
        message = added_up([chunks.delta({name: group}) for group in groups])
        assert [item["text"] for item in message.model_dump()[name]] == ["a", "b", "c"]


def test_lists_of_several_choices_and_calls_of_tools_are_left_as_they_are() -> None:
    chunks = writer()
    numbers = [
        json.loads(chunks.delta({"images": [{}]}, choice=choice).data)["choices"][0]["delta"]
        for choice in (0, 1, 0)
    ]
    assert [delta["images"][0]["index"] for delta in numbers] == [0, 0, 1]
    pieces = [{"index": 0, "function": {"arguments": text}} for text in ("{", "}")]
    sent = [json.loads(chunks.delta({"tool_calls": [piece]}).data) for piece in pieces]
    assert [each["choices"][0]["delta"]["tool_calls"] for each in sent] == [[p] for p in pieces]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.exists(), reason="no recorded exchanges beside the checkout")
def test_recorded_streams_add_up_to_what_was_said() -> None:
    seen = 0
    for exchange in exchanges():
        if not exchange["stream"] or exchange["status"] != 200:
            continue
        chunks = read(exchange)
        if chunks is None:
            continue
        message, said = added_up(chunks), said_in(exchange)
        assert (message.content or "") == said.text, exchange["id"]
        calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or []]
        assert [name for name, _ in calls] == [name for name, _ in said.calls], exchange["id"]
        for (_, arguments), (_, wanted) in zip(calls, said.calls, strict=True):
            assert arguments == wanted or json.loads(arguments or "{}") == wanted, exchange["id"]
        seen += 1
    assert seen > 300


def read(exchange: Json) -> list[Chunk] | None:
    """The chunks of a recorded stream; None if it holds an error."""
    dialect, asked = PROVIDERS[exchange["slug"]].dialect, exchange["request_body"]
    assert dialect is not None
    call = ChatCall(
        body={},
        model=exchange["model"] or "m",
        stream=True,
        wants_usage=True,
        choices=(asked.get("n") if isinstance(asked, dict) else None) or 1,
        at=AT,
    )
    reader = dialect.reader(call, exchange["response_headers"])
    chunks = list(reader.feed(body_of(exchange)))
    outcome = reader.finish()
    return [*chunks, *outcome.tail] if outcome.failure is None else None
