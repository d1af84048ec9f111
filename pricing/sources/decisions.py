"""What a person decided where the sources contradict each other, and why."""

from __future__ import annotations

from typing import Final

TIERS_OF_THE_PAST: Final = {
    # genai-prices keeps the long-context tier for calls of the past (its own comment): Anthropic
    # ended the 1M beta of this model on 2026-04-30, and longer prompts are refused since.
    ("anthropic", "claude-sonnet-4.5"): "genai-prices",
}
"""Provider and canonical name → the source whose long-context tiers are not taken over."""

OMITTED_WHERE_CONTRADICTED: Final = frozenset(
    {"web_search_per_call", "input_audio", "output_audio", "cached_input_audio"}
)
"""Prices without which the rest of a row still stands: their units are then unrated. Every other
contradiction leaves the whole service class out, or the model when it is in the standard one."""
