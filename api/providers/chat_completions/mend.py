"""Answers of imitators as clients of OpenAI read them; what needs no mending keeps its bytes.

OpenAI's SDKs, and those written after them, rely on members that some providers leave out, and on
words that some providers have others for. Nothing that an answer says is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.chat_completions.usage import UsageRules, in_openai_words
from api.providers.port import RawObject
from api.providers.verbatim import written

REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_REASONS: Final[Mapping[str, str]] = {
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "insufficient_system_resource": "length",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "tool-calls": "tool_calls",
    "content-filter": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
}
"""Other words for OpenAI's reasons; any word not known here, such as `eos`, is `stop`."""

_THOUGHTS: Final = b'"reasoning":'


class Mender:
    """Mends the chunks of one stream, or one whole answer."""

    def __init__(self, *, model: str, created: int, whole: bool, rules: UsageRules) -> None:
        self._whole = whole
        self._object = "chat.completion" if whole else "chat.completion.chunk"
        self._said = "message" if whole else "delta"
        self._identity = "chatcmpl-unnamed"
        self._created = created
        self._model = model
        self._rules = rules
        self._calls: dict[int, int] = {}
        """Choice → the index of the tool call that was opened last."""
        self._aside: RawObject | None = None
        self._only_renamed = True
        """Nothing but the name of the thoughts has been changed in the object at hand."""

    def mended(self, found: RawObject, data: bytes) -> bytes:
        """The bytes for the client: `data` itself if `found` needs nothing."""
        self._only_renamed = True
        changes = self._top(found)
        choices = found.get("choices")
        if isinstance(choices, list):
            mended = [self._choice(c) if isinstance(c, dict) else None for c in choices]
            if any(new is not old for new, old in zip(mended, choices, strict=True)):
                changes["choices"] = [choice for choice in mended if choice is not None]
        else:
            changes["choices"] = []
        if isinstance(found.get("usage"), dict):
            self._usage(found, changes, alone=self._whole or not choices)
        if not changes:
            return data
        if self._only_renamed and changes.keys() == {"choices"} and data.count(_THOUGHTS) == 1:
            # In a text the quotes would be escaped: these bytes can only be the member's name.
            return data.replace(_THOUGHTS, b'"reasoning_content":')
        return written({**found, **changes}) or data

    def usage_aside(self) -> bytes | None:
        """A chunk of its own with the usage that was told in a chunk with choices, at the end."""
        found = self._aside
        if found is None:
            return None
        usage = in_openai_words(found["usage"], self._model, self._rules)
        return written({**found, **self._top(found), "choices": [], "usage": usage})

    def _usage(self, found: RawObject, changes: RawObject, *, alone: bool) -> None:
        """OpenAI tells usage once, in a chunk of its own; clients that add up would count twice."""
        if not alone:
            self._aside = found
            changes["usage"] = None
            return
        self._aside = None
        usage = in_openai_words(found["usage"], self._model, self._rules)
        if usage is not found["usage"]:
            changes["usage"] = usage

    def _top(self, found: RawObject) -> RawObject:
        changes: RawObject = {}
        if isinstance(found.get("id"), str):
            self._identity = found["id"] or self._identity
        else:
            changes["id"] = self._identity
        if found.get("object") != self._object:
            changes["object"] = self._object
        created = found.get("created")
        if type(created) is int:
            self._created = created
        else:
            changes["created"] = int(created) if isinstance(created, float) else self._created
        if isinstance(found.get("model"), str):
            self._model = found["model"] or self._model
        else:
            changes["model"] = self._model
        return changes

    def _choice(self, choice: RawObject) -> RawObject:
        changes: RawObject = {}
        if type(choice.get("index")) is not int:
            changes["index"] = 0
        reason = choice.get("finish_reason")
        if reason is not None or self._whole:
            mended_reason = self._reason(reason)
            if mended_reason != reason:
                changes["finish_reason"] = mended_reason
        said = choice.get(self._said)
        mended = self._saying(said if isinstance(said, dict) else {}, choice.get("index"))
        if mended is not said:
            changes[self._said] = mended
        if changes.keys() - {self._said}:
            self._only_renamed = False
        return {**choice, **changes} if changes else choice

    def _reason(self, reason: Any) -> str | None:
        if isinstance(reason, str) and reason:
            return reason if reason in REASONS else _REASONS.get(reason, "stop")
        return "stop" if self._whole else None

    def _saying(self, said: RawObject, choice: Any) -> RawObject:
        found = said
        if "reasoning" in found:
            thoughts = found["reasoning"]
            found = {name: value for name, value in found.items() if name != "reasoning"}
            self._only_renamed = self._only_renamed and "reasoning_content" not in found
            if not found.get("reasoning_content"):
                found["reasoning_content"] = thoughts
        if found.get("role") != "assistant" and (self._whole or found.get("role") is not None):
            found = {**found, "role": "assistant"}
            self._only_renamed = False
        calls = found.get("tool_calls")
        if isinstance(calls, list) and calls:
            number = choice if type(choice) is int else 0
            mended = [self._tool_call(c, number) for c in calls if isinstance(c, dict)]
            if any(new is not old for new, old in zip(mended, calls, strict=False)):
                found = {**found, "tool_calls": mended}
                self._only_renamed = False
        return found

    def _tool_call(self, call: RawObject, choice: int) -> RawObject:
        changes: RawObject = {}
        if not self._whole:
            index = self._index(call, choice)
            if index != call.get("index"):
                changes["index"] = index
        elif not isinstance(call.get("type"), str):
            changes["type"] = "function"
        function = call.get("function")
        if isinstance(function, dict) and isinstance(function.get("arguments"), dict | list):
            # The protocol's arguments are a text.
            text = (written(function["arguments"]) or b"{}").decode()
            changes["function"] = {**function, "arguments": text}
        return {**call, **changes} if changes else call

    def _index(self, call: RawObject, choice: int) -> int:
        """A call that tells no index is a new one if it has an id, else more of the last one."""
        told = call.get("index")
        last = self._calls.get(choice, -1)
        index = told if type(told) is int else max(last + 1 if call.get("id") else last, 0)
        self._calls[choice] = index
        return index
