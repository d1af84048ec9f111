"""Usage of Gemini: thoughts stand beside the answer, results of its own tools beside the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.gemini.models import rules_of
from api.providers.usage import Normalised, fit, told_word

_MODALITIES: Final = {1: "TEXT", 2: "IMAGE", 3: "VIDEO", 4: "AUDIO", 5: "DOCUMENT"}
_TRAFFIC: Final = {1: "ON_DEMAND", 2: "PROVISIONED_THROUGHPUT"}
"""Numbers stand for words where an answer was asked for with `enum-encoding=int`."""
_TIERS: Final = {
    "ON_DEMAND": "standard",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
}
_UNTOLD: Final = frozenset({"unspecified", "TRAFFIC_TYPE_UNSPECIFIED"})


def normalise_gemini_usage(raw: Mapping[str, Any], model: str | None = None) -> Normalised:
    """One `usageMetadata` in our inclusive units (PROVIDERS.md 7.1)."""
    found = Normalised()
    _input(found, raw)
    _output(found, raw)
    _searches(found, raw, model)
    _context(found, raw)
    return found


def _input(found: Normalised, raw: Mapping[str, Any]) -> None:
    prompt = found.count(raw, "promptTokenCount")
    of_tools = found.count(raw, "toolUsePromptTokenCount")
    if prompt is None:
        return
    found.put("input_tokens", prompt + (of_tools or 0), "derived" if of_tools else "reported")
    if "input_tokens" not in found.usage:
        return
    cached = found.count(raw, "cachedContentTokenCount")
    found.put("cached_input_tokens", cached)
    room = fit(found, prompt, "cached_input_tokens", anomaly="cached_exceeds_input")
    _input_modalities(found, raw, room + (of_tools or 0))


def _input_modalities(found: Normalised, raw: Mapping[str, Any], room: int) -> None:
    """Our units of audio and images are the uncached ones; Gemini's hold the cached as well."""
    told = _by_modality(found, raw, "promptTokensDetails")
    of_tools = _by_modality(found, raw, "toolUsePromptTokensDetails")
    cached = _by_modality(found, raw, "cacheTokensDetails")
    if "AUDIO" in cached:
        found.put("cached_audio_tokens", cached["AUDIO"])
        fit(
            found,
            found.usage.get("cached_input_tokens", 0),
            "cached_audio_tokens",
            anomaly="cached_audio_exceeds_cached",
        )
    for modality, unit in (("AUDIO", "input_audio_tokens"), ("IMAGE", "input_image_tokens")):
        if modality in told or modality in of_tools:
            count = told.get(modality, 0) + of_tools.get(modality, 0)
            uncached = max(count - cached.get(modality, 0), 0)
            plain = modality not in cached and modality not in of_tools
            found.put(unit, uncached, "reported" if plain else "derived")
    fit(
        found,
        room,
        "input_audio_tokens",
        "input_image_tokens",
        anomaly="parts_overlap_cached_input",
    )


def _output(found: Normalised, raw: Mapping[str, Any]) -> None:
    thoughts = found.count(raw, "thoughtsTokenCount")
    answer = found.count(raw, "candidatesTokenCount")
    found.put("reasoning_tokens", thoughts)
    total = found.count(raw, "totalTokenCount")
    beyond = total - found.usage.get("input_tokens", 0) if total is not None else None
    if answer is not None:
        output = answer + (thoughts or 0)
        found.put("output_tokens", output, "derived" if thoughts else "reported")
        if beyond is not None and beyond != output:
            found.note("total_differs_from_sum")
    elif beyond is not None and beyond >= (thoughts or 0) and "input_tokens" in found.usage:
        # A count of nothing is left out; the total tells whether it was nothing.
        found.put("output_tokens", beyond, "derived")
        if beyond > (thoughts or 0):
            found.note("output_from_total")
    elif thoughts is not None:
        found.put("output_tokens", thoughts, "derived")
    _output_modalities(found, raw)


def _output_modalities(found: Normalised, raw: Mapping[str, Any]) -> None:
    if "output_tokens" not in found.usage:
        return
    told = _by_modality(found, raw, "candidatesTokensDetails")
    for modality, unit in (("AUDIO", "output_audio_tokens"), ("IMAGE", "output_image_tokens")):
        if modality in told:
            found.put(unit, told[modality])
    fit(
        found,
        found.usage["output_tokens"],
        "output_audio_tokens",
        "output_image_tokens",
        anomaly="parts_exceed_output",
    )


def _searches(found: Normalised, raw: Mapping[str, Any], model: str | None) -> None:
    """What Google says it bills; not every answer has it (see gemini/answer.py)."""
    billed = raw.get("billedToolCalls")
    counts = [
        found.count(tool, "successfulToolCallCount") or 0
        for tool in (billed if isinstance(billed, list) else ())
        if isinstance(tool, Mapping) and str(tool.get("tool")).upper().startswith("GOOGLE_SEARCH")
    ]
    if counts:
        found.put("web_search_calls", billed_searches(sum(counts), model))


def billed_searches(searches: int, model: str | None) -> int:
    """Google bills each search of a Gemini 3, and one per grounded answer of those before."""
    return searches if rules_of(model or "").bills_each_search else min(searches, 1)


def _by_modality(found: Normalised, raw: Mapping[str, Any], name: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    details = raw.get(name)
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, Mapping):
            continue
        modality = detail.get("modality")
        modality = _MODALITIES.get(modality) if type(modality) is int else modality
        count = found.count(detail, "tokenCount")
        if isinstance(modality, str) and count is not None:
            counts[modality] = counts.get(modality, 0) + count
    return counts


def _context(found: Normalised, raw: Mapping[str, Any]) -> None:
    """The tier that really served: AI Studio says it in one field, Google Cloud in another."""
    traffic = raw.get("trafficType")
    traffic = _TRAFFIC.get(traffic) if type(traffic) is int else traffic
    told = told_word(raw.get("serviceTier")) or told_word(traffic)
    if told is not None and told not in _UNTOLD:
        found.context["service_tier"] = _TIERS.get(told, told.lower())
