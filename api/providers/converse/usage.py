"""Usage of Converse: what was read from and written to the cache stands beside `inputTokens`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.usage import Normalised, section, told_word
from domain.events.base import JsonObject

_TTL_UNITS: Final = {"5m": "cache_write_5m_tokens", "1h": "cache_write_1h_tokens"}


def normalise_converse_usage(raw: Mapping[str, Any], model: str | None = None) -> Normalised:
    """One `usage` object in our inclusive units."""
    found = Normalised()
    uncached = found.count(raw, "inputTokens")
    read = found.count(raw, "cacheReadInputTokens")
    output = found.count(raw, "outputTokens")
    found.put("output_tokens", output)
    if uncached is None:
        if read or raw.get("cacheWriteInputTokens"):
            # Parts without their whole cannot be priced; the raw object keeps them.
            found.note("uncached_input_missing")
        return found
    written = _cache_writes(found, raw)
    found.put("cached_input_tokens", read)
    inclusive = bool(read or written)
    total_in = uncached + (read or 0) + written
    found.put("input_tokens", total_in, "derived" if inclusive else "reported")
    total = found.count(raw, "totalTokens")
    if total is not None and output is not None and total != total_in + output:
        found.note("total_is_not_the_sum")
    return found


def price_context(found: Mapping[str, Any]) -> JsonObject:
    """What a request, an answer or the metadata of a stream says about its price."""
    told = {
        "service_tier": told_word(section(found, "serviceTier").get("type")),
        "speed": told_word(section(found, "performanceConfig").get("latency")),
    }
    return {name: word for name, word in told.items() if word is not None}


def _cache_writes(found: Normalised, raw: Mapping[str, Any]) -> int:
    """All writes; those whose lifetime is not told are the rest of the total."""
    total = found.count(raw, "cacheWriteInputTokens")
    split: dict[str, int] = {}
    details = raw.get("cacheDetails")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping):
            unit = _TTL_UNITS.get(str(detail.get("ttl")))
            count = found.count(detail, "inputTokens")
            if unit is not None and count is not None:
                split[unit] = split.get(unit, 0) + count
    for unit, count in split.items():
        found.put(unit, count)
    told = sum(split.values())
    if total is None:
        return told
    if told > total:
        found.note("cache_write_split_exceeds_total")
    untold = max(total - told, 0)
    found.put("cache_write_tokens", untold, "derived" if split else "reported")
    if untold and split:
        found.note("cache_write_kind_not_told")
    return max(total, told)
