"""What the scripted upstream does: a plan of bytes, pauses and gates for each behaviour.

The last user message decides: its first word names a behaviour (`cut`, `status-429`, …), its
second the call, so that a test can follow one call through every book.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tests.e2e.plan import WORDS, Ask, Ending, Gate, Piece, Plan
from tests.e2e.voices.chat import Chat

CANARY_MESSAGE: Final = (
    "Incorrect API key provided: {key}. Your account org-A1b2C3d4E5f6 is unhappy."
)


def plan_of(ask: Ask, key: str) -> Plan:
    """The answer to a request that came with this key."""
    return BEHAVIOURS.get(ask.words[0], plain)(ask, key)


def parts_of(ask: Ask, *, usage: bool = True) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """(what is said, the finish, the tail) of a stream."""
    return (
        list(ask.voice.said(ask, usage=usage)),
        list(ask.voice.finish(ask, usage=usage)),
        list(ask.voice.tail(ask, usage=usage)),
    )


def streamed(ask: Ask, *pieces: Piece, ending: Ending = "whole") -> Plan:
    return Plan(list(pieces), headers={"content-type": ask.voice.stream_type}, ending=ending)


def whole(body: bytes, status: int = 200, **headers: str) -> Plan:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Plan(
        [body],
        status=status,
        headers={"content-type": "application/json", **named},
        framing="length",
        billed=status == 200,
    )


def plain(ask: Ask, key: str, *, usage: bool = True) -> Plan:
    if not ask.stream:
        return whole(ask.voice.whole(ask, usage=usage))
    said, finish, tail = parts_of(ask, usage=usage)
    return streamed(ask, *said, *finish, *tail)


def silent(ask: Ask, key: str) -> Plan:
    """Reports no usage."""
    return plain(ask, key, usage=False)


def slow(ask: Ask, key: str) -> Plan:
    """Some 25 ms a word; a JSON answer takes half a second."""
    if not ask.stream:
        return Plan([ask.voice.whole(ask)], headers=_JSON, framing="length", before_head=0.5)
    said, finish, tail = parts_of(ask)
    return streamed(ask, *_paused(said, 0.025), *finish, *tail)


def very_slow(ask: Ask, key: str) -> Plan:
    """The first word at once, then one every second."""
    said, finish, tail = parts_of(ask)
    return streamed(ask, *said[:4], *_paused(said[4:], 1.0), *finish, *tail)


def cut(ask: Ask, key: str) -> Plan:
    """The connection breaks in the middle."""
    if not ask.stream:
        body = ask.voice.whole(ask)
        plan = whole(body)
        plan.headers["content-length"] = str(len(body))
        plan.pieces = [body[: len(body) // 2]]
        plan.ending = "cut"
        return plan
    said, _, _ = parts_of(ask)
    return streamed(ask, *said[: len(said) // 2], b'data: {"id"', ending="cut")


def cut_before_head(ask: Ask, key: str) -> Plan:
    return Plan([], ending="cut", before_head=0.0, billed=False)


def never(ask: Ask, key: str) -> Plan:
    """No answer at all."""
    return Plan([], ending="never", before_head=Gate("never"))


def hold_head(ask: Ask, key: str) -> Plan:
    plan = plain(ask, key)
    plan.before_head = Gate("head")
    return plan


def hold_first(ask: Ask, key: str) -> Plan:
    """Waits after the first piece of a stream, or in the middle of a body."""
    if ask.stream:
        said, finish, tail = parts_of(ask)
        return streamed(ask, *said[:4], Gate("first"), *said[4:], *finish, *tail)
    body = ask.voice.whole(ask)
    plan = whole(body)
    plan.headers["content-length"] = str(len(body))
    plan.pieces = [body[:40], Gate("first"), body[40:]]
    return plan


def hold_last(ask: Ask, key: str) -> Plan:
    """Waits when everything has been said but the end."""
    if ask.stream:
        said, finish, tail = parts_of(ask)
        *most, last = [*said, *finish, *tail]
        return streamed(ask, *most, Gate("last"), last)
    body = ask.voice.whole(ask)
    plan = whole(body)
    plan.headers["content-length"] = str(len(body))
    plan.pieces = [body[:-1], Gate("last"), body[-1:]]
    return plan


def repeated(ask: Ask, key: str) -> Plan:
    """A growing usage on every chunk; only the last one is the truth."""
    if not ask.stream or not isinstance(ask.voice, Chat):
        return plain(ask, key)
    pieces = []
    for count, word in enumerate(WORDS, start=1):
        usage = {"prompt_tokens": ask.prompt_tokens, "completion_tokens": count}
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        pieces.append(ask.voice.chunk(ask, [choice], usage=usage))
    _, finish, tail = parts_of(ask)
    return streamed(ask, *pieces, *finish, *tail)


def giant(ask: Ask, key: str) -> Plan:
    """Four megabytes."""
    text = "0123456789abcdef" * (256 * 1024)
    if not ask.stream:
        return whole(ask.voice.whole(ask, text=text))
    said, finish, tail = parts_of(ask)
    return streamed(ask, *said, ask.voice.delta(ask, text), *finish, *tail)


def error_inside(ask: Ask, key: str) -> Plan:
    """Status 200 with an error object, from the start or in the middle of a stream."""
    if not ask.stream:
        body = ask.voice.error(500, "server_error", None, "The server had an error.")
        plan = whole(body)
        plan.billed = False
        return plan
    said, _, _ = parts_of(ask)
    return streamed(ask, *said[:6], ask.voice.error_inside("Overloaded"))


def no_done(ask: Ask, key: str) -> Plan:
    """The stream ends well, but without its last word."""
    if not ask.stream:
        return plain(ask, key)
    said, finish, tail = parts_of(ask)
    return streamed(ask, *said, *finish, *tail[:-1])


def late_usage(ask: Ask, key: str) -> Plan:
    """All choices have finished; usage comes late. Comments until then do not end the silence."""
    said, finish, tail = parts_of(ask)
    pings: list[Piece] = [4.0, b": ping\n\n", 4.0, b": ping\n\n", 3.5]
    return streamed(ask, *said, *finish, *pings, *tail)


def late_nothing(ask: Ask, key: str) -> Plan:
    """All choices have finished; then nothing ever comes."""
    said, finish, _ = parts_of(ask)
    return streamed(ask, *said, *finish, Gate("late"))


def foreign_receipt(ask: Ask, key: str) -> Plan:
    """Claims to be us."""
    if not isinstance(ask.voice, Chat):
        return plain(ask, key)
    forged = {"status": "priced", "fee_usd": "0"}
    if not ask.stream:
        found = json.loads(ask.voice.whole(ask))
        return whole(json.dumps({"x_keytoll": forged, **found}).encode())
    said, finish, tail = parts_of(ask)
    choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
    fake = ask.voice.chunk(ask, [choice], x_keytoll=forged)
    return streamed(ask, *said, fake, *finish, *tail)


def not_json(ask: Ask, key: str) -> Plan:
    """Status 200 and HTML."""
    plan = whole(b"<html>Welcome to the hotel's network</html>", content_type="text/html")
    plan.billed = False
    return plan


def echo_key(ask: Ask, key: str) -> Plan:
    """401, and the message repeats the whole key."""
    return refusal(
        ask, 401, "authentication_error", "invalid_api_key", CANARY_MESSAGE.format(key=key)
    )


def echo_everywhere(ask: Ask, key: str) -> Plan:
    """500, and the key stands in every field of the error and in a header."""
    error = {"message": f"key={key} {key}", "type": key, "param": key, "code": key, key: key}
    return whole(json.dumps({"error": error, "detail": key}).encode(), 500, x_debug=key)


def echo_as_text(ask: Ask, key: str) -> Plan:
    """502 with a page of some edge that shows the request's headers."""
    page = f"<html>Bad gateway. Authorization: Bearer {key}\nx-api-key: {key}</html>"
    plan = whole(page.encode(), 502, content_type="text/html")
    plan.headers["retry-after"] = key
    return plan


