"""Content blocks that arrive in pieces, as deltas of one chat message.

Anthropic and Bedrock write an answer as numbered blocks: of text, of thoughts (with a signature at
their end) and of tool calls. Their events differ, and are read beside this.
"""

from __future__ import annotations

from typing import Any

from api.providers.messages.reply import redacted_thought, thought
from api.providers.messages.request import JSON_TOOL
from api.providers.port import RawObject


class _Block:
    """A block that is being written."""

    __slots__ = ("any_arguments", "call", "is_json", "signature", "thoughts")

    def __init__(self) -> None:
        self.call: int | None = None
        """Which of the answer's tool calls it is, from 0."""
        self.is_json = False
        """The call stands in for a JSON answer: its arguments are the content."""
        self.any_arguments = False
        self.thoughts: list[str] = []
        self.signature = ""


class Blocks:
    """The blocks of one answer. Each method gives the deltas that its piece makes."""

    def __init__(self, *, unwrap_json: bool) -> None:
        self._unwrap_json = unwrap_json
        self._open: dict[int, _Block] = {}
        self._calls = 0
        self.words: list[str] = []
        """All that the model wrote, for estimates."""
        self.generated = False

    def text(self, text: str) -> list[RawObject]:
        """More of the content."""
        return self._say("content", text)

    def thought(self, index: int, text: str, signature: str = "") -> list[RawObject]:
        """More of a thought, or of its signature."""
        block = self._block(index)
        block.thoughts.append(text)
        block.signature += signature
        return self._say("reasoning_content", text)

    def redacted_thought(self, index: int, data: str) -> list[RawObject]:
        """A whole thought that only the model can read."""
        self.generated = True
        return [{"reasoning_details": [redacted_thought(data, index)]}]

    def call(self, index: int, name: str, identity: Any) -> list[RawObject]:
        """A tool call begins."""
        self.generated = True
        block = self._block(index)
        if self._unwrap_json and name == JSON_TOOL:
            block.is_json = True
            return []
        block.call = self._calls
        self._calls += 1
        self.words.append(name)
        called = {"name": name, "arguments": ""}
        return [_call(block, {"id": identity, "type": "function", "function": called})]

    def arguments(self, index: int, text: str) -> list[RawObject]:
        """More of a tool call's arguments; nothing if the block is no call."""
        block = self._block(index)
        if not text or (block.call is None and not block.is_json):
            return []
        block.any_arguments = True
        if block.is_json:
            return self.text(text)
        self.words.append(text)
        return [_call(block, {"function": {"arguments": text}})]

    def end(self, index: int) -> list[RawObject]:
        """A block is whole: a call without arguments has none, a thought gets its seal."""
        deltas = [] if self._block(index).any_arguments else self.arguments(index, "{}")
        block = self._open.pop(index)
        if block.signature:
            self.generated = True
            told = thought("".join(block.thoughts), block.signature, index)
            deltas.append({"reasoning_details": [told]})
        return deltas

    def _say(self, name: str, text: str) -> list[RawObject]:
        if not text:
            return []
        self.generated = True
        self.words.append(text)
        return [{name: text}]

    def _block(self, index: int) -> _Block:
        return self._open.setdefault(index, _Block())


def _call(block: _Block, call: RawObject) -> RawObject:
    return {"tool_calls": [{"index": block.call, **call}]}
