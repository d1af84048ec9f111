"""Server-sent events: every way to write and to cut them gives the same events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.providers.sse import SseDecoder, SseEvent


def decoded(*pieces: bytes) -> list[SseEvent]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    pending = decoder.pending()
    return [*events, pending] if pending is not None else events


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
        (b"data:a\n\ndata:  b\n\n", [(b"", b"a"), (b"", b" b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r\n\ndata: b\n\r\n", [(b"", b"a"), (b"", b"b")]),
        (b"event: error\ndata: a\n\n", [(b"error", b"a")]),
        (b"data: a\nevent: late\n\n", [(b"late", b"a")]),
        (b"event: x\n\ndata: a\n\n", [(b"", b"a")]),
        (b": note\n\n:\ndata: a\n\n", [(b"", b"a")]),
        (b"id: 1\nretry: 5\ndata: a\nunknown: b\n\n", [(b"", b"a")]),
        (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
        (b"event: m\ndata: a\ndata: b\n\n", [(b"m", b"a\nb")]),
        (b"data\n\n", [(b"", b"")]),
        (b"data: [DONE]", [(b"", b"[DONE]")]),
        (b"data: a\n", [(b"", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbfdata: a", [(b"", b"a")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
        (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
        (b"event: data: a\n\n", []),
        (b"", []),
    ],
)
def test_what_is_an_event(text: bytes, events: list[SseEvent]) -> None:
    assert decoded(text) == events
    assert decoded(*(text[at : at + 1] for at in range(len(text)))) == events


_PIECES = (
    b"data: x",
    b"data: ",
    b"data:",
    b"event: e",
    b": c",
    b"\n",
    b"\r",
    b"\r\n",
    b"y",
    b"id: 1",
)


@given(parts=st.lists(st.sampled_from(_PIECES), max_size=14), places=st.lists(st.integers(0, 60)))
@example(parts=[b"data: x", b"\r", b"\n", b"y"], places=[8, 8])
def test_cutting_changes_nothing(parts: list[bytes], places: list[int]) -> None:
    text = b"".join(parts)
    bounds = [0, *sorted(place for place in places if place < len(text)), len(text)]
    cut = [text[a:b] for a, b in pairwise(bounds)]
    assert decoded(*cut) == decoded(text)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_read(data: bytes) -> None:
    assert decoded(data) == decoded(*(data[at : at + 2] for at in range(0, len(data), 2)))


def test_pending_is_told_again_until_it_is_dropped() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n\ndata: b") == [(b"", b"a")]
    assert decoder.pending() == decoder.pending() == (b"", b"b")
    decoder.drop_pending()
    assert decoder.pending() is None


def test_a_huge_event_in_small_pieces_is_joined_once() -> None:
    decoder = SseDecoder()
    pieces = [b"data: ", *[b"x" * 1000] * 5000, b"\n", b"\n"]
    events = [event for piece in pieces for event in decoder.feed(piece)]
    assert [len(data) for _, data in events] == [5_000_000]
