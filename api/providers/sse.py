"""Server-sent events, decoded from bytes that arrive in any pieces."""

from __future__ import annotations

from typing import Final

SseEvent = tuple[bytes, bytes]
"""The event's name (empty if it has none) and its data."""

_BOM: Final = b"\xef\xbb\xbf"
_DATA: Final = b"data: "
_EVENT: Final = b"event: "


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
        if not self._started or self._held or self._after_cr or b"\r" in data:
            return self._any(data)
        if data.startswith(_DATA) and data.endswith(b"\n\n") and data.find(b"\n") == len(data) - 2:
            return [(b"", data[6:-2])]
        return self._complete(data)

    def _any(self, data: bytes) -> list[SseEvent]:
        if not data:
            # Nothing completes nothing, and a CR before it may still be followed by its LF.
            return []
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        held = self._held
        if not held:
            return self._complete(data)
        held.append(data)
        # Joining only when a blank line may be complete keeps a huge event in small pieces
        # from being copied once per piece.
        if b"\n\n" not in data and not (data[:1] == b"\n" and held[-2][-1:] == b"\n"):
            if not data:  # a LF that belonged to the CR before
                held.pop()
            return []
        data = b"".join(held)
        held.clear()
        return self._complete(data)

    def _complete(self, data: bytes) -> list[SseEvent]:
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._held.append(rest)
        if blocks and not self._started:
            blocks[0] = self._without_mark(blocks[0])
            self._started = True
        events: list[SseEvent] = []
        for block in blocks:
            line_end = block.find(b"\n")
            if line_end < 0 and block.startswith(_DATA):
                events.append((b"", block[6:]))
            elif (
                block.startswith(_EVENT)
                and block.startswith(_DATA, line_end + 1)
                and block.find(b"\n", line_end + 1) < 0
            ):
                events.append((block[7:line_end], block[line_end + 7 :]))
            else:
                _parse(block, events)
        return events

    def pending(self) -> SseEvent | None:
        """The last event if the stream ended here, without its blank line. Changes nothing."""
        events: list[SseEvent] = []
        _parse(self._without_mark(b"".join(self._held)), events)
        return events[0] if events else None

    def drop_pending(self) -> None:
        """Forget what `pending` showed: it has been taken."""
        self._held.clear()

    def _without_mark(self, block: bytes) -> bytes:
        return block if self._started else block.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr:
            # The CR before was taken as a line's end; a LF that follows belongs to it.
            data = data.removeprefix(b"\n")
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
