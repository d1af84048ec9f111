"""How the operator's forms write what the operations take, and what is wrong with a field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Self

from api.errors import ApiError, api_error
from api.web.forms import sentence
from domain.errors import BadValue
from domain.money import text_of

_PERCENT: Final = re.compile(r"[0-9]{1,3}([.,][0-9]{1,10})?")
_MINUTE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?")
_HUNDRED: Final = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Which form was refused, for which field, and what was typed."""

    form: str = ""
    param: str = ""
    """The field; "" where it is none of them."""
    problem: str = ""
    status: int = 400
    typed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: Exception, form: str, typed: Mapping[str, str]) -> Self:
        """From what the operation raised."""
        shown = api_error(error)
        return cls(
            form=form,
            param=shown.param or "",
            problem=_beside_its_field(shown),
            status=shown.status,
            typed=typed,
        )

    def about(self, form: str, *names: str) -> str:
        """The message for a field of a form (a part of it included), or ""."""
        mine = self.form == form and any(
            self.param == name or self.param.startswith(f"{name}.") for name in names
        )
        return self.problem if mine else ""

    def beside(self, form: str, *names: str) -> str:
        """The message of a form that belongs to none of these fields, or ""."""
        return "" if self.form != form or self.about(form, *names) else self.problem

    def value(self, form: str, name: str, otherwise: str = "") -> str:
        """What to show in a field again."""
        return self.typed.get(name, "") if self.form == form else otherwise


def _beside_its_field(error: ApiError) -> str:
    """A sentence that need not name the field, because it stands there."""
    named = rf"(entry 1: )?('{re.escape(error.param or '')}': |{re.escape(error.param or '')} )"
    text = re.sub(f"^{named}", "", error.message) if error.param else error.message
    return sentence(ApiError(error.status, error.code, text))


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
