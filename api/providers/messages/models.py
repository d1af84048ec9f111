"""What Anthropic's models differ in, as data, by family and version.

Sources: output limits from the models.dev records of 2026-09-30 (models up to Claude 4.1, which
are no longer listed there: Anthropic's model overview as it was while they were sold); which
fields a model refuses from the rules that litellm 1.109 carries for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Thinking = Literal["none", "budget", "adaptive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRules:
    """What one model takes."""

    max_tokens: int
    """Sent when the client sets no limit: as much as the model can write."""
    thinking: Thinking
    sampling: bool = True
    """temperature, top_p and top_k are accepted."""
    forced_choice: bool = True
    """A tool may be forced while not thinking."""
    json_schema: bool = True
    """`output_config.format` is known; else a forced tool stands in for it."""


Version = tuple[int, int]

UNKNOWN: Final = ModelRules(max_tokens=4096, thinking="adaptive")
"""A model that this table cannot place: a limit that every model accepts."""

_NEW: Final = re.compile(
    r"claude-(opus|sonnet|haiku|fable|mythos)-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)"
)
_OLD: Final = re.compile(r"claude-(\d)(?:[-.](\d))?-(opus|sonnet|haiku)")

_FIXED_SAMPLING: Final = {
    "sonnet": (5, 0),
    "opus": (4, 7),
    "haiku": (5, 5),
    "fable": (5, 0),
    "mythos": (0, 0),
}
_NO_FORCED_CHOICE: Final = {
    "sonnet": (5, 5),
    "opus": (5, 5),
    "haiku": (99, 0),
    "fable": (5, 1),
    "mythos": (5, 1),
}
_ADAPTIVE: Final = {
    "sonnet": (4, 6),
    "opus": (4, 6),
    "haiku": (5, 0),
    "fable": (0, 0),
    "mythos": (0, 0),
}
_JSON_SCHEMA: Final = {
    "sonnet": (4, 5),
    "opus": (4, 1),
    "haiku": (4, 5),
    "fable": (0, 0),
    "mythos": (0, 0),
}
_THINKS_FROM: Final[Version] = (3, 7)

_MAX_TOKENS: Final[tuple[tuple[str, Version, int], ...]] = (
    ("opus", (4, 6), 128_000),
    ("opus", (4, 5), 64_000),
    ("opus", (4, 0), 32_000),
    ("opus", (3, 0), 4_096),
    ("sonnet", (4, 6), 128_000),
    ("sonnet", (3, 7), 64_000),
    ("sonnet", (3, 5), 8_192),
    ("sonnet", (3, 0), 4_096),
    ("haiku", (4, 5), 64_000),
    ("haiku", (3, 5), 8_192),
    ("haiku", (3, 0), 4_096),
    ("fable", (0, 0), 128_000),
    ("mythos", (0, 0), 128_000),
)
"""(family, from this version on, tokens), newest first."""


def rules_of(model: str) -> ModelRules:
    """The rules of a model id, dated or not, also behind a prefix of a gateway."""
    placed = _placed(model.lower())
    if placed is None:
        return UNKNOWN
    family, version = placed
    thinking: Thinking = "none"
    if version >= _ADAPTIVE[family]:
        thinking = "adaptive"
    elif version >= _THINKS_FROM:
        thinking = "budget"
    return ModelRules(
        max_tokens=next(
            (limit for name, since, limit in _MAX_TOKENS if name == family and version >= since),
            UNKNOWN.max_tokens,
        ),
        thinking=thinking,
        sampling=version < _FIXED_SAMPLING[family],
        forced_choice=version < _NO_FORCED_CHOICE[family],
        json_schema=version >= _JSON_SCHEMA[family],
    )


def _placed(model: str) -> tuple[str, Version] | None:
    found = _NEW.search(model)
    if found:
        return found.group(1), (int(found.group(2)), int(found.group(3) or 0))
    found = _OLD.search(model)
    if found:
        return found.group(3), (int(found.group(1)), int(found.group(2) or 0))
    return None
