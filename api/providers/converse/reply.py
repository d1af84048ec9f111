"""Converse's answers as OpenAI's chat completions, and what streams share with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.chunks import choice_of, created, give_completion
from api.providers.converse.usage import normalise_converse_usage, price_context
from api.providers.failures import unreadable
from api.providers.lenient import json_object, objects, text_of
from api.providers.messages.reply import message_of, redacted_thought, thought
from api.providers.messages.request import JSON_TOOL
from api.providers.port import ChatCall, Headers, Outcome, RawObject
from api.providers.usage import Normalised, keep_raw, report_usage, section, told_word
from api.providers.verbatim import written
from api.providers.whole_body import WholeBody

REQUEST_ID: Final = "x-amzn-requestid"
"""Converse's bodies carry no id of their own."""
_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""Others, such as malformed_model_output, end the turn like any end."""
_SERVER_TOOL: Final = "server_tool_use"


class BodyReader(WholeBody):
    """Reads an answer that is one object."""

    def __init__(self, call: ChatCall, headers: Headers, *, unwrap_json: bool) -> None:
        super().__init__()
        self._call = call
        self._headers = headers
        self._unwrap_json = unwrap_json

    def finish(self) -> Outcome:
        """The whole answer, if that is what it is."""
        outcome = Outcome(upstream_id=told_word(self._headers.get(REQUEST_ID)))
        data = self.body
        found = json_object(data)
        if found is None:
            outcome.failure = unreadable("The provider's answer is not a JSON object.")
            return outcome
        outcome.ended = True
        content = section(section(found, "output"), "message").get("content")
        message, outcome.generated = _message(content, unwrap_json=self._unwrap_json)
        settle(outcome, found, data, section(found, "additionalModelResponseFields"), data)
        reason = finish_reason(found.get("stopReason"), unwrap_json=self._unwrap_json)
        outcome.finish_reason = reason
        if not isinstance(content, list) or self._call.stream:
            outcome.failure = unreadable("The provider's answer is not what was asked for.")
            return outcome
        if any(written(block.get("toolUse")) is None for block in objects(content)):
            outcome.failure = unreadable("The provider's answer is nested too deeply.")
            return outcome
        choices = [choice_of(message, reason)]
        give_completion(outcome, choices, created=created(self._headers), model=self._call.model)
        return outcome

    def received_text(self) -> str:
        """What the model said."""
        found = json_object(self.body) or {}
        content = section(section(found, "output"), "message").get("content")
        return "".join(_said(block) for block in objects(content))


def _message(content: Any, *, unwrap_json: bool) -> tuple[RawObject, bool]:
    """The message in OpenAI's words, and whether it says anything."""
    texts: list[str] = []
    thoughts: list[str] = []
    details: list[RawObject] = []
    calls: list[RawObject] = []
    for index, block in enumerate(objects(content)):
        texts.append(_text(block))
        reasoning, use = section(block, "reasoningContent"), section(block, "toolUse")
        told = section(reasoning, "reasoningText")
        if told:
            thoughts.append(text_of(told, "text"))
            if text_of(told, "signature"):
                details.append(thought(thoughts[-1], text_of(told, "signature"), index))
        elif text_of(reasoning, "redactedContent"):
            details.append(redacted_thought(text_of(reasoning, "redactedContent"), index))
        elif use and is_ours(use):
            call = _tool_call(use)
            if unwrap_json and use.get("name") == JSON_TOOL:
                texts.append(call["function"]["arguments"])
            else:
                calls.append(call)
    return message_of(texts, thoughts, details, calls)


def _text(block: Mapping[str, Any]) -> str:
    """Plain text, or text whose sources are told beside it."""
    cited = objects(section(block, "citationsContent").get("content"))
    return text_of(block, "text") + "".join(text_of(part, "text") for part in cited)


def _tool_call(use: Mapping[str, Any]) -> RawObject:
    called = {
        "name": text_of(use, "name"),
        "arguments": (written(use.get("input") or {}) or b"").decode(),
    }
    return {"id": text_of(use, "toolUseId"), "type": "function", "function": called}


def _said(block: Mapping[str, Any]) -> str:
    use = section(block, "toolUse")
    thoughts = section(section(block, "reasoningContent"), "reasoningText")
    called = _tool_call(use)["function"] if use and is_ours(use) else {}
    said = _text(block) + text_of(thoughts, "text")
    return said + text_of(called, "name") + text_of(called, "arguments")


def is_ours(use: Mapping[str, Any]) -> bool:
    """The client's own tool, not one that the provider runs itself."""
    return use.get("type") != _SERVER_TOOL


def finish_reason(stop_reason: Any, *, unwrap_json: bool) -> str:
    """OpenAI's word for why the answer stopped."""
    if stop_reason == "tool_use" and unwrap_json:
        return "stop"
    return _FINISH.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def settle(
    outcome: Outcome,
    told: Mapping[str, Any],
    data: bytes,
    additional: Mapping[str, Any],
    additional_data: bytes,
) -> None:
    """Usage and price context out of the object that holds `usage`, and Claude's own count of
    its thoughts out of the fields that were asked for beside it."""
    outcome.context = price_context(told)
    usage = told.get("usage")
    if not isinstance(usage, dict):
        return
    found = normalise_converse_usage(usage)
    texts = keep_raw(found, data, usage, "usage")
    texts += _thought_count(found, additional, additional_data)
    report_usage(outcome, found, texts)


def _thought_count(found: Normalised, additional: Mapping[str, Any], data: bytes) -> list[str]:
    """Note the count; the text that told it."""
    own = additional.get("usage")
    details = section(own, "output_tokens_details") if isinstance(own, dict) else {}
    count = found.count(details, "thinking_tokens")
    if count is None or "output_tokens" not in found.usage:
        return []
    found.put("reasoning_tokens", count)
    return keep_raw(found, data, own, "additionalModelResponseFields", "usage")
