"""From what a form sent to what the operations take; and what a form may say back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from api.errors import ApiError, api_error
from domain.errors import BadValue

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
