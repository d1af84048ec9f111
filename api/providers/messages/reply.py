"""Anthropic's messages as OpenAI's chat completions, and what streams share with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.providers.chunks import choice_of, created, give_completion
from api.providers.failures import classify_inside, unreadable
from api.providers.lenient import json_object, objects, text_of
from api.providers.messages.request import JSON_TOOL
from api.providers.messages.usage import merged_usage, normalise_messages_usage
from api.providers.port import ChatCall, Headers, Outcome, RawObject
from api.providers.usage import keep_raw, report_usage, told_word
from api.providers.verbatim import written
from api.providers.whole_body import WholeBody

_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    # Only server tools pause, and those are not offered: the turn is cut short.
    "pause_turn": "length",
}
START_USAGE: Final = ("message", "usage")
"""Where the first report of a stream stands."""
_OUTPUT: Final = ("output_tokens", "output_tokens_details")
_FORMAT: Final = "anthropic-claude-v1"


class BodyReader(WholeBody):
    """Reads an answer that is one message."""

    def __init__(self, call: ChatCall, headers: Headers, *, unwrap_json: bool) -> None:
        super().__init__()
        self._call = call
        self._created = created(headers)
        self._unwrap_json = unwrap_json

    def finish(self) -> Outcome:
        """The whole message, if that is what it is."""
        outcome = Outcome()
        data = self.body
        found = json_object(data)
        if found is None:
            outcome.failure = unreadable("The provider's answer is not a JSON object.")
            return outcome
        outcome.ended = True
        if found.get("type") == "error" or found.get("error"):
            outcome.failure = classify_inside(found)
            return outcome
        content = found.get("content")
        message, outcome.generated = _message(content, unwrap_json=self._unwrap_json)
        outcome.upstream_id, outcome.model = (
            told_word(found.get("id")),
            told_word(found.get("model")),
        )
        settle(outcome, self._call, [(found.get("usage"), data, ("usage",))])
        reason = finish_reason(found.get("stop_reason"), unwrap_json=self._unwrap_json)
        outcome.finish_reason = reason
        if reason == "content_filter":
            message["refusal"] = refusal_of(found) or message["refusal"]
        if not isinstance(content, list) or self._call.stream:
            outcome.failure = unreadable("The provider's answer is not what was asked for.")
            return outcome
        if any(written(block.get("input")) is None for block in objects(content)):
            outcome.failure = unreadable("The provider's answer is nested too deeply.")
            return outcome
        choices = [choice_of(message, reason)]
        give_completion(outcome, choices, created=self._created, model=self._call.model)
        return outcome

    def received_text(self) -> str:
        """What the model said."""
        found = json_object(self.body) or {}
        blocks = found.get("content")
        return "".join(_said(block) for block in objects(blocks))


def _message(content: Any, *, unwrap_json: bool) -> tuple[RawObject, bool]:
    """The message in OpenAI's words, and whether it says anything."""
    texts: list[str] = []
    thoughts: list[str] = []
    details: list[RawObject] = []
    calls: list[RawObject] = []
    for index, block in enumerate(objects(content)):
        kind = block.get("type")
        if kind == "text":
            texts.append(text_of(block, "text"))
        elif kind == "thinking":
            thoughts.append(text_of(block, "thinking"))
            if block.get("signature"):
                details.append(thought(thoughts[-1], text_of(block, "signature"), index))
        elif kind == "redacted_thinking":
            details.append(redacted_thought(text_of(block, "data"), index))
        elif kind == "tool_use":
            call = _tool_call(block)
            if unwrap_json and block.get("name") == JSON_TOOL:
                texts.append(call["function"]["arguments"])
            else:
                calls.append(call)
    return message_of(texts, thoughts, details, calls)


def message_of(
    texts: list[str], thoughts: list[str], details: list[RawObject], calls: list[RawObject]
) -> tuple[RawObject, bool]:
    """The assistant's message, and whether it says anything."""
    text, thinking = "".join(texts), "".join(thoughts)
    message: RawObject = {
        "role": "assistant",
        "content": text if text or not calls else None,
        "refusal": None,
    }
    extras = {"reasoning_content": thinking, "reasoning_details": details, "tool_calls": calls}
    message.update({name: value for name, value in extras.items() if value})
    return message, bool(text or calls or details or thinking)


def _tool_call(block: Mapping[str, Any]) -> RawObject:
    called = {
        "name": block.get("name"),
        "arguments": (written(block.get("input") or {}) or b"").decode(),
    }
    return {"id": block.get("id"), "type": "function", "function": called}


def settle(
    outcome: Outcome,
    call: ChatCall,
    reports: Sequence[tuple[Any, bytes, tuple[str, ...]]],
) -> None:
    """Usage out of the reports, in the order in which they came."""
    usages = [report for report in reports if isinstance(report[0], dict)]
    if not usages:
        return
    raw: RawObject = {}
    for usage, _, path in usages:
        told = usage
        if path == START_USAGE:
            # What a stream says at its start about the output is a placeholder.
            told = {name: value for name, value in usage.items() if name not in _OUTPUT}
        raw = merged_usage(raw, told)
    found = normalise_messages_usage(raw, outcome.model or call.model)
    texts = [text for usage, data, path in usages for text in keep_raw(found, data, usage, *path)]
    report_usage(outcome, found, texts)


def finish_reason(stop_reason: Any, *, unwrap_json: bool) -> str:
    if stop_reason == "tool_use" and unwrap_json:
        return "stop"
    return _FINISH.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def refusal_of(found: Mapping[str, Any]) -> str | None:
    details = found.get("stop_details")
    return text_of(details, "explanation") or None if isinstance(details, dict) else None


def thought(text: str, signature: str, index: int) -> RawObject:
    """A signed thought as an item of `reasoning_details`."""
    return {
        "type": "reasoning.text",
        "text": text,
        "signature": signature,
        "format": _FORMAT,
        "index": index,
    }


def redacted_thought(data: str, index: int) -> RawObject:
    """A thought that only the model can read, as an item of `reasoning_details`."""
    return {"type": "reasoning.encrypted", "data": data, "format": _FORMAT, "index": index}


def _said(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    if kind == "tool_use":
        return text_of(block, "name") + (written(block.get("input") or {}) or b"").decode()
    return text_of(block, str(kind)) if kind in ("text", "thinking") else ""
