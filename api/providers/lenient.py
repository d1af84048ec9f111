"""JSON as providers write it, which is not always JSON as it should be.

Writers in JavaScript cut a text between the halves of a surrogate pair, writers in Python put NaN
where a number is missing. Such an answer was generated and has to be paid for, so it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

MENDED_BYTES_MAX: Final = 4 * 1024 * 1024
"""Mending looks at every text, so there is a limit to what it is worth."""

_BOM: Final = b"\xef\xbb\xbf"
_SIGNS: Final = (b"\\u", b"NaN", b"Infinity", _BOM)
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|-?Infinity|NaN', re.DOTALL)
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F]..|.)",
    re.DOTALL,
)
_LONE_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]..", re.DOTALL)


def loads(data: bytes) -> Any:
    """The value; half a surrogate pair reads as U+FFFD, NaN as null. Raises ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        if len(data) > MENDED_BYTES_MAX or not any(sign in data for sign in _SIGNS):
            raise
        return orjson.loads(_TOKEN.sub(_mended, data.removeprefix(_BOM)))


def json_object(data: bytes) -> dict[str, Any] | None:
    """The object that these bytes are; None if they are none."""
    try:
        found = loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def objects(found: Any) -> list[dict[str, Any]]:
    """The objects of a list; nothing if it is none."""
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text_of(found: Mapping[str, Any], name: str) -> str:
    """A member that is text; else nothing."""
    value = found.get(name)
    return value if isinstance(value, str) else ""


def index_of(found: Mapping[str, Any], name: str = "index") -> int:
    """A member that is a place in a list; the first place if it tells none."""
    value = found.get(name)
    return value if type(value) is int else 0


def _mended(token: re.Match[bytes]) -> bytes:
    found = token.group()
    if not found.startswith(b'"'):
        return b"null"
    return _ESCAPE.sub(_whole, found) if b"\\u" in found else found


def _whole(escape: re.Match[bytes]) -> bytes:
    found = escape.group()
    return b"\\ufffd" if _LONE_HALF.fullmatch(found) else found
