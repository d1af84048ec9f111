"""Server-sent events, decoded from bytes that arrive in any pieces."""

from __future__ import annotations

from typing import Final

SseEvent = tuple[bytes, bytes]
"""The event's name (empty if it has none) and its data."""

_BOM: Final = b"\xef\xbb\xbf"
_DATA: Final = b"data: "


class SseDecoder:
    """Turns bytes into events; the same bytes cut elsewhere give the same events.

    Lines end with LF, CRLF or CR; comments, ids and retry times are dropped. The common event, one
    `data: …` line and a blank one, costs a split and a slice.
    """

    __slots__ = ("_after_cr", "_held", "_started")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._after_cr = False
        self._started = False

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that these bytes complete."""
        if not data:
            return []
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        held = self._held
        if held:
            # Joining only when a blank line may be complete keeps a huge event in small pieces
            # from being copied once per piece.
            if b"\n\n" not in data and not (data[:1] == b"\n" and held[-1][-1:] == b"\n"):
                if data:
                    held.append(data)
                return []
            held.append(data)
            data = b"".join(held)
            held.clear()
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            held.append(rest)
        events = []
        for block in blocks:
            if block.startswith(_DATA) and b"\n" not in block and self._started:
                events.append((b"", block[6:]))
            else:
                self._block(block, events)
        return events

    def pending(self) -> SseEvent | None:
        """The last event if the stream ended here, without its blank line. Changes nothing."""
        events: list[SseEvent] = []
        _parse(self._without_mark(b"".join(self._held)), events)
        return events[0] if events else None

    def drop_pending(self) -> None:
        """Forget what `pending` showed: it has been taken."""
        self._held.clear()

    def _block(self, block: bytes, events: list[SseEvent]) -> None:
        block = self._without_mark(block)
        self._started = True
        _parse(block, events)

    def _without_mark(self, block: bytes) -> bytes:
        return block if self._started else block.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr:
            # The CR before was taken as a line's end; a LF that follows belongs to it.
            data = data.removeprefix(b"\n") if data[:1] == b"\n" else data
        # An empty remainder keeps no CR: the pair is complete.
        self._after_cr = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _parse(block: bytes, events: list[SseEvent]) -> None:
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    if data:
        events.append((name, b"\n".join(data)))
