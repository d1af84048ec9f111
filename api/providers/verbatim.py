"""Parts of a JSON text, cut out as they were written.

What a provider reported is kept in its own bytes, numbers and all. A part whose name stands in the
text more than once is found by walking the object member by member, so the same word inside a text,
or deeper down, is never taken for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import orjson

_SPACE: Final = " \t\n\r"
_DECODER: Final = json.JSONDecoder()
Span = tuple[int, int]


def cut(data: bytes, *path: str) -> str | None:
    """The text of the member at `path`, the last one if a name is repeated; None if not found."""
    try:
        text = data.decode()
        span = (0, len(text))
        for name in path:
            found = [value for key, _, value in _members(text, span[0]) if key == name]
            span = found[-1]
    except (ValueError, IndexError, RecursionError):
        return None
    return text[span[0] : span[1]]


def without(data: bytes, name: str) -> bytes | None:
    """The object without its members called `name`, all others as they were written.

    None if it is nested too deeply to be taken apart.
    """
    try:
        text = data.decode()
        kept = [text[start : value[1]] for key, start, value in _members(text, 0) if key != name]
    except (ValueError, IndexError, RecursionError):
        loaded: dict[str, Any] = orjson.loads(data)
        loaded.pop(name, None)
        return written(loaded)
    return ("{" + ",".join(kept) + "}").encode()


def raw_text(data: bytes, value: Any, *path: str) -> tuple[str, bool]:
    """The member's own text and True; or, if that cannot be had, `value` written anew and False.

    The text is empty if the value is nested too deeply to be written.
    """
    for find in (_named_once, cut):
        text = find(data, *path)
        if text is not None and _says(text, value):
            return text, True
    return (written(value) or b"").decode(), False


def written(value: Any) -> bytes | None:
    """The value as JSON; None if it is nested deeper than can be written (254 levels)."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None


def _named_once(data: bytes, *path: str) -> str | None:
    """The text after the name, if the name stands nowhere else: no need to walk there."""
    name = f'"{path[-1]}"'.encode()
    _, found, rest = data.partition(name)
    if not found or name in rest:
        return None
    try:
        text = rest.decode()
        start = _skip(text, _expect(text, 0, ":"))
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, IndexError, RecursionError):
        return None
    return text[start:end]


def _says(text: str, value: Any) -> bool:
    try:
        return bool(orjson.loads(text) == value)
    except (ValueError, RecursionError):
        return False


def _members(text: str, start: int) -> Iterator[tuple[str, int, Span]]:
    """Name, start of the name and span of the value of each member of the object at `start`."""
    at = _expect(text, start, "{")
    at = _skip(text, at)
    while text[at] != "}":
        key_start = at
        _expect(text, at, '"')
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _expect(text, at, ":"))
        _, end = _DECODER.raw_decode(text, at)
        yield key, key_start, (at, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _expect(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at] != sign:
        raise ValueError("not a JSON object")
    return at + 1


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at
