"""Identifiers: UUIDs inside, a prefix and 32 hex digits outside."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from typing import Final, Literal
from uuid import UUID, uuid4, uuid5

from domain.errors import BadValue

Prefix = Literal["acc", "cred", "key", "req", "inv"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_48_BITS: Final = (1 << 48) - 1
_VERSION_7: Final = 7 << 76 | 2 << 62
_RANDOM_BITS: Final = (1 << 76) - 1 & ~(3 << 62)
_NAMESPACE: Final = UUID("6b657974-6f6c-5c00-8000-6b6579746f6c")
_UUID5: Final = 5 << 76 | 2 << 62
_UUID5_MASK: Final = (1 << 128) - 1 & ~(15 << 76 | 3 << 62)
_VARIANTS: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""A hex digit with the two upper bits that every UUID of this kind has."""
_PUBLIC: Final = re.compile(r"(acc|cred|key|req|inv)_([0-9a-f]{32})")


def new_id() -> UUID:
    """A fresh random UUID."""
    return uuid4()


def ordered_id(now: datetime) -> UUID:
    """A fresh UUID that sorts by the instant it was made at (RFC 9562, version 7).

    For streams that come by the thousand: an index over random ids touches another page with each
    of them, one over ordered ids grows at its end.
    """
    milliseconds = (now - _EPOCH) // timedelta(milliseconds=1)
    bits = int.from_bytes(secrets.token_bytes(10), "big")
    return UUID(int=(milliseconds & _48_BITS) << 80 | bits & _RANDOM_BITS | _VERSION_7)


def derived_id(*parts: str) -> UUID:
    """The same parts give the same UUID, so that a retry is recognised."""
    return uuid5(_NAMESPACE, "\x1f".join(parts))


def event_id(originator_id: UUID, originator_version: int) -> UUID:
    """The id of an event (EVENTS.md, The line): equal at every retry and replay."""
    return UUID(bytes=event_id_bytes(originator_id, originator_version))


def event_id_bytes(originator_id: UUID, originator_version: int) -> bytes:
    """The 16 bytes of `event_id`, without making a UUID of them."""
    name = originator_id.bytes + b"%d" % originator_version
    number = int.from_bytes(sha1(name, usedforsecurity=False).digest()[:16], "big")
    return (number & _UUID5_MASK | _UUID5).to_bytes(16, "big")


def event_id_text(originator_id: UUID, originator_version: int) -> str:
    """`event_id` as text, without making a UUID of it: every stored event needs one."""
    name = originator_id.bytes + b"%d" % originator_version
    text = sha1(name, usedforsecurity=False).hexdigest()
    variant = _VARIANTS[text[16]]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def public_id(prefix: Prefix, originator_id: UUID) -> str:
    """`req_…` and its kin: what callers see and events name."""
    return f"{prefix}_{originator_id.hex}"


def parse_id(prefix: Prefix, text: str) -> UUID:
    """The UUID behind a public id. Raises BadValue when the text is not one of that kind."""
    match = _PUBLIC.fullmatch(text)
    if not match or match[1] != prefix:
        raise BadValue(f"{text[:48]!r} is not an id of the form {prefix}_<32 hex digits>")
    return UUID(match[2])
