"""Usage of the OpenAI chat protocol and everything that imitates it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.providers.usage import Normalised, fit, section
from domain.events.base import JsonObject

Cost = Callable[[Mapping[str, Any]], JsonObject | None]
"""Usage object → {amount, meaning} as EVENTS.md has it; None if it tells no cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRules:
    """Where a provider tells what a call used, and what its words mean."""

    recounts: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Top-level objects that the provider bills by instead of `usage`, the best first: of whole
    answers, of streams."""
    beside: str | None = None
    """A top-level object that may hold another `usage`, and an `error`."""
    breakdown: str | None = None
    """A top-level object that says which models a call used, and how much of each."""
    tools_run: str | None = None
    """The member of a message that lists the tools that the provider ran itself."""
    metadata: str | None = None
    """The member of a message with what a gateway knows beyond OpenAI's protocol."""
    excludes_reasoning: str | None = None
    """Beginning of the models whose completion tokens, and the total too, leave reasoning out."""
    cost: Cost | None = None
    """The provider's own figure."""
    list_tiers: frozenset[str] = frozenset()
    """The provider's own words for tiers at its list prices, recorded as `default`: as tiers of
    their own they would have no price."""


def normaliser(rules: UsageRules) -> Callable[..., Normalised]:
    """(usage object, model=None) → its counts and cost, by one provider's rules."""

    def normalise(raw: Mapping[str, Any], model: str | None = None) -> Normalised:
        prefix = rules.excludes_reasoning
        found = normalise_chat_usage(
            raw, model, excludes_reasoning=prefix is not None and (model or "").startswith(prefix)
        )
        if rules.cost is not None:
            found.provider_cost = rules.cost(raw)
        return found

    return normalise


_HIDES_REASONING: Final = ("gemini", "gemma")
"""Models whose providers leave reasoning out of the completion count but not out of the total."""


def in_openai_words(raw: dict[str, Any], model: str, rules: UsageRules) -> dict[str, Any]:
    """The usage object with OpenAI's meaning of its members; `raw` itself if it has it already."""
    found = normaliser(rules)(raw, model)
    changes: dict[str, Any] = {}
    if found.provenance.get("output_tokens") == "derived":
        changes["completion_tokens"] = found.usage["output_tokens"]
    details = section(raw, "prompt_tokens_details")
    cached = found.usage.get("cached_input_tokens")
    if cached is not None and details.get("cached_tokens") is None:
        changes["prompt_tokens_details"] = {**details, "cached_tokens": cached}
    if found.final and ("completion_tokens" in changes or raw.get("total_tokens") is None):
        changes["total_tokens"] = found.usage["input_tokens"] + found.usage["output_tokens"]
    return {**raw, **changes} if changes else raw


def normalise_chat_usage(
    raw: Mapping[str, Any], model: str | None = None, *, excludes_reasoning: bool = False
) -> Normalised:
    """Counts are inclusive here already; PROVIDERS.md 1.2 says when that cannot be trusted."""
    found = Normalised()
    prompt = found.count(raw, "prompt_tokens")
    reasoning = found.count(section(raw, "completion_tokens_details"), "reasoning_tokens")
    output, how = _output(
        found,
        raw,
        model=model,
        prompt=prompt,
        reasoning=reasoning,
        excludes_reasoning=excludes_reasoning,
    )
    found.put("input_tokens", prompt)
    found.put("output_tokens", output, how)
    found.put("reasoning_tokens", reasoning)
    tools = section(raw, "server_tool_use_details")
    found.put("web_search_calls", found.count(tools, "web_search_requests"))
    if prompt is not None:
        _input_parts(found, section(raw, "prompt_tokens_details"), raw, prompt)
    if output is not None:
        _output_parts(found, section(raw, "completion_tokens_details"), output)
    return found


def _output(
    found: Normalised,
    raw: Mapping[str, Any],
    *,
    model: str | None,
    prompt: int | None,
    reasoning: int | None,
    excludes_reasoning: bool,
) -> tuple[int | None, str]:
    completion = found.count(raw, "completion_tokens")
    total = found.count(raw, "total_tokens")
    hides = any(family in (model or "").lower() for family in _HIDES_REASONING)
    if total is not None and prompt is not None and total > prompt + (completion or 0):
        if hides or reasoning:
            found.note("output_from_total")
            return total - prompt, "derived"
        found.note("total_exceeds_sum")
    elif excludes_reasoning and completion is not None and reasoning:
        found.note("reasoning_added")
        return completion + reasoning, "derived"
    if reasoning is not None and completion is not None and reasoning > completion:
        found.note("reasoning_exceeds_output")
    return completion, "reported"


def _input_parts(
    found: Normalised, details: Mapping[str, Any], raw: Mapping[str, Any], prompt: int
) -> None:
    cached = found.count(details, "cached_tokens")
    if cached is None:
        # Some imitators put it beside the totals instead.
        cached = found.count(raw, "cached_tokens")
    found.put("cached_input_tokens", cached)
    _cache_writes(found, details, raw)
    room = fit(found, prompt, "cached_input_tokens", anomaly="cached_exceeds_input")
    room = fit(
        found,
        room,
        "cache_write_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        anomaly="cache_write_exceeds_input",
    )
    audio = found.count(details, "audio_tokens")
    cached_audio = found.count(section(details, "cached_tokens_details"), "audio_tokens")
    if cached_audio is not None:
        found.put("cached_audio_tokens", cached_audio)
        fit(
            found,
            found.usage.get("cached_input_tokens", 0),
            "cached_audio_tokens",
            anomaly="cached_audio_exceeds_cached",
        )
    if audio is not None:
        # Our unit is the uncached audio; the provider's count holds the cached audio as well.
        uncached = max(audio - found.usage.get("cached_audio_tokens", 0), 0)
        found.put("input_audio_tokens", uncached, "derived" if uncached != audio else "reported")
    found.put("input_image_tokens", found.count(details, "image_tokens"))
    fit(
        found,
        room,
        "input_audio_tokens",
        "input_image_tokens",
        anomaly="parts_overlap_cached_input",
    )


def _cache_writes(found: Normalised, details: Mapping[str, Any], raw: Mapping[str, Any]) -> None:
    """Writes of a told lifetime have their own unit; the others stay of unknown kind."""
    written = found.count(details, "cache_write_tokens")
    if written is None:
        written = found.count(raw, "cache_creation_input_tokens")
    by_ttl = section(details, "cache_write_tokens_details")
    told = 0
    for name, unit in (
        ("ttl_5m_tokens", "cache_write_5m_tokens"),
        ("ttl_1h_tokens", "cache_write_1h_tokens"),
    ):
        count = found.count(by_ttl, name)
        found.put(unit, count)
        told += count or 0
    if written is not None:
        untold = max(written - told, 0)
        found.put("cache_write_tokens", untold, "derived" if told else "reported")


def _output_parts(found: Normalised, details: Mapping[str, Any], output: int) -> None:
    found.put("output_audio_tokens", found.count(details, "audio_tokens"))
    found.put("output_image_tokens", found.count(details, "image_tokens"))
    fit(
        found,
        output,
        "output_audio_tokens",
        "output_image_tokens",
        anomaly="parts_exceed_output",
    )
