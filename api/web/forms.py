"""From what a form sent to what the operations take; and what a form may say back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from api.errors import ApiError
from api.routes.schemas import built
from domain.errors import BadValue

__all__ = ["built", "repeated", "sentence", "whole", "words_of"]

_COULD_BE_A_KEY: Final = re.compile(r"[A-Za-z0-9]{20,}")


def repeated(fields: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """What a refused form shows again: of these fields, what cannot be a secret gone astray."""
    return {
        name: fields[name]
        for name in names
        if name in fields and not _COULD_BE_A_KEY.search(fields[name])
    }


def sentence(error: ApiError) -> str:
    """The message as a sentence for people, who see fields and not a JSON object."""
    text = error.message.replace("key.", "")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def words_of(text: str) -> list[str] | None:
    """One name per line or between commas; None if there is none."""
    return [word for word in re.split(r"[\s,]+", text) if word] or None


def whole(text: str, *, param: str) -> int | None:
    """A whole number, or None for an empty field. Raises BadValue."""
    if not text.strip():
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise BadValue(f"{param} must be a whole number", param=param)
    return int(text)
