"""Every provider is a row, in the order of the page on which keys are stored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from api.providers import key_forms, keys
from api.providers.azure import list_models, responses_address
from api.providers.chat_completions import rows as chat_rows
from api.providers.chat_completions.dialect import NAME as CHAT
from api.providers.chat_completions.dialect import ChatCompletions
from api.providers.chat_completions.usage import normalise_chat_usage, normaliser
from api.providers.converse.check import check_aws_key
from api.providers.converse.dialect import NAME as CONVERSE
from api.providers.converse.dialect import Converse
from api.providers.converse.usage import normalise_converse_usage
from api.providers.further_models import FurtherModels, named_in, none_further
from api.providers.gemini.dialect import NAME as GEMINI
from api.providers.gemini.dialect import Gemini
from api.providers.gemini.dialect import check as check_gemini_key
from api.providers.gemini.usage import normalise_gemini_usage
from api.providers.keys import KeyFormat
from api.providers.messages.dialect import NAME as MESSAGES
from api.providers.messages.dialect import Messages, messages_auth
from api.providers.messages.usage import normalise_messages_usage
from api.providers.port import Dialect, ProviderKey, Timeouts
from api.providers.responses.dialect import NAME as RESPONSES
from api.providers.responses.dialect import Responses
from api.providers.responses.usage import normalise_responses_usage
from api.providers.usage import Normalised
from api.providers.validation import Validation, get, get_elsewhere, impossible_model
from domain.errors import BadValue


class UnknownProvider(BadValue):
    """No provider has this slug."""


AS_SET: Final = Timeouts()
"""The installation's settings decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What is particular about one provider; the careful value is the default."""

    slug: str
    name: str
    dialect: Dialect | None = None
    """None: credentials may be stored, calls come with a later version."""
    base_url: str = ""
    """What stands before the dialect's path; empty if the credential or a setting decides."""
    hosts: tuple[str, ...] = ()
    """The only hosts that requests may go to; `*.suffix` stands for one label."""
    key: KeyFormat = field(default_factory=KeyFormat)
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    """cancel where the provider then stops generating and billing (PROVIDERS.md 1.4)."""
    auto_mapped: bool = True
    """False: served only when it is named, by force or by prefix."""
    further_models: FurtherModels = none_further
    """The models that a body names beside `model`: limits of keys hold for them too."""
    deployments: bool = False
    """Customers name what they call: when this provider is named, a model without a slash may be
    such a name, and goes upstream as it was written."""
    timeouts: Timeouts = AS_SET
    """Of a provider that is known to need others than most."""
    validation: Validation | None = None
    sandbox: bool = False
    note: str = ""


def parse_key(
    provider: Provider, key: object, *, named_hosts: Collection[str] = ()
) -> dict[str, str]:
    """The fields of a credential as its owner gave it. Raises BadValue naming the wrong field."""
    return keys.parse(provider.slug, provider.key, key, named_hosts=named_hosts)


def key_suffix(provider: Provider, fields: ProviderKey) -> str:
    """The four characters by which a credential is known everywhere."""
    return keys.suffix(provider.key, fields)


def key_warning(provider: Provider, fields: ProviderKey) -> str | None:
    """A remark on a key that is accepted but looks unusual; else None."""
    return keys.unusual(provider.key, fields)


NORMALISERS: Final[Mapping[str, Callable[..., Normalised]]] = {
    CHAT: normalise_chat_usage,
    "openrouter.chat": normaliser(chat_rows.OPENROUTER.usage),
    "vercel.chat": normaliser(chat_rows.VERCEL.usage),
    MESSAGES: normalise_messages_usage,
    CONVERSE: normalise_converse_usage,
    GEMINI: normalise_gemini_usage,
    RESPONSES: normalise_responses_usage,
}
"""api_flavor → (raw usage object, model=None) → units, for `keytoll rate`."""


