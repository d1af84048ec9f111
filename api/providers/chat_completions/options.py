"""How one provider's chat completions differ from OpenAI's: one field a difference.

The careful value is the default, so `ChatOptions()` is OpenAI's protocol without any quirk. What
each provider sets, and why, is in `chat_completions/rows.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.providers.addressing import Addressing, bearer_at
from api.providers.chat_completions.usage import UsageRules
from api.providers.failures import FailureRules
from api.providers.port import RawObject


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRules:
    """What a provider takes in `messages` and `tools`, beyond and short of OpenAI's own."""

    developer: bool = True
    """The role `developer` is known; else it is sent as `system`."""
    thoughts: str | None = None
    """The member that takes back the thoughts of earlier turns (ours: `reasoning_content`).
    None: they are left out."""
    reasoning_details: bool = True
    """`reasoning_details` (signed or encrypted thoughts) are taken back as they were given."""
    cache_control: bool = True
    """`cache_control` marks on messages, parts and tools are understood."""
    cache_breakpoints: bool = True
    """OpenAI's `prompt_cache_breakpoint` on parts is understood."""
    strict: bool = False
    """Members of messages that OpenAI's request does not have, and nulls anywhere, may be refused,
    so they are left out."""
    text_only: bool = False
    """Content that is a list of texts has to be one text."""
    audio: Callable[[RawObject], RawObject] | None = None
    """An `input_audio` part in the provider's own form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """One provider's differences."""

    address: Addressing = field(default_factory=lambda: bearer_at("/chat/completions"))
    headers: Mapping[str, str] = field(default_factory=dict)
    failures: FailureRules = field(default_factory=FailureRules)

    ask_usage: bool = True
    """Streams are asked for usage (`stream_options.include_usage`)."""
    usage_may_be_declined: bool = False
    """A client's own `include_usage: false` goes upstream; the call is then estimated."""
    obfuscation: bool = False
    """`stream_options.include_obfuscation` is known."""
    limit_field: str | None = None
    """The one name of the token limit that is sent; None: either, as the client wrote it."""
    only: frozenset[str] | None = None
    """The only fields that are understood; None: any, unless it is named below."""
    drop: frozenset[str] = frozenset()
    """Fields that are not understood and do not decide the answer."""
    refuse: frozenset[str] = frozenset()
    """Fields that are not understood and would change the answer, unless they ask for nothing."""
    values: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    """Field → the client's word → the provider's word for it; None: the field is left out."""
    add: Mapping[str, Any] = field(default_factory=dict)
    """Fields that make the provider behave as OpenAI does, unless the client sets them."""
    schema_with_tools: bool = True
    """`response_format: json_schema` may stand beside tools."""
    schema_in_json_object: bool = False
    """A JSON schema is the `schema` of `response_format: json_object`."""
    messages: MessageRules = field(default_factory=MessageRules)
    trim: Callable[[RawObject, bytes], bytes | None] | None = None
    """(chunk, its bytes) → what of it is for the client, None if nothing."""
    usage: UsageRules = field(default_factory=UsageRules)
