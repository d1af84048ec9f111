"""What the readers of answers that are not streamed share: they wait for the end."""

from __future__ import annotations

from collections.abc import Sequence

from api.providers.port import Chunk


class WholeBody:
    """Keeps the bytes of one answer."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    @property
    def done(self) -> bool:
        """A body ends when the connection says so."""
        return False

    def feed(self, data: bytes) -> Sequence[Chunk]:
        """Keep the bytes; the answer is given whole."""
        self._parts.append(data)
        return ()

    @property
    def body(self) -> bytes:
        """All that has come."""
        return b"".join(self._parts)
