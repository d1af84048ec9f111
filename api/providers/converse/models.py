"""What the families of models on Bedrock differ in, as data.

Claude's own rules are Anthropic's (messages/models.py). Which family follows a schema: Amazon's
user guide, "Get validated JSON results from models"; how each is told to reason: PROVIDERS.md 5.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from api.providers.messages.models import ModelRules, rules_of

Schema = Literal["format", "tool", "no"]
Reasoning = Literal["claude", "effort", "object", "nova", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What the models of one maker, or some of them, take."""

    schema: Schema = "format"
    """A JSON schema goes into `outputConfig`, is a forced tool, or cannot be followed."""
    reasoning: Reasoning = "no"
    """Where `reasoning_effort` goes in `additionalModelRequestFields`."""
    efforts: frozenset[str] = frozenset()
    top_k: tuple[str, ...] = ()
    """The path of `top_k` in `additionalModelRequestFields`; empty if there is none."""
    caches: bool = False
    """Cache points are understood."""
    short_ids: bool = False
    """Ids of tool calls are nine letters and digits."""
    claude: ModelRules | None = None
    """Anthropic's rules for the model."""


_THREE: Final = frozenset({"low", "medium", "high"})
_ALL: Final = _THREE | {"none", "minimal", "xhigh", "max"}
_CLAUDE: Final = "anthropic.claude"
_FAMILIES: Final[tuple[tuple[str, Family], ...]] = (
    (
        "amazon.nova-2",
        Family(
            schema="tool",
            reasoning="nova",
            efforts=_THREE,
            top_k=("inferenceConfig", "topK"),
            caches=True,
        ),
    ),
    ("amazon.nova", Family(schema="tool", top_k=("inferenceConfig", "topK"), caches=True)),
    ("amazon.", Family(schema="no")),
    ("openai.gpt-oss", Family(reasoning="effort", efforts=_THREE)),
    ("openai.", Family(reasoning="object", efforts=_ALL)),
    ("deepseek.r1", Family(schema="no")),
    ("deepseek.", Family(reasoning="effort", efforts=_THREE)),
    ("mistral.", Family(short_ids=True)),
    ("meta.", Family(schema="no")),
    ("cohere.", Family(schema="no")),
    ("ai21.", Family(schema="no")),
    ("writer.", Family(schema="no")),
)
"""The first beginning that fits decides."""
_UNKNOWN: Final = Family(caches=True)
"""Also what an ARN leads to: Bedrock itself says what that model cannot do."""

_PROFILE: Final = re.compile(r"^(?:us-gov|global|apac|[a-z]{2})\.(?=[a-z0-9-]+\.)")
_NAMED_BY_ARN: Final = re.compile(
    r"arn:[^:]+:bedrock:[^:]*:[^:]*:(?:foundation-model|inference-profile)/(.+)"
)
_ARN: Final = re.compile(r"arn:[^:]+:[^:]+:([^:]*):")


def family_of(model: str) -> Family:
    """The family of a model id, an inference profile or an ARN that names one of them."""
    name = _PROFILE.sub("", model_named(model) or model, count=1)
    if name.startswith(_CLAUDE):
        return _claude(rules_of(name))
    return next((family for start, family in _FAMILIES if name.startswith(start)), _UNKNOWN)


def model_named(model: str) -> str | None:
    """The model id inside an ARN; None if it is no ARN, or one of something of the customer's."""
    found = _NAMED_BY_ARN.fullmatch(model)
    return found.group(1) if found else None


def region_named(model: str) -> str | None:
    """The region inside an ARN; None if it is no ARN, or one of all regions."""
    found = _ARN.match(model)
    return found.group(1) or None if found else None


def _claude(rules: ModelRules) -> Family:
    efforts = _ALL if rules.thinking != "none" else frozenset({"none"})
    return Family(
        schema="format" if rules.json_schema else "tool",
        reasoning="claude",
        efforts=efforts,
        top_k=("top_k",) if rules.sampling else (),
        caches=True,
        claude=rules,
    )
