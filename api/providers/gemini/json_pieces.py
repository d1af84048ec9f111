"""The objects of a JSON array, one by one, out of bytes that arrive in any pieces."""

from __future__ import annotations

import re
from typing import Final

_OUTSIDE: Final = re.compile(rb'["{}]')
_INSIDE: Final = re.compile(rb'["\\]')


class JsonPieces:
    """Gives each outermost object as soon as it is whole; what stands between them is dropped.

    An array of objects, objects in lines and a single object are all read alike.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._depth = 0
        self._in_text = False
        self._skip = 0
        """Bytes at the start of the next piece that an escape of the last one covers."""

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that these bytes complete."""
        found: list[bytes] = []
        start, place = 0, self._skip
        self._skip = max(self._skip - len(data), 0)
        while sign := (_INSIDE if self._in_text else _OUTSIDE).search(data, place):
            place = sign.end()
            kind = sign.group()
            if kind == b"\\":
                place += 1
                self._skip = max(place - len(data), 0)
            elif kind == b'"':
                self._in_text = self._depth > 0 and not self._in_text
            elif kind == b"{":
                start = start if self._depth else sign.start()
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    found.append(b"".join((*self._held, data[start:place])))
                    self._held.clear()
        if self._depth:
            self._held.append(data[start:])
        return found
