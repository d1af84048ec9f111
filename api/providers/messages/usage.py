"""Usage of Anthropic's Messages: what was read from and written to the cache stands beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from api.providers.port import RawObject
from api.providers.usage import Normalised, section, told_word
from domain.events.base import JsonObject

_OF_THE_MODEL: Final = frozenset({"message", "compaction"})
"""Iterations at the price of the call's own model; the others name theirs."""
ITERATIONS_MAX: Final = 1000
LEVELS_MAX: Final = 4
"""Of a usage object that are merged one by one; no count stands deeper than in the second."""
_COMPARED: Final = ("input_tokens", "output_tokens", "cached_input_tokens")


def normalise_messages_usage(raw: Mapping[str, Any], model: str | None = None) -> Normalised:
    """One usage object, that of a message or a merged one of a stream, in our inclusive units."""
    found = Normalised()
    _counts(found, raw)
    found.put(
        "web_search_calls", found.count(section(raw, "server_tool_use"), "web_search_requests")
    )
    _context(found, raw)
    _iterations(found, raw, model)
    return found


def merged_usage(
    start: Mapping[str, Any], delta: Mapping[str, Any], *, levels: int = LEVELS_MAX
) -> RawObject:
    """What a stream said at its start, overwritten by what it said later.

    A count that was told does not become 0 by a later 0: gateways fill fields that they do not
    know with zeros, at either end.
    """
    merged = dict(start)
    for name, value in delta.items():
        known = merged.get(name)
        if value is None or (value == 0 and known):
            continue
        if levels > 1 and isinstance(value, Mapping) and isinstance(known, Mapping):
            merged[name] = merged_usage(known, value, levels=levels - 1)
        else:
            merged[name] = value
    return merged


def _counts(found: Normalised, raw: Mapping[str, Any]) -> None:
    uncached = found.count(raw, "input_tokens")
    read = found.count(raw, "cache_read_input_tokens")
    written = _cache_writes(found, raw)
    found.put("output_tokens", found.count(raw, "output_tokens"))
    found.put(
        "reasoning_tokens", found.count(section(raw, "output_tokens_details"), "thinking_tokens")
    )
    if uncached == 0 and not read and not written:
        # No prompt is empty: gateways fill what they do not know with zeros (PROVIDERS.md 4.3).
        found.note("zero_input")
        uncached = None
    if uncached is None:
        if read or written:
            found.note("uncached_input_missing")
        # Parts without their whole cannot be priced; the raw object keeps them.
        for unit in ("cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_tokens"):
            found.usage.pop(unit, None)
            found.provenance.pop(unit, None)
        return
    found.put("cached_input_tokens", read)
    inclusive = bool(read or written)
    found.put(
        "input_tokens",
        uncached + (read or 0) + written,
        "derived" if inclusive else "reported",
    )


def _cache_writes(found: Normalised, raw: Mapping[str, Any]) -> int:
    """All writes; those whose lifetime is not told are the rest of the total."""
    total = found.count(raw, "cache_creation_input_tokens")
    split = section(raw, "cache_creation")
    five_minutes = found.count(split, "ephemeral_5m_input_tokens")
    one_hour = found.count(split, "ephemeral_1h_input_tokens")
    found.put("cache_write_5m_tokens", five_minutes)
    found.put("cache_write_1h_tokens", one_hour)
    told = (five_minutes or 0) + (one_hour or 0)
    if total is None:
        return told
    if told > total:
        found.note("cache_write_split_exceeds_total")
    untold = max(total - told, 0)
    has_split = five_minutes is not None or one_hour is not None
    found.put("cache_write_tokens", untold, "derived" if has_split else "reported")
    if untold and has_split:
        found.note("cache_write_kind_not_told")
    return max(total, told)


def _context(found: Normalised, raw: Mapping[str, Any]) -> None:
    tier = _word(raw, "service_tier")
    if tier == "batch":
        found.context["batch"] = True
    elif tier not in (None, "standard"):
        found.context["service_tier"] = tier
    speed = _word(raw, "speed")
    if speed not in (None, "standard"):
        found.context["speed"] = speed
    geo = _word(raw, "inference_geo")
    if geo not in (None, "not_available"):
        found.context["inference_geo"] = geo


def _word(raw: Mapping[str, Any], name: str) -> str | None:
    return told_word(raw.get(name))


def _iterations(found: Normalised, raw: Mapping[str, Any], model: str | None) -> None:
    """Several models, or iterations that the top level leaves out, are billed one by one."""
    iterations = raw.get("iterations")
    if not isinstance(iterations, list) or "input_tokens" not in found.usage:
        return
    if len(iterations) > ITERATIONS_MAX:
        found.note("too_many_iterations")
        return
    grouped: dict[str | None, dict[str, int]] = {}
    for iteration in iterations:
        if not isinstance(iteration, Mapping):
            continue
        own = _word(iteration, "type") in _OF_THE_MODEL
        named = model if own else _word(iteration, "model") or model
        counted = Normalised()
        _counts(counted, iteration)
        for anomaly in counted.anomalies:
            found.note(anomaly)
        _add(grouped.setdefault(named, {}), counted.usage)
    main = grouped.get(model)
    whole = main is not None and all(
        main.get(unit, 0) == found.usage.get(unit, 0) for unit in _COMPARED
    )
    if not grouped or (len(grouped) == 1 and whole and _same_writes(main or {}, found.usage)):
        return
    if set(grouped) - {model} or not whole:
        found.note("iterations_outside_total")
    for unit in ("web_search_calls", "reasoning_tokens"):
        if unit in found.usage:
            grouped.setdefault(model, {}).setdefault(unit, found.usage[unit])
    found.parts = [_part(named, usage) for named, usage in grouped.items()]


def _part(model: str | None, usage: dict[str, int]) -> JsonObject:
    return {"model": model, "usage": usage}


def _add(to: dict[str, int], usage: Mapping[str, int]) -> None:
    for unit, count in usage.items():
        to[unit] = to.get(unit, 0) + count


def _same_writes(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return _written(one) == _written(other)


def _units(prefix: str, usage: Mapping[str, int]) -> Iterable[int]:
    return (count for unit, count in usage.items() if unit.startswith(prefix))


def _written(usage: Mapping[str, int]) -> int:
    return sum(_units("cache_write", usage))
