"""The caller's side: the receipt in its place, the chunk that is held, silence after a goodbye."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.chat.reply import DONE, HeldStream, Reply, frame, with_receipt
from api.providers.port import Chunk

RECEIPT = {"request_id": "req_1"}
MADE = {"id": "made", "object": "chat.completion.chunk"}
USAGE = {"prompt_tokens": 1}


def test_the_receipt_goes_before_the_last_brace() -> None:
    body = b'{ "a" : 1.50,\n "b": {"c": "}"} \n}\n'
    assert with_receipt(body, RECEIPT) == (
        b'{ "a" : 1.50,\n "b": {"c": "}"} \n,"x_keytoll":{"request_id":"req_1"}}\n'
    )
    assert with_receipt(body, None) == body
    assert with_receipt(b"{ }", RECEIPT) == b'{ "x_keytoll":{"request_id":"req_1"}}'


def test_a_receipt_of_somebody_else_is_dropped() -> None:
    body = b'{"x_keytoll": {"fee_usd": "0"}, "a": 1}'
    assert json.loads(with_receipt(body, RECEIPT)) == {"a": 1, "x_keytoll": RECEIPT}
    assert json.loads(with_receipt(body, None)) == {"a": 1}
    inside = b'{"a": {"x_keytoll": 1}}'
    assert with_receipt(inside, None) == inside


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.text())))
def test_everything_else_stays_as_it_is(members: dict[str, Any]) -> None:
    members.pop("x_keytoll", None)
    body = json.dumps(members, indent=2).encode()
    spliced = with_receipt(body, RECEIPT)
    assert json.loads(spliced) == {**members, "x_keytoll": RECEIPT}
    assert spliced.startswith(body.rstrip().removesuffix(b"}"))


def test_a_frame_is_one_line() -> None:
    assert frame(b'{"a":\r\n 1}') == b'data: {"a":   1}\n\n'


def word(text: str) -> Chunk:
    return Chunk(json.dumps({"w": text}).encode(), has_choices=True, finished=False)


END = Chunk(b'{"w":"end"}', has_choices=True, finished=True)
COUNTS = Chunk(b'{"usage":{}}', has_choices=False, finished=True)


def events(data: bytes) -> list[Any]:
    blocks = data.decode().split("\n\n")
    assert blocks.pop() == ""
    texts = [block.removeprefix("data: ") for block in blocks]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


def closed(held: HeldStream, receipt: dict[str, Any] | None = RECEIPT) -> list[Any]:
    return events(held.close(receipt=receipt, usage=USAGE, made=MADE))


def test_words_pass_and_the_end_is_held() -> None:
    held = HeldStream(wants_usage=False)
    assert events(held.take([word("a"), word("b")])) == [{"w": "a"}, {"w": "b"}]
    before = held.finished
    assert held.take([END]) == b""
    assert (before, held.finished) == (False, True)
    assert closed(held) == [{"w": "end", "x_keytoll": RECEIPT}, "[DONE]"]


def test_a_usage_chunk_is_kept_from_those_who_did_not_ask() -> None:
    held = HeldStream(wants_usage=False)
    assert held.take([END, COUNTS]) == b""
    assert closed(held) == [{"w": "end", "x_keytoll": RECEIPT}, "[DONE]"]


def test_a_usage_chunk_carries_the_receipt_of_those_who_asked() -> None:
    held = HeldStream(wants_usage=True)
    assert events(held.take([END, COUNTS])) == [{"w": "end"}]
    assert closed(held) == [{"usage": {}, "x_keytoll": RECEIPT}, "[DONE]"]


def test_those_who_asked_get_a_usage_chunk_of_ours_if_the_provider_sent_none() -> None:
    held = HeldStream(wants_usage=True)
    held.take([END])
    made = {**MADE, "choices": [], "usage": USAGE, "x_keytoll": RECEIPT}
    assert closed(held) == [{"w": "end"}, made, "[DONE]"]


def test_only_the_latest_chunk_is_held() -> None:
    held = HeldStream(wants_usage=False)
    held.take([END])
    later = Chunk(b'{"w":"later"}', has_choices=True, finished=True)
    assert events(held.take([later])) == [{"w": "end"}]
    assert closed(held) == [{"w": "later", "x_keytoll": RECEIPT}, "[DONE]"]


def test_a_chunk_is_made_when_none_can_carry_the_receipt() -> None:
    held = HeldStream(wants_usage=False)
    held.take([word("a")])
    empty = {"index": 0, "delta": {}, "finish_reason": None}
    assert closed(held) == [{**MADE, "choices": [empty], "x_keytoll": RECEIPT}, "[DONE]"]
    assert closed(HeldStream(wants_usage=False), None) == ["[DONE]"]


def test_without_receipt_the_held_chunk_still_comes() -> None:
    held = HeldStream(wants_usage=False)
    held.take([END])
    assert closed(held, None) == [{"w": "end"}, "[DONE]"]


def test_before_an_error_the_held_chunk_comes_bare() -> None:
    held = HeldStream(wants_usage=False)
    assert held.rest() == b""
    held.take([END])
    assert held.rest() == b'data: {"w":"end"}\n\n'


class Wire:
    """Takes messages until it breaks."""

    def __init__(self, breaks_after: int = 99) -> None:
        self.sent: list[Any] = []
        self._left = breaks_after

    async def __call__(self, message: Any) -> None:
        if not self._left:
            raise OSError("gone")
        self._left -= 1
        self.sent.append(message)


async def test_a_json_answer() -> None:
    wire = Wire()
    reply = Reply(wire, request_id="req_1")
    await reply.json(b"{}", status=429, headers=[("retry-after", "7")])
    start, body = wire.sent
    assert start["status"] == 429
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"x-request-id": b"req_1",
        b"content-length": b"2",
        b"retry-after": b"7",
    }
    assert (body["body"], body["more_body"]) == (b"{}", False)
    assert reply.ended


async def test_a_stream_starts_with_its_first_bytes() -> None:
    wire = Wire()
    reply = Reply(wire, request_id="req_1")
    states = [(reply.started, reply.ended)]
    await reply.stream(b"a")
    states.append((reply.started, reply.ended))
    await reply.end_stream(DONE)
    states.append((reply.started, reply.ended))
    assert states == [(False, False), (True, False), (True, True)]
    assert [m.get("body") for m in wire.sent] == [None, b"a", DONE]
    assert [m.get("more_body") for m in wire.sent] == [None, True, False]


@pytest.mark.parametrize("breaks_after", [0, 1])
async def test_a_lost_connection_is_no_error(breaks_after: int) -> None:
    wire = Wire(breaks_after)
    reply = Reply(wire, request_id="req_1")
    await reply.stream(b"a")
    await reply.end_stream(DONE)
    assert reply.gone
    assert len(wire.sent) == breaks_after


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_does_not_take_the_end_has_gone(
    monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr("api.chat.reply.LAST_WORDS_S", 0.01)

    async def stuck(message: Any) -> None:
        if message.get("body") and not message["more_body"]:
            await asyncio.Event().wait()

    reply = Reply(stuck, request_id="req_1")
    async with asyncio.timeout(5):
        await (reply.end_stream(DONE) if stream else reply.json(b"{}"))
    assert reply.gone


async def test_a_caller_who_does_not_take_what_comes_before_an_error_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.chat.reply.LAST_WORDS_S", 0.01)

    async def stuck(message: Any) -> None:
        await asyncio.Event().wait()

    reply = Reply(stuck, request_id="req_1")
    async with asyncio.timeout(5):
        await reply.last_words(b"data: {}\n\n")
    assert reply.gone
