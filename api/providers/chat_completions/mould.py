"""Recognises, without parsing, a chunk that differs from an earlier one only in its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api.providers.port import RawObject

_CONTENT: Final = b'"content":"'
_NOISE: Final = b'"obfuscation":"'


@dataclass(frozen=True, slots=True)
class Mould:
    """The bytes of a plain content chunk around its text.

    A chunk that has exactly these bytes around one JSON string without escapes says exactly what
    the parsed one said, whatever that string holds: same id and model, no usage, no end, no error.
    Anything else is parsed.
    """

    head: bytes
    middle: bytes
    """From the end of the text to the noise, or to the end of the chunk if it has no noise."""
    end: bytes | None
    """What follows the noise."""

    @classmethod
    def of(cls, found: RawObject, data: bytes) -> Mould | None:
        """The mould of a parsed chunk, if it is a plain one."""
        if not _is_plain(found) or data.count(_CONTENT) != 1 or not data.isascii():
            return None
        start = data.index(_CONTENT) + len(_CONTENT)
        stop = data.find(b'"', start)
        if data[start:stop] != found["choices"][0]["delta"]["content"].encode():
            # The text is escaped, or this is not where it stands.
            return None
        head, rest = data[:start], data[stop:]
        noise = rest.find(_NOISE)
        if noise < 0:
            return cls(head, rest, None)
        noise += len(_NOISE)
        return cls(head, rest[:noise], rest[rest.index(b'"', noise) :])

    def fits(self, data: bytes) -> bool:
        """True if the data was cast in this mould with some text that is not empty."""
        if not data.startswith(self.head) or b"\\" in data or not data.isascii():
            return False
        start = len(self.head)
        stop = data.find(b'"', start)
        if stop <= start or not data.startswith(self.middle, stop):
            return False
        if self.end is None:
            return stop + len(self.middle) == len(data)
        noise_end = data.find(b'"', stop + len(self.middle))
        return data[noise_end:] == self.end


_DELTA: Final = frozenset({"content", "role"})


def _is_plain(found: RawObject) -> bool:
    choices = found.get("choices")
    if found.get("usage") is not None or not isinstance(choices, list) or len(choices) != 1:
        return False
    if "error" in found or "x_keytoll" in found or not isinstance(choices[0], dict):
        return False
    delta = choices[0].get("delta")
    return (
        isinstance(delta, dict)
        and delta.keys() <= _DELTA
        and isinstance(delta.get("content"), str)
        and delta["content"] != ""
        and choices[0].get("finish_reason") is None
    )
