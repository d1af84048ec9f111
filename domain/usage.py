"""What a call used: a count for each unit of API.md 7.

A unit that is absent is unknown; a unit that is 0 was reported (or derived) as zero. Counts are
inclusive: `input_tokens` contains every cached, written, audio and image input token, and
`output_tokens` contains reasoning, audio and image output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from domain.errors import BadValue

Usage = Mapping[str, int]
"""Unit name → count."""

UNITS: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cached_audio_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_write_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "web_search_calls",
    "requests",
)
_KNOWN: Final = frozenset(UNITS)
COUNT_MAX: Final = 10**12

PART_OF: Final = {
    "cached_input_tokens": "input_tokens",
    "cache_write_5m_tokens": "input_tokens",
    "cache_write_1h_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "input_audio_tokens": "input_tokens",
    "input_image_tokens": "input_tokens",
    "output_audio_tokens": "output_tokens",
    "output_image_tokens": "output_tokens",
    "cached_audio_tokens": "cached_input_tokens",
}
"""Part → its whole. Together the parts never exceed it."""


class InconsistentUsage(BadValue):
    """The counts contradict each other, so no price can be right."""


def check_usage(usage: Usage) -> None:
    """Raise InconsistentUsage unless every unit is known, a count, and no part exceeds its whole.

    Reasoning is informational and may exceed the output it is part of (PROVIDERS.md 1.2, rule 3):
    it is not checked against it.
    """
    parts: dict[str, int] = {}
    for unit, count in usage.items():
        if unit not in _KNOWN:
            raise InconsistentUsage(f"usage has an unknown unit {unit[:40]!r}", param="usage")
        if type(count) is not int or not 0 <= count <= COUNT_MAX:
            raise InconsistentUsage(f"usage.{unit} must be a count", param=f"usage.{unit}")
        whole = PART_OF.get(unit)
        if whole is not None:
            parts[whole] = parts.get(whole, 0) + count
    for whole, known in parts.items():
        if known > usage.get(whole, 0):
            raise InconsistentUsage(f"usage.{whole} is less than its parts", param=f"usage.{whole}")
