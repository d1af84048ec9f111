"""The messages and tools of a request as one provider takes them.

A conversation may come from another provider: what only that one understands (thoughts, signatures,
cache marks) would be refused here, and leaving it out changes no word of the conversation.
"""

from __future__ import annotations

from typing import Any, Final

from api.providers.chat_completions.options import MessageRules
from api.providers.port import RawObject

_STRICT: Final = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_THOUGHTS: Final = ("reasoning_content", "reasoning")
_FOREIGN_TO_CALLS: Final = frozenset({"extra_content", "provider_metadata", "cache_control"})
_FOREIGN: Final = _FOREIGN_TO_CALLS | {*_THOUGHTS, "reasoning_details"}
"""Members that the answers of some providers bring into a conversation."""


def messages_for(messages: Any, rules: MessageRules) -> Any:
    """The messages as the provider takes them; unchanged ones are the very same objects."""
    if not isinstance(messages, list):
        return messages
    return [_message(found, rules) if isinstance(found, dict) else found for found in messages]


def tools_for(tools: Any, rules: MessageRules) -> Any:
    """The tools, without cache marks where nobody reads them."""
    if rules.cache_control or not isinstance(tools, list):
        return tools
    return [_without(tool, {"cache_control"}) if isinstance(tool, dict) else tool for tool in tools]


def _message(message: RawObject, rules: MessageRules) -> RawObject:
    found = message
    if not rules.developer and found.get("role") == "developer":
        found = {**found, "role": "system"}
    if found.keys() & _FOREIGN:
        found = _own(found, rules)
    if rules.strict and (found.keys() - _STRICT or None in found.values()):
        found = _strict(found, rules)
    content = found.get("content")
    if isinstance(content, list):
        parts = _parts(content, rules)
        if parts is not content:
            found = {**found, "content": parts}
    calls = found.get("tool_calls")
    if isinstance(calls, list) and any(
        isinstance(call, dict) and call.keys() & _FOREIGN_TO_CALLS for call in calls
    ):
        kept = [_without(c, _FOREIGN_TO_CALLS) if isinstance(c, dict) else c for c in calls]
        found = {**found, "tool_calls": kept}
    return found


def _own(message: RawObject, rules: MessageRules) -> RawObject:
    """Thoughts under the provider's own name; what it does not understand left out."""
    found = {name: value for name, value in message.items() if name not in _FOREIGN}
    if rules.cache_control and "cache_control" in message:
        found["cache_control"] = message["cache_control"]
    if rules.reasoning_details and message.get("reasoning_details"):
        found["reasoning_details"] = message["reasoning_details"]
    thoughts = next((message[name] for name in _THOUGHTS if message.get(name)), None)
    if rules.thoughts is not None and thoughts is not None:
        found[rules.thoughts] = thoughts
    return found


def _strict(message: RawObject, rules: MessageRules) -> RawObject:
    """Only what a request may hold; a refusal of earlier is what the assistant said."""
    kept = {
        name: value
        for name, value in message.items()
        if name in _STRICT | {rules.thoughts, "reasoning_details"}
        and (value is not None or name == "content")
    }
    said, refusal = message.get("content"), message.get("refusal")
    if refusal and isinstance(refusal, str):
        if isinstance(said, list):
            kept["content"] = [*said, {"type": "text", "text": refusal}]
        else:
            kept["content"] = f"{said or ''}{refusal}"
    for name in ("audio", "images", "function_call"):
        # Not understood here either, but that is for the provider to say.
        if message.get(name):
            kept[name] = message[name]
    return kept


def _parts(content: list[Any], rules: MessageRules) -> Any:
    if rules.text_only and content and all(_is_text(part) for part in content):
        # One below the other: two texts must not run into one word.
        return "\n".join(part["text"] for part in content)
    marks = {
        *(() if rules.cache_control else ("cache_control",)),
        *(() if rules.cache_breakpoints else ("prompt_cache_breakpoint",)),
    }
    parts = [_part(part, rules, marks) if isinstance(part, dict) else part for part in content]
    same = all(new is old for new, old in zip(parts, content, strict=True))
    return content if same else parts


def _part(part: RawObject, rules: MessageRules, marks: set[str]) -> RawObject:
    part = _without(part, marks)
    if rules.audio is not None and part.get("type") == "input_audio":
        return rules.audio(part)
    return part


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _without(found: RawObject, names: set[str] | frozenset[str]) -> RawObject:
    if not found.keys() & names:
        return found
    return {name: value for name, value in found.items() if name not in names}