_ROWS: Final = (
    Provider(
        slug="openai",
        name="OpenAI",
        dialect=ChatCompletions(chat_rows.OPENAI),
        base_url="https://api.openai.com/v1",
        hosts=("api.openai.com",),
        key=KeyFormat(prefixes=("sk-",)),
        validation=get("/models"),
        note="A restricted key may infer although it may not list models.",
    ),
    Provider(
        slug="openai-responses",
        name="OpenAI Responses",
        dialect=Responses(),
        base_url="https://api.openai.com/v1",
        hosts=("api.openai.com",),
        key=KeyFormat(prefixes=("sk-",)),
        validation=get("/models"),
        note="A restricted key may infer although it may not list models.",
    ),
    Provider(
        slug="anthropic",
        name="Anthropic",
        dialect=Messages(),
        base_url="https://api.anthropic.com",
        hosts=("api.anthropic.com",),
        key=KeyFormat(prefixes=("sk-ant-",)),
        validation=get("/v1/models", auth=messages_auth),
    ),
    Provider(
        slug="openrouter",
        name="OpenRouter",
        dialect=ChatCompletions(chat_rows.OPENROUTER),
        base_url="https://openrouter.ai/api/v1",
        hosts=("openrouter.ai",),
        key=KeyFormat(prefixes=("sk-or-",)),
        validation=get("/key"),
        further_models=named_in("models", "plugins", "provider", "tools", hidden=("preset",)),
    ),
    Provider(
        slug="chutes",
        name="Chutes",
        dialect=ChatCompletions(chat_rows.CHUTES),
        base_url="https://llm.chutes.ai/v1",
        hosts=("llm.chutes.ai", "api.chutes.ai"),
        key=KeyFormat(prefixes=("cpk_",)),
        validation=get_elsewhere("https://api.chutes.ai/users/me", base="https://llm.chutes.ai/v1"),
    ),
    Provider(
        slug="aws",
        name="AWS Bedrock",
        dialect=Converse(),
        hosts=keys.aws_hosts(),
        key=KeyFormat(
            plain=False,
            fields=keys.aws_fields,
            suffix_of=("accessKeyId", "apiKey"),
            forms=key_forms.AWS,
        ),
        validation=check_aws_key,
        on_disconnect="drain",
    ),
    Provider(
        slug="azure",
        name="Azure OpenAI",
        dialect=ChatCompletions(chat_rows.AZURE),
        hosts=keys.AZURE_HOSTS,
        key=KeyFormat(plain=False, fields=keys.azure_fields, forms=key_forms.AZURE),
        deployments=True,
        validation=list_models,
    ),
    Provider(
        slug="azure-responses",
        name="Azure OpenAI Responses",
        dialect=Responses(responses_address),
        hosts=keys.AZURE_HOSTS,
        key=KeyFormat(
            plain=False, fields=keys.azure_responses_fields, forms=key_forms.AZURE_RESPONSES
        ),
        deployments=True,
        validation=list_models,
    ),
    Provider(
        slug="groq",
        name="Groq",
        dialect=ChatCompletions(chat_rows.GROQ),
        base_url="https://api.groq.com/openai/v1",
        hosts=("api.groq.com",),
        key=KeyFormat(prefixes=("gsk_",)),
        validation=get("/models"),
        further_models=named_in("compound_custom"),
        on_disconnect="drain",
    ),
    Provider(
        slug="sambanova",
        name="SambaNova",
        dialect=ChatCompletions(chat_rows.SAMBANOVA),
        base_url="https://api.sambanova.ai/v1",
        hosts=("api.sambanova.ai",),
        validation=impossible_model(),
        on_disconnect="drain",
    ),
    Provider(
        slug="vercel",
        name="Vercel AI Gateway",
        dialect=ChatCompletions(chat_rows.VERCEL),
        base_url="https://ai-gateway.vercel.sh/v1",
        hosts=("ai-gateway.vercel.sh",),
        key=KeyFormat(prefixes=("vck_", "eyJ")),
        validation=get("/credits"),
        further_models=named_in("models", "providerOptions"),
    ),
    Provider(
        slug="novita",
        name="Novita",
        dialect=ChatCompletions(chat_rows.NOVITA),
        base_url="https://api.novita.ai/openai/v1",
        hosts=("api.novita.ai",),
        key=KeyFormat(prefixes=("sk_", "nvta_")),
        validation=impossible_model(),
    ),
    Provider(
        slug="akash",
        name="AkashML",
        dialect=ChatCompletions(chat_rows.AKASH),
        base_url="https://api.akashml.com/v1",
        hosts=("api.akashml.com", "chatapi.akash.network"),
        validation=impossible_model(),
    ),
    Provider(
        slug="nvidia",
        name="NVIDIA",
        dialect=ChatCompletions(chat_rows.NVIDIA),
        base_url="https://integrate.api.nvidia.com/v1",
        hosts=("integrate.api.nvidia.com",),
        key=KeyFormat(prefixes=("nvapi-",)),
        validation=impossible_model(),
        timeouts=Timeouts(first_byte_s=300.0),
    ),
    Provider(
        slug="google",
        name="Google AI Studio",
        dialect=Gemini(),
        base_url="https://generativelanguage.googleapis.com",
        hosts=("generativelanguage.googleapis.com",),
        key=KeyFormat(prefixes=("AIza", "AQ.")),
        validation=check_gemini_key,
        on_disconnect="drain",
    ),
    Provider(
        slug="hyperbolic",
        name="Hyperbolic",
        dialect=ChatCompletions(chat_rows.HYPERBOLIC),
        base_url="https://api.hyperbolic.xyz/v1",
        hosts=("api.hyperbolic.xyz",),
        validation=impossible_model(),
        auto_mapped=False,
        note="Its upstream looks dead, so it serves only who names it.",
    ),
    Provider(
        slug="morpheus",
        name="Morpheus",
        dialect=ChatCompletions(chat_rows.MORPHEUS),
        base_url="https://api.mor.org/api/v1",
        hosts=("api.mor.org",),
        key=KeyFormat(prefixes=("sk-",)),
        validation=get("/billing/balance"),
        further_models=named_in(hidden=("session_id",)),
    ),
    Provider(
        slug="fireworks",
        name="Fireworks",
        dialect=ChatCompletions(chat_rows.FIREWORKS),
        base_url="https://api.fireworks.ai/inference/v1",
        hosts=("api.fireworks.ai",),
        key=KeyFormat(prefixes=("fw_",)),
        validation=get("/models", control=True),
    ),
    Provider(
        slug="together",
        name="Together",
        dialect=ChatCompletions(chat_rows.TOGETHER),
        base_url="https://api.together.ai/v1",
        hosts=("api.together.ai", "api.together.xyz"),
        key=KeyFormat(prefixes=("tgp_v1_",)),
        validation=get("/models", control=True),
    ),
    Provider(
        slug="sandbox",
        name="Sandbox",
        dialect=ChatCompletions(),
        key=KeyFormat(any_key=True),
        validation=get("/models"),
        timeouts=Timeouts(connect_s=5.0, first_byte_s=60.0, idle_s=60.0, total_s=600.0),
        sandbox=True,
        note="Served by keytoll itself on a loopback port.",
    ),
)

PROVIDERS: Final[Mapping[str, Provider]] = {row.slug: row for row in _ROWS}
"""Slug → row."""
