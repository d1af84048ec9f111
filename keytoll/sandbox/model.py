"""What the sandbox's models read, say and count. No sockets, no clock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MODELS: Final = (
    "sandbox/echo",
    "sandbox/echo-free",
    "sandbox/silent",
    "sandbox/slow",
    "sandbox/cut",
    "sandbox/unpriced",
)
CHOICES_MAX: Final = 16
IMAGE_TOKENS: Final = 85
"""What any image counts, whatever it shows."""


class SandboxError(Exception):
    """Anything that ends a call before its answer is complete."""


class Refused(SandboxError):
    """The sandbox declines a call, in OpenAI's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


def check_key(authorization: str) -> None:
    """Any key will do, except those whose ending asks for a refusal."""
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused(401, "You did not provide an API key in the Authorization header.")
    if key.endswith("-revoked"):
        raise Refused(401, f"Incorrect API key provided: sk-***{key[-4:]}.", code="invalid_api_key")
    if key.endswith("-broke"):
        raise Refused(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            kind="insufficient_quota",
            code="insufficient_quota",
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """A chat completion as the sandbox understands it."""

    model: str
    """As asked for; the answer repeats it."""
    behaviour: str
    """The name without `sandbox/`: echo, echo-free, silent, slow, cut or unpriced."""
    stream: bool
    include_usage: bool
    choices: int
    prompt_tokens: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Answer:
    """Words, or one tool call."""

    words: tuple[str, ...]
    finish_reason: str
    tool: str | None = None

    def pieces(self) -> Iterator[str]:
        """Word by word, each with the space that stands before it."""
        for index, word in enumerate(self.words):
            yield word if index == 0 else f" {word}"

    @property
    def tokens(self) -> int:
        """What the whole answer counts: its words, and one for the name of a called tool."""
        return len(self.words) + (self.tool is not None)


def read_ask(data: bytes) -> Ask:
    """The request in `data`. Raises Refused with what OpenAI would answer."""
    body = _object(data)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "you must provide a model parameter", param="model")
    name = model.removeprefix("sandbox/")
    if f"sandbox/{name}" not in MODELS:
        raise Refused(
            404,
            f"The model `{model[:100]}` does not exist or you do not have access to it.",
            code="model_not_found",
            param="model",
        )
    options = body.get("stream_options")
    messages = _messages(body)
    return Ask(
        model=model,
        behaviour=name,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=_choices(body),
        prompt_tokens=sum(_tokens(message) for message in messages) + _tool_tokens(body),
        answer=_answer(body, messages),
    )


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "We could not parse the JSON body of your request.")
    return body


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "Missing required parameter: 'messages'.", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            where = f"messages[{index}]"
            raise Refused(400, f"Invalid type for '{where}': expected a message.", param=where)
    return messages


def _choices(body: Mapping[str, Any]) -> int:
    choices = body.get("n") if body.get("n") is not None else 1
    if not isinstance(choices, int) or isinstance(choices, bool) or not 1 <= choices <= CHOICES_MAX:
        raise Refused(400, f"Invalid 'n': expected 1 to {CHOICES_MAX}.", param="n")
    return choices


def _parts(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    elif isinstance(content, list):
        yield from (part for part in content if isinstance(part, dict))


def _text(message: Mapping[str, Any]) -> str:
    texts = (part.get("text") for part in _parts(message))
    return " ".join(text for text in texts if isinstance(text, str))


def _tokens(message: Mapping[str, Any]) -> int:
    images = sum(1 for part in _parts(message) if part.get("type") == "image_url")
    calls = message.get("tool_calls")
    called = json.dumps(calls, ensure_ascii=False) if isinstance(calls, list) else ""
    return len(_text(message).split()) + len(called.split()) + images * IMAGE_TOKENS


def _functions(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tools = body.get("tools")
    if not isinstance(tools, list):
        return []
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    return [f for f in functions if isinstance(f, dict) and isinstance(f.get("name"), str)]


def _tool_tokens(body: Mapping[str, Any]) -> int:
    return sum(len(json.dumps(f, ensure_ascii=False).split()) for f in _functions(body))


def _answer(body: Mapping[str, Any], messages: list[Mapping[str, Any]]) -> Answer:
    text = _text(messages[-1])
    tool = _called(body, text)
    if tool is not None:
        return Answer(words=tuple(_arguments(text).split()), finish_reason="tool_calls", tool=tool)
    words = text.split()
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if type(limit) is int and 0 < limit < len(words):
        return Answer(words=tuple(words[:limit]), finish_reason="length")
    return Answer(words=tuple(words), finish_reason="stop")


def _called(body: Mapping[str, Any], text: str) -> str | None:
    """The tool that the message asks for ("call get_weather {…}") or that the client demands."""
    names = [str(function["name"]) for function in _functions(body)]
    choice = body.get("tool_choice")
    if not names or choice == "none":
        return None
    if isinstance(choice, dict) and isinstance(choice.get("function"), dict):
        forced = choice["function"].get("name")
        return forced if forced in names else None
    for name in names:
        if re.search(rf"\bcall {re.escape(name)}\b", text):
            return name
    return names[0] if choice == "required" else None


def _arguments(text: str) -> str:
    """The JSON object at the end of the message, if there is one."""
    start = text.find("{")
    try:
        found = json.loads(text[start:]) if start >= 0 else {}
    except (ValueError, RecursionError):
        found = {}
    return json.dumps(found, ensure_ascii=False)
