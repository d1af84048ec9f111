"""The output items of Responses as the deltas of one chat message, whole or piece by piece.

A stream gives an item in pieces and once more as a whole at its end; a JSON answer gives it as a
whole only. So an item's end says whatever its pieces have not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from api.providers.lenient import objects, text_of
from api.providers.port import RawObject
from api.providers.responses.input import THOUGHT_FORMAT

_CALLS: Final = {
    "function_call": ("function", "arguments"),
    "custom_tool_call": ("custom", "input"),
}
"""Type of an item → what a chat completion calls it, and where its text stands in both."""

_NO_SEARCH: Final = frozenset({"open_page", "find_in_page", "find"})
"""What a web search tool does with its results; only the searches are charged."""


_INDEX_MAX: Final = 2**31
"""No text is longer."""


class Said(NamedTuple):
    """A delta of the message."""

    delta: RawObject
    logprobs: RawObject | None = None


class _Item:
    """What is known of an item that is being written."""

    __slots__ = ("annotated", "done", "parts", "thoughts", "tool", "wrote")

    def __init__(self) -> None:
        self.tool: int | None = None
        self.wrote = False
        """Arguments of a call have come."""
        self.parts: dict[int, int] = {}
        """Place of a text or refusal that has begun → length of the content before it."""
        self.thoughts: str | None = None
        """Which of its two forms of thoughts is told: the first that came."""
        self.annotated = False
        self.done = False


class Items:
    """All items of one answer, known by their place in the output."""

    def __init__(self) -> None:
        self._items: dict[int, _Item] = {}
        self._content_chars = 0
        self._last_thought: tuple[int, int] | None = None
        self.calls = 0
        self.searches = 0
        self.words: list[str] = []
        """All that the model wrote, for estimates."""

    def forget_places(self) -> None:
        """Another response begins: its places count from 0 again."""
        self._items.clear()

    def begin(self, place: int, item: Mapping[str, Any]) -> list[Said]:
        """A new item: a tool call is announced, all others say nothing yet."""
        state, known = self._item(place), _CALLS.get(text_of(item, "type"))
        if known is None or state.tool is not None:
            return []
        state.tool = self.calls
        self.calls += 1
        kind, member = known
        name = text_of(item, "name")
        self.words.append(name)
        identity = text_of(item, "call_id") or text_of(item, "id")
        call = {"id": identity, "type": kind, kind: {"name": name, member: ""}}
        return [Said({"tool_calls": [{"index": state.tool, **call}]})]

    def text(self, place: int, part: int, text: str, logprobs: Any = None) -> list[Said]:
        """More of the content."""
        if text:
            self._item(place).parts.setdefault(part, self._content_chars)
            self._content_chars += len(text)
        return self._say("content", text, _logprobs(logprobs))

    def refusal(self, place: int, part: int, text: str) -> list[Said]:
        """More of a refusal."""
        if text:
            self._item(place).parts.setdefault(part, self._content_chars)
        return self._say("refusal", text)

    def thought(self, place: int, form: str, part: int, text: str) -> list[Said]:
        """More of the thoughts: of a summary or of the text itself, but not of both."""
        state = self._item(place)
        state.thoughts = state.thoughts or form
        if state.thoughts != form or not text:
            return []
        at, before = (place, part), self._last_thought
        self._last_thought = at
        return self._say("reasoning_content", text if before in (None, at) else "\n\n" + text)

    def arguments(self, place: int, kind: str, text: str) -> list[Said]:
        """More of a call's arguments, or of a custom tool's input."""
        state = self._item(place)
        if state.tool is None or not text:
            return []
        state.wrote = True
        self.words.append(text)
        name, member = _CALLS[kind]
        return [Said({"tool_calls": [{"index": state.tool, name: {member: text}}]})]

    def annotation(self, place: int, part: int, given: Any) -> list[Said]:
        """A source of the text; only web pages have a form in chat completions."""
        state = self._item(place)
        state.annotated = True
        if not isinstance(given, Mapping) or given.get("type") != "url_citation":
            return []
        before = state.parts.get(part, min(state.parts.values(), default=0))
        cited: RawObject = {name: text_of(given, name) for name in ("title", "url")}
        for name in ("start_index", "end_index"):
            index: Any = given.get(name)
            known = isinstance(index, int) and 0 <= index < _INDEX_MAX
            cited[name] = before + index if known else None
        return [Said({"annotations": [{"type": "url_citation", "url_citation": cited}]})]

    def end(self, place: int, item: Mapping[str, Any]) -> list[Said]:
        """The whole item: what its pieces have not said."""
        state, kind = self._item(place), text_of(item, "type")
        if state.done:
            return []
        state.done = True
        if kind == "message":
            return self._end_message(place, item)
        if kind == "reasoning":
            return self._end_reasoning(place, item)
        if kind in _CALLS:
            said = self.begin(place, item)
            if not state.wrote:
                said += self.arguments(place, kind, text_of(item, _CALLS[kind][1]))
            return said
        if kind == "web_search_call" and item.get("status") != "failed":
            action = item.get("action")
            does = action if isinstance(action, Mapping) else {"type": action}
            self.searches += text_of(does, "type") not in _NO_SEARCH
        return []

    def _end_message(self, place: int, item: Mapping[str, Any]) -> list[Said]:
        state, said = self._item(place), list[Said]()
        # Places are not compared: some count thoughts among the parts of a message.
        spoken, annotated = bool(state.parts), state.annotated
        for part, content in enumerate(objects(item.get("content"))):
            if not spoken:
                if content.get("type") == "refusal":
                    said += self.refusal(place, part, text_of(content, "refusal"))
                else:
                    text = text_of(content, "text")
                    said += self.text(place, part, text, content.get("logprobs"))
            if not annotated:
                for given in objects(content.get("annotations")):
                    said += self.annotation(place, part, given)
        return said

    def _end_reasoning(self, place: int, item: Mapping[str, Any]) -> list[Said]:
        said: list[Said] = []
        summary = [text_of(part, "text") for part in objects(item.get("summary"))]
        if self._item(place).thoughts is None:
            texts = [text_of(part, "text") for part in objects(item.get("content"))]
            for part, text in enumerate(summary or texts):
                said += self.thought(place, "whole", part, text)
        sealed, identity = text_of(item, "encrypted_content"), text_of(item, "id")
        if sealed and identity:
            common = {"id": identity, "format": THOUGHT_FORMAT, "index": place}
            details = [{"type": "reasoning.summary", "summary": text, **common} for text in summary]
            details.append({"type": "reasoning.encrypted", "data": sealed, **common})
            said.append(Said({"reasoning_details": details}))
        return said

    def _say(self, name: str, text: str, logprobs: RawObject | None = None) -> list[Said]:
        if not text:
            return []
        self.words.append(text)
        return [Said({name: text}, logprobs)]

    def _item(self, place: int) -> _Item:
        return self._items.setdefault(place, _Item())


def message_of(said: list[Said]) -> tuple[RawObject, RawObject | None]:
    """All deltas of an answer put together: the message, and its log probabilities."""
    texts: dict[str, str] = {}
    lists: dict[str, list[RawObject]] = {}
    calls: list[RawObject] = []
    tokens: list[RawObject] = []
    for delta, logprobs in said:
        tokens += logprobs["content"] if logprobs else ()
        for name, value in delta.items():
            if name == "tool_calls":
                _add_call(calls, value[0])
            elif isinstance(value, list):
                lists.setdefault(name, []).extend(value)
            else:
                texts[name] = texts.get(name, "") + value
    content, refusal = texts.pop("content", ""), texts.pop("refusal", None)
    message: RawObject = {
        "role": "assistant",
        "content": content if content or not (calls or refusal) else None,
        "refusal": refusal,
        **texts,
        **lists,
    }
    if calls:
        message["tool_calls"] = calls
    return message, {"content": tokens, "refusal": None} if tokens else None


def _add_call(calls: list[RawObject], piece: RawObject) -> None:
    if "id" in piece:
        calls.append({name: value for name, value in piece.items() if name != "index"})
        return
    for kind, member in _CALLS.values():
        if kind in piece:
            calls[piece["index"]][kind][member] += piece[kind][member]


def _logprobs(given: Any) -> RawObject | None:
    tokens = [_token(token) for token in objects(given)]
    return {"content": tokens, "refusal": None} if tokens else None


def _token(given: Mapping[str, Any]) -> RawObject:
    others = objects(given.get("top_logprobs"))
    return {**_likelihood(given), "top_logprobs": [_likelihood(other) for other in others]}


def _likelihood(given: Mapping[str, Any]) -> RawObject:
    logprob, told = given.get("logprob"), given.get("bytes")
    plain = isinstance(told, list) and all(type(byte) is int for byte in told)
    return {
        "token": text_of(given, "token"),
        "logprob": logprob if isinstance(logprob, int | float) else None,
        "bytes": told if plain else None,
    }
