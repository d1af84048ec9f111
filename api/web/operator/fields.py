"""How the operator's forms write what the operations take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from domain.errors import BadValue
from domain.money import text_of

_PERCENT: Final = re.compile(r"[0-9]{1,3}([.,][0-9]{1,10})?")
_MINUTE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?")
_HUNDRED: Final = Decimal(100)


def share(text: str, *, param: str) -> str:
    """A rate from per cent: "5" is "0.05". Raises BadValue."""
    text = text.strip().removesuffix("%").strip()
    if not _PERCENT.fullmatch(text):
        raise BadValue("Enter per cent as a number, such as 5 or 7.5.", param=param)
    value = Decimal(text.replace(",", "."))
    if value > _HUNDRED:
        raise BadValue("Enter a rate from 0 to 100 per cent.", param=param)
    return text_of(value.scaleb(-2))


def percent(rate: str) -> str:
    """A rate as per cent, with all digits: "0.05" is "5"."""
    return text_of(Decimal(rate) * _HUNDRED)


def instant_of_field(text: str, *, param: str) -> str | None:
    """What a browser sends of a day and a time, as UTC; None for an empty field."""
    text = text.strip()
    if not text:
        return None
    if not _MINUTE.fullmatch(text):
        raise BadValue("Enter a day and a time in UTC, such as 2026-12-01 00:00.", param=param)
    return f"{text}Z" if text.count(":") == 2 else f"{text}:00Z"


def tags_of(text: str) -> dict[str, str]:
    """Tags, one `name=value` on each line. Raises BadValue."""
    tags: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, separator, value = (part.strip() for part in line.partition("="))
        if not separator:
            raise BadValue("Write each tag on a line of its own: team=a", param="default_tags")
        if name in tags:
            raise BadValue("Each tag has one value.", param="default_tags")
        tags[name] = value
    return tags


def tags_text(tags: Mapping[str, str]) -> str:
    """The other way round."""
    return "\n".join(f"{name}={value}" for name, value in sorted(tags.items()))