def echo_inside(ask: Ask, key: str) -> Plan:
    """An error in the middle of a stream (or a 200 body) that repeats the key."""
    error = {"message": f"Incorrect API key provided: {key}", "type": key, "code": key}
    if not ask.stream:
        return whole(json.dumps({"error": error}).encode())
    said, _, _ = parts_of(ask)
    event = json.dumps({"type": "error", "error": error}).encode()
    return streamed(ask, *said[:4], b"event: error\ndata: " + event + b"\n\n")


def as_key(ask: Ask, key: str) -> Plan:
    """What stands behind the last `--` of the key names the behaviour."""
    return BEHAVIOURS.get(key.rpartition("--")[2], plain)(ask, key)


def refusal(
    ask: Ask, status: int, kind: str, code: str | None, message: str, **headers: str
) -> Plan:
    plan = whole(ask.voice.error(status, kind, code, message), status, **headers)
    plan.headers.update(ask.voice.error_headers(status))
    return plan


def _status(
    status: int, kind: str, code: str | None, message: str, **headers: str
) -> Callable[[Ask, str], Plan]:
    def refuse(ask: Ask, key: str) -> Plan:
        return refusal(ask, status, kind, code, message, **headers)

    return refuse


def _paused(pieces: list[bytes], pause_s: float) -> Iterator[Piece]:
    for piece in pieces:
        yield piece
        yield pause_s


_JSON: Final = {"content-type": "application/json"}
BEHAVIOURS: Final[Mapping[str, Callable[[Ask, str], Plan]]] = {
    "plain": plain,
    "as-key": as_key,
    "silent": silent,
    "slow": slow,
    "very-slow": very_slow,
    "cut": cut,
    "cut-before-head": cut_before_head,
    "never": never,
    "hold-head": hold_head,
    "hold-first": hold_first,
    "hold-last": hold_last,
    "repeated": repeated,
    "giant": giant,
    "error-inside": error_inside,
    "no-done": no_done,
    "late-usage": late_usage,
    "late-nothing": late_nothing,
    "foreign-receipt": foreign_receipt,
    "not-json": not_json,
    "echo-key": echo_key,
    "echo-everywhere": echo_everywhere,
    "echo-as-text": echo_as_text,
    "echo-inside": echo_inside,
    "status-400": _status(400, "invalid_request_error", None, "Bad image."),
    "status-context": _status(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens.",
    ),
    "status-403": _status(403, "permission_error", None, "Country not supported."),
    "status-404": _status(404, "not_found_error", "model_not_found", "The model does not exist."),
    "status-429": _status(
        429, "rate_limit_error", "rate_limit_exceeded", "Slow down.", retry_after="17"
    ),
    "status-quota": _status(
        429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."
    ),
    "status-500": _status(500, "server_error", None, "The server had an error."),
    "status-503": _status(503, "server_error", None, "Overloaded."),
    "status-529": _status(529, "overloaded_error", None, "Overloaded."),
}
"""Name → plan."""
