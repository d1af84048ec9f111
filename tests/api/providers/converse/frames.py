"""Amazon's event-stream frames, written by hand as the format says (PROVIDERS.md 5.3).

`python -m tests.api.providers.converse.frames < events.jsonl > answer` makes a golden answer;
each line is `["messageStart", {…}]`, or `["throttlingException", {…}, "exception"]`.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from typing import Any


def frame(kind: str, payload: Any, message: str = "event") -> bytes:
    """One frame; `message` is its :message-type, `kind` its event, exception or error code."""
    name = "error-code" if message == "error" else f"{message}-type"
    headers = {
        f":{name}": kind,
        ":content-type": "application/json",
        ":message-type": message,
    }
    return raw_frame(
        b"".join(_header(name, value) for name, value in headers.items()),
        payload if isinstance(payload, bytes) else compact(payload),
    )


def raw_frame(headers: bytes, payload: bytes) -> bytes:
    """Lengths, checksum of the lengths, headers, payload, checksum of all; big-endian."""
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    before = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return before + struct.pack(">I", zlib.crc32(before))


def compact(payload: Any) -> bytes:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()


def _header(name: str, value: str) -> bytes:
    """Kind 7 is a text with a length of two bytes."""
    text = value.encode()
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(text)) + text


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.buffer.write(frame(*json.loads(line)))
