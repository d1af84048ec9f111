"""OpenAI's messages as Anthropic's: system apart, roles merged, parts as blocks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from api.providers.asked import calls_made, data_url, function_called, messages_of
from api.providers.lenient import objects, text_of
from api.providers.port import RawObject, UnsupportedParameter

_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_BAD_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_NO_ID: Final = "call_0"


def system_and_messages(messages: object) -> tuple[list[RawObject], list[RawObject]]:
    """(system blocks, messages). Raises UnsupportedParameter for what Anthropic cannot take."""
    system: list[RawObject] = []
    turns: list[RawObject] = []
    for param, message in messages_of(messages):
        role = message.get("role")
        if role in ("system", "developer") and not turns:
            system.extend(_blocks(message, param))
        elif role in ("system", "developer", "user"):
            # An instruction in the middle keeps its place: it is given as the user's words.
            _add(turns, "user", _blocks(message, param))
        elif role == "assistant":
            _add(turns, "assistant", _assistant(message, param))
        elif role == "tool":
            _add(turns, "user", [_tool_result(message, param)])
        else:
            raise UnsupportedParameter(f"{param}.role is not supported", param=f"{param}.role")
    _trim_last(turns)
    return system, turns


def open_turn_without_thoughts(turns: list[RawObject]) -> bool:
    """A tool's result is being returned to an assistant turn whose thoughts were not kept."""
    if len(turns) < 2 or not any(block["type"] == "tool_result" for block in turns[-1]["content"]):
        return False
    return turns[-2]["content"][0]["type"] not in ("thinking", "redacted_thinking")


def _add(turns: list[RawObject], role: str, blocks: list[RawObject]) -> None:
    if not blocks:
        return
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": blocks})
        return
    content = turns[-1]["content"]
    results = [block for block in blocks if block["type"] == "tool_result"]
    # The results of one turn stand before everything else in the message.
    at = sum(1 for block in content if block["type"] == "tool_result")
    content[at:at] = results
    content.extend(block for block in blocks if block["type"] != "tool_result")


def _trim_last(turns: list[RawObject]) -> None:
    if not turns or turns[-1]["role"] != "assistant":
        return
    last = turns[-1]["content"][-1]
    if last["type"] == "text":
        # A prefill that ends with white space is refused.
        last["text"] = last["text"].rstrip()
        if not last["text"]:
            turns[-1]["content"].pop()
            if not turns[-1]["content"]:
                turns.pop()


def _blocks(message: Mapping[str, Any], param: str) -> list[RawObject]:
    """The content of a message; a cache mark on the message goes to its last block."""
    content = message.get("content")
    if isinstance(content, str):
        blocks = [_text_block(content)] if content else []
    elif isinstance(content, list):
        blocks = [
            block
            for place, part in enumerate(content)
            for block in _part(part, f"{param}.content.{place}")
        ]
    elif content is None:
        blocks = []
    else:
        raise UnsupportedParameter("content must be text or parts", param=f"{param}.content")
    if blocks and message.get("cache_control"):
        blocks[-1]["cache_control"] = message["cache_control"]
    return blocks


def _part(part: Any, param: str) -> Iterable[RawObject]:
    if not isinstance(part, Mapping):
        raise UnsupportedParameter("a content part must be an object", param=param)
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get(kind)
        blocks = [_text_block(text)] if isinstance(text, str) and text else []
    elif kind == "image_url":
        blocks = [{"type": "image", "source": _image(part.get("image_url"), param)}]
    elif kind == "file":
        blocks = [_document(part.get("file"), param)]
    else:
        raise UnsupportedParameter(f"anthropic takes no {str(kind)[:40]} content", param=param)
    if blocks and part.get("cache_control"):
        blocks[0]["cache_control"] = part["cache_control"]
    return blocks


def _text_block(text: str) -> RawObject:
    return {"type": "text", "text": text}


