"""What each provider of OpenAI's protocol does differently: the options of the catalogue's rows.

The facts are those of PROVIDERS.md 1.9, 1.3 and 8; what of it nobody has verified is listed in
docs/providers.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from api.providers.azure import chat_address, without_filter
from api.providers.chat_completions.cost import openrouter_cost, vercel_cost
from api.providers.chat_completions.options import ChatOptions, MessageRules
from api.providers.chat_completions.request import CACHING, GATEWAY, HARMLESS
from api.providers.chat_completions.usage import UsageRules
from api.providers.failures import FailureRules
from api.providers.port import RawObject

_LOWER_EFFORTS: Final = {"minimal": "low", "xhigh": "high", "max": "high"}
"""For providers that know low, medium and high: the nearest of them."""

OPENAI: Final = ChatOptions(
    # `max_tokens` is deprecated, and reasoning models refuse it.
    limit_field="max_completion_tokens",
    obfuscation=True,
    drop=GATEWAY | {"cache_control"},
    refuse=frozenset({"plugins"}),
    messages=MessageRules(reasoning_details=False, cache_control=False),
)

AZURE: Final = replace(
    OPENAI,
    address=chat_address,
    trim=without_filter,
    # API versions differ in which of the two they know, so the client's word stands.
    limit_field=None,
)

OPENROUTER: Final = ChatOptions(
    drop=frozenset({"providerOptions"}),
    messages=MessageRules(thoughts="reasoning"),
    usage=UsageRules(cost=openrouter_cost),
)

VERCEL: Final = ChatOptions(
    drop=GATEWAY - {"models", "providerOptions"},
    refuse=frozenset({"plugins"}),
    messages=MessageRules(thoughts="reasoning"),
    failures=FailureRules(money_codes=frozenset({"insufficient_funds"})),
    usage=UsageRules(cost=vercel_cost, metadata="provider_metadata", excludes_reasoning="google/"),
)

IMITATOR: Final = ChatOptions(
    limit_field="max_tokens",
    drop=HARMLESS | CACHING | GATEWAY,
    # Servers built on vLLM or SGLang accept these and do nothing with them.
    refuse=frozenset(
        {
            *("audio", "modalities", "web_search_options", "functions", "function_call"),
            *("verbosity", "moderation", "plugins", "reasoning"),
        }
    ),
    messages=MessageRules(
        developer=False,
        thoughts="reasoning_content",
        reasoning_details=False,
        cache_control=False,
        cache_breakpoints=False,
        strict=True,
    ),
)
"""A server of open models behind OpenAI's protocol."""

CHUTES: Final = IMITATOR
AKASH: Final = IMITATOR

GROQ: Final = replace(
    IMITATOR,
    limit_field="max_completion_tokens",
    drop=IMITATOR.drop - {"service_tier", "user"},
    refuse=IMITATOR.refuse
    | {"n", "logprobs", "top_logprobs", "logit_bias", "frequency_penalty", "presence_penalty"},
    values={"reasoning_effort": _LOWER_EFFORTS, "service_tier": {"default": "on_demand"}},
    messages=replace(IMITATOR.messages, thoughts="reasoning"),
    usage=UsageRules(
        beside="x_groq",
        breakdown="usage_breakdown",
        tools_run="executed_tools",
        # "Pricing matches the on-demand tier" (console.groq.com/docs/flex-processing).
        list_tiers=frozenset({"on_demand", "flex"}),
    ),
)


def _sambanova_audio(part: RawObject) -> RawObject:
    """`audio_content` holds a data URL."""
    given = part.get("input_audio")
    audio = given if isinstance(given, dict) else {}
    url = f"data:audio/{audio.get('format')};base64,{audio.get('data')}"
    return {"type": "audio_content", "audio_content": {"content": url}}


SAMBANOVA: Final = replace(
    IMITATOR,
    values={"reasoning_effort": _LOWER_EFFORTS},
    messages=replace(IMITATOR.messages, thoughts=None, text_only=True, audio=_sambanova_audio),
)

NOVITA: Final = replace(
    IMITATOR,
    messages=replace(IMITATOR.messages, reasoning_details=True),
)

NVIDIA: Final = replace(
    IMITATOR,
    # Asking for usage made streams hang for others (HKUDS/DeepTutor#420): a caller may decline.
    usage_may_be_declined=True,
    messages=replace(IMITATOR.messages, thoughts=None),
)

HYPERBOLIC: Final = replace(
    IMITATOR,
    only=frozenset(
        {
            *("model", "messages", "stream", "stream_options", "max_tokens", "temperature"),
            *("max_completion_tokens", "top_p", "frequency_penalty", "presence_penalty", "stop"),
            *("n", "tools", "tool_choice", "response_format", "seed", "user", "reasoning_effort"),
        }
    ),
    drop=IMITATOR.drop - {"user"},
)

MORPHEUS: Final = replace(
    IMITATOR,
    usage=UsageRules(
        recounts=(
            ("usage_from_consumer", "usage_from_provider"),
            ("usage_from_provider", "usage_from_consumer"),
        )
    ),
)

FIREWORKS: Final = replace(
    IMITATOR,
    drop=IMITATOR.drop - {"service_tier", "user", "prompt_cache_key"},
    # Its own default is to cut what is too long, where OpenAI refuses it.
    add={"context_length_exceeded_behavior": "error"},
    values={
        "reasoning_effort": _LOWER_EFFORTS,
        "tool_choice": {"required": "any"},
        "service_tier": {
            **dict.fromkeys(("auto", "default", "flex", "scale")),
            "fast": "priority",
        },
    },
    schema_with_tools=False,
    failures=FailureRules(statuses={412: "credential_out_of_money"}),
)

TOGETHER: Final = replace(
    IMITATOR,
    refuse=IMITATOR.refuse - {"reasoning"},
    values={"reasoning_effort": {"minimal": "low", "xhigh": "high"}},
    schema_in_json_object=True,
    messages=replace(IMITATOR.messages, thoughts="reasoning"),
    # PROVIDERS.md 1.6: at Together, 403 is an input that is too long.
    failures=FailureRules(statuses={403: "bad_request"}, codes={403: "context_length_exceeded"}),
)
