"""What some answers tell beside their usage object: models used, tools run, the maker's counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.chat_completions.usage import normalise_chat_usage
from api.providers.usage import Normalised, section, told_word
from domain.events.base import JsonObject

MODELS_MAX: Final = 200
_SEARCHES: Final = frozenset({"search", "web_search", "browser_search"})
_TOTALS: Final = ("input_tokens", "output_tokens")


def break_down(found: Normalised, breakdown: Any, model: str | None) -> None:
    """Bill each model by itself, when a call used others than the one it was made to.

    `breakdown` is Groq's `{models: [{model, usage}]}`; a model may stand there more than once.
    """
    used = breakdown.get("models") if isinstance(breakdown, Mapping) else None
    if not isinstance(used, list) or not used:
        return
    if len(used) > MODELS_MAX:
        found.note("too_many_models")
        return
    grouped = _by_model(found, used, model)
    if not grouped or set(grouped) == {model}:
        return
    for unit in _TOTALS:
        if sum(part.get(unit, 0) for part in grouped.values()) != found.usage.get(unit, 0):
            found.note("parts_differ_from_total")
    if "web_search_calls" in found.usage:
        own = grouped.setdefault(model, {})
        own["web_search_calls"] = found.usage["web_search_calls"]
    found.parts = [_part(named, usage) for named, usage in grouped.items()]


def _by_model(
    found: Normalised, used: list[Any], model: str | None
) -> dict[str | None, dict[str, int]]:
    grouped: dict[str | None, dict[str, int]] = {}
    for each in used:
        if isinstance(each, Mapping) and isinstance(each.get("usage"), Mapping):
            named = told_word(each.get("model")) or model
            counted = normalise_chat_usage(each["usage"], named)
            for anomaly in counted.anomalies:
                found.note(anomaly)
            total = grouped.setdefault(named, {})
            for unit, count in counted.usage.items():
                total[unit] = total.get(unit, 0) + count
    return grouped


def searches_run(tools: Any) -> int | None:
    """How many of the tools that the provider ran itself were web searches; None: none told."""
    if not isinstance(tools, list):
        return None
    return sum(isinstance(tool, Mapping) and tool.get("type") in _SEARCHES for tool in tools)


def read_metadata(found: Normalised, metadata: Mapping[str, Any]) -> None:
    """Searches, and what Anthropic wrote to its cache, out of Vercel's `provider_metadata`."""
    gateway = section(metadata, "gateway")
    found.put("web_search_calls", found.count(gateway, "billableWebSearchCalls"))
    own = section(section(metadata, "anthropic"), "usage")
    if own and "input_tokens" in found.usage:
        _written(found, own)


def _written(found: Normalised, own: Mapping[str, Any]) -> None:
    """Tell lifetimes of cache writes apart, and whether the prompt's count contains them.

    Anthropic's own `input_tokens` contains neither reads nor writes.
    """
    uncached = found.count(own, "input_tokens")
    read = found.count(own, "cache_read_input_tokens") or 0
    written = found.count(own, "cache_creation_input_tokens") or 0
    if uncached is None or not written:
        return
    if found.usage["input_tokens"] in (uncached, uncached + read):
        found.note("cache_writes_outside_prompt")
        if "cache_write_exceeds_input" in found.anomalies:
            found.anomalies.remove("cache_write_exceeds_input")
        found.put("input_tokens", uncached + read + written, "derived")
    elif found.usage["input_tokens"] != uncached + read + written:
        found.note("upstream_usage_differs")
        return
    split = section(own, "cache_creation")
    told = 0
    for name, unit in (
        ("ephemeral_5m_input_tokens", "cache_write_5m_tokens"),
        ("ephemeral_1h_input_tokens", "cache_write_1h_tokens"),
    ):
        count = found.count(split, name)
        found.put(unit, count)
        told += count or 0
    found.put("cached_input_tokens", read)
    found.put("cache_write_tokens", max(written - told, 0), "derived")


def _part(model: str | None, usage: dict[str, int]) -> JsonObject:
    return {"model": model, "usage": usage}