def _image(given: Any, param: str) -> RawObject:
    url = given.get("url") if isinstance(given, Mapping) else given
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        # Anthropic fetches it; keytoll never does.
        return {"type": "url", "url": url}
    found = data_url(url)
    if found is None or found[0] not in _IMAGES:
        raise UnsupportedParameter(
            "an image must be a URL, or a data URL of a JPEG, PNG, GIF or WebP", param=param
        )
    return {"type": "base64", "media_type": found[0], "data": found[1]}


def _document(given: Any, param: str) -> RawObject:
    if not isinstance(given, Mapping):
        raise UnsupportedParameter("file must be an object", param=param)
    block: RawObject = {"type": "document", "source": _document_source(given, param)}
    if isinstance(given.get("filename"), str) and given["filename"]:
        block["title"] = given["filename"]
    return block


def _document_source(given: Mapping[str, Any], param: str) -> RawObject:
    if isinstance(given.get("file_id"), str):
        return {"type": "file", "file_id": given["file_id"]}
    data = given.get("file_data")
    if isinstance(data, str) and data.startswith(("https://", "http://")):
        return {"type": "url", "url": data}
    found = data_url(data)
    if found is None and isinstance(data, str) and not data.startswith("data:"):
        # OpenAI also takes the bare base64 of a PDF.
        found = ("application/pdf", data)
    if found is not None and found[0] == "application/pdf":
        return {"type": "base64", "media_type": "application/pdf", "data": found[1]}
    text = _plain_text(found)
    if text is None:
        raise UnsupportedParameter("a file must be a PDF or plain text", param=param)
    return {"type": "text", "media_type": "text/plain", "data": text}


def _plain_text(found: tuple[str, str] | None) -> str | None:
    if found is None or not found[0].startswith("text/"):
        return None
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def _assistant(message: Mapping[str, Any], param: str) -> list[RawObject]:
    """Thoughts that carry a signature, then text, then tool calls."""
    blocks = _thoughts(message.get("reasoning_details"))
    blocks.extend(_blocks(message, param))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        blocks.append(_text_block(refusal))
    for place, call in enumerate(calls_made(message, param)):
        blocks.append(_tool_use(call, f"{param}.tool_calls.{place}"))
    return blocks


def _thoughts(details: Any) -> list[RawObject]:
    """Anthropic's own blocks again."""
    return [
        {"type": "thinking", "thinking": text, "signature": seal}
        if text is not None
        else {"type": "redacted_thinking", "data": seal}
        for text, seal in sealed_thoughts(details)
    ]


def sealed_thoughts(details: Any) -> Iterator[tuple[str | None, str]]:
    """(text, signature) or (None, encrypted thought) of each of Claude's earlier thoughts.

    They go back unchanged; one without its seal would be refused.
    """
    for detail in objects(details):
        if text_of(detail, "signature"):
            yield str(detail.get("text") or detail.get("thinking") or ""), detail["signature"]
        elif text_of(detail, "data"):
            yield None, detail["data"]


def _tool_use(call: Any, param: str) -> RawObject:
    name, arguments = function_called(call, param, of="anthropic")
    block: RawObject = {
        "type": "tool_use",
        "id": _tool_id(call.get("id")),
        "name": name,
        "input": arguments,
    }
    if call.get("cache_control"):
        block["cache_control"] = call["cache_control"]
    return block


def _tool_result(message: Mapping[str, Any], param: str) -> RawObject:
    block: RawObject = {"type": "tool_result", "tool_use_id": _tool_id(message.get("tool_call_id"))}
    content = message.get("content")
    if isinstance(content, str):
        if content:
            block["content"] = content
    else:
        parts = _blocks({"content": content}, param)
        if parts:
            block["content"] = parts
    if message.get("is_error") is True:
        block["is_error"] = True
    if message.get("cache_control"):
        block["cache_control"] = message["cache_control"]
    return block


def _tool_id(value: Any) -> str:
    """The same id for call and result, in the signs that Anthropic allows."""
    return _BAD_ID.sub("_", value) if isinstance(value, str) and value else _NO_ID
