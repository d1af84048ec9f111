"""What Gemini's models differ in, as data: how they are told to think.

Sources: Google's pages on thinking, thought signatures and grounding (read 2026-11), and the table
by which Google's own OpenAI endpoint turns efforts into levels and budgets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Version = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRules:
    """What one model takes."""

    levels: Mapping[str, str] | None = None
    """Effort → `thinkingLevel`; None: this model has none."""
    budgets: Mapping[str, int] | None = None
    """Effort → `thinkingBudget`; None: this model has none."""
    wants_signatures: bool = False
    """A tool call without its thought signature is refused."""
    bills_each_search: bool = False
    """Every search is billed; else one per grounded answer."""


_PRO_LEVELS: Final = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
_FIRST_PRO_LEVELS: Final = {**_PRO_LEVELS, "medium": "high"}
"""Gemini 3 Pro knew low and high only."""
_FLASH_LEVELS: Final = {**_PRO_LEVELS, "none": "minimal", "minimal": "minimal"}
"""`minimal` is as near to not thinking as these come."""
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_PRO_BUDGETS: Final = {**_BUDGETS, "xhigh": 32768, "max": 32768}
"""Thinking cannot be switched off, so there is no `none`."""
_FLASH_BUDGETS: Final = {**_BUDGETS, "none": 0, "xhigh": 24576, "max": 24576}

_NAME: Final = re.compile(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?(?![\d.])")
_NEWEST: Final[Version] = (99, 0)
"""An alias such as gemini-flash-latest, or a name that this table cannot place."""


def rules_of(model: str) -> ModelRules:
    """The rules of a model id, with or without a date."""
    name = model.lower()
    version = _version(name)
    if version < (2, 5):
        return ModelRules()
    pro = "pro" in name.split("-")
    if version < (3, 0):
        if "image" in name or "tts" in name:
            return ModelRules()
        return ModelRules(budgets=_PRO_BUDGETS if pro else _FLASH_BUDGETS)
    levels = _FLASH_LEVELS
    if pro:
        levels = _FIRST_PRO_LEVELS if version == (3, 0) else _PRO_LEVELS
    gemini = "gemini" in name
    return ModelRules(levels=levels, wants_signatures=gemini, bills_each_search=gemini)


def _version(name: str) -> Version:
    found = _NAME.search(name)
    if found:
        return int(found.group(1)), int(found.group(2) or 0)
    if name.startswith(("gemma-1", "gemma-2", "gemma-3", "learnlm")):
        return (1, 0)
    return _NEWEST
