"""Answers in another form than was asked for: what they used is read all the same.

A stream was asked for and one JSON text comes, or the other way round: some servers do so, under
whatever content type. The call was served and is billed by the provider, so its usage counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from api.providers.failures import unreadable
from api.providers.port import ChatCall, Chunk, Outcome, Reader

Make = Callable[[ChatCall], Reader]

_BEFORE: Final = b" \t\r\n\xef\xbb\xbf"
"""White space, and the bytes of a mark of order, which may stand before either form."""
_JSON: Final = (b"{", b"[")


def reader_of(call: ChatCall, *, whole: Make, stream: Make) -> Reader:
    """A reader of the form that was asked for, which knows the other one too."""
    if call.stream:
        return _Stream(call, whole=whole, stream=stream)
    return Whole(call, whole=whole, stream=stream)


class _Stream:
    """A stream, unless its first byte says that it is one JSON text."""

    def __init__(self, call: ChatCall, *, whole: Make, stream: Make) -> None:
        self._call = call
        self._whole = whole
        self._reader = stream(call)
        self._known = False

    @property
    def done(self) -> bool:
        return self._reader.done

    def feed(self, data: bytes) -> Sequence[Chunk]:
        if not self._known:
            first = data.lstrip(_BEFORE)[:1]
            self._known = bool(first)
            if first in _JSON:
                self._reader = self._whole(self._call)
        return self._reader.feed(data)

    def finish(self) -> Outcome:
        return self._reader.finish()

    def received_text(self) -> str:
        return self._reader.received_text()


class Whole:
    """One JSON text, unless there is none and the bytes make sense as a stream."""

    def __init__(self, call: ChatCall, *, whole: Make, stream: Make) -> None:
        self._call = call
        self._stream = stream
        self._reader = whole(call)
        self._other: Reader | None = None
        self._parts: list[bytes] = []

    @property
    def done(self) -> bool:
        return self._reader.done

    def feed(self, data: bytes) -> Sequence[Chunk]:
        self._parts.append(data)
        return self._reader.feed(data)

    def finish(self) -> Outcome:
        outcome = self._reader.finish()
        if outcome.failure is None or outcome.generated or outcome.usage:
            return outcome
        other = self._stream(replace(self._call, stream=True))
        other.feed(b"".join(self._parts))
        found = other.finish()
        if not (found.generated or found.usage):
            return outcome
        self._other = other
        if found.failure is None:
            found.failure = unreadable("The provider's answer is not what was asked for.")
        return replace(found, tail=())

    def received_text(self) -> str:
        return (self._other or self._reader).received_text()
