"""From a provider's own usage object to the units of API.md 7.

What a provider did not say stays absent; what it said as 0 stays 0. Counts that contradict each
other are bent only as far as pricing needs (a part never exceeds its whole), each time under a
name in `anomalies`; the raw object is kept beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from api.providers.port import Outcome
from api.providers.verbatim import raw_text
from domain.events.base import JsonObject
from domain.usage import COUNT_MAX

RAW_CHARS_MAX: Final = 64 * 1024
WORD_CHARS_MAX: Final = 200
"""No provider's id, model or tier is longer; an event must not grow at somebody's whim."""


@dataclass(slots=True)
class Normalised:
    """What one usage object says."""

    usage: dict[str, int] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)
    context: JsonObject = field(default_factory=dict)
    parts: list[JsonObject] = field(default_factory=list)
    anomalies: list[str] = field(default_factory=list)
    provider_cost: JsonObject | None = None
    """{amount, meaning: total | upstream | gateway_fee}: the provider's own figure (EVENTS.md)."""

    @property
    def final(self) -> bool:
        """Both what went in and what came out were told."""
        return "input_tokens" in self.usage and "output_tokens" in self.usage

    def put(self, unit: str, count: int | None, provenance: str = "reported") -> None:
        """Set a unit, unless the count is unknown, or a sum that is no count any more."""
        if count is not None and count > COUNT_MAX:
            self.note(f"not_a_count:{unit}")
        elif count is not None:
            self.usage[unit] = count
            self.provenance[unit] = provenance

    def note(self, anomaly: str) -> None:
        """Name an oddity, once."""
        if anomaly not in self.anomalies:
            self.anomalies.append(anomaly)

    def count(self, raw: Mapping[str, Any], name: str) -> int | None:
        """The count called `name`; None if it is missing, null or not a count."""
        value = raw.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer() and abs(value) <= COUNT_MAX:
            value = int(value)
        if type(value) is not int or not 0 <= value <= COUNT_MAX:
            self.note(f"not_a_count:{name}")
            return None
        return value


def told_word(value: Any) -> str | None:
    """A short text of a provider's that names something; None if it is not one."""
    return value[:WORD_CHARS_MAX] if isinstance(value, str) and value else None


def keep_raw(found: Normalised, data: bytes, value: Any, *path: str) -> list[str]:
    """The usage object as it was written, for the record; nothing if it is absurd."""
    text, verbatim = raw_text(data, value, *path)
    if not verbatim:
        found.note("usage_not_verbatim")
    if not text:
        found.note("usage_raw_too_deep")
        return []
    if len(text) > RAW_CHARS_MAX:
        found.note("usage_raw_too_long")
        return []
    return [text]


def report_usage(outcome: Outcome, found: Normalised, raw: list[str]) -> None:
    """Put what the usage objects say, and their texts, into the outcome."""
    outcome.usage, outcome.provenance = found.usage, found.provenance
    outcome.parts, outcome.provider_cost = found.parts, found.provider_cost
    outcome.context = {**outcome.context, **found.context}
    outcome.anomalies, outcome.complete_usage = found.anomalies, found.final
    outcome.usage_raw = raw


def section(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object called `name` inside `raw`, empty if there is none."""
    value = raw.get(name)
    return value if isinstance(value, Mapping) else {}


def fit(found: Normalised, room: int, *units: str, anomaly: str) -> int:
    """Keep the sum of these parts within `room`, cutting the later ones; what room is left."""
    for unit in units:
        count = found.usage.get(unit)
        if count is None:
            continue
        if count > room:
            found.put(unit, room, "derived")
            found.note(anomaly)
            count = room
        room -= count
    return room
