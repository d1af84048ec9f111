"""Usage of OpenAI's Responses: the counts of chat completions under other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.chat_completions.usage import normalise_chat_usage
from api.providers.usage import Normalised, section

_NAMES: Final = {
    "input_tokens": "prompt_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens": "completion_tokens",
    "output_tokens_details": "completion_tokens_details",
    "total_tokens": "total_tokens",
}


def normalise_responses_usage(raw: Mapping[str, Any], model: str | None = None) -> Normalised:
    """One usage object; its totals contain what was cached, written and reasoned."""
    return normalise_chat_usage(
        {chat: raw[name] for name, chat in _NAMES.items() if name in raw}, model
    )


def count_searches(found: Normalised, response: Mapping[str, Any], seen: int) -> None:
    """Web searches: as the response counts them, else those `seen` among its items."""
    told = found.count(section(section(response, "tool_usage"), "web_search"), "num_requests")
    if told is not None:
        found.put("web_search_calls", told)
    elif seen:
        found.put("web_search_calls", seen, "derived")
