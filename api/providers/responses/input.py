"""OpenAI's messages as the input items of Responses, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.providers.asked import messages_of
from api.providers.port import RawObject, UnsupportedParameter

THOUGHT_FORMAT: Final = "openai-responses-v1"
"""Marks the `reasoning_details` that this protocol gave and takes back."""

_SPEAKERS: Final = ("system", "developer", "user")


def input_items(messages: object) -> list[RawObject]:
    """The items. Raises UnsupportedParameter for what Responses cannot take."""
    items: list[RawObject] = []
    custom_calls: set[str] = set()
    for param, message in messages_of(messages):
        role = message.get("role")
        if role in _SPEAKERS:
            items.append({"role": role, "content": _content(message.get("content"), param)})
        elif role == "assistant":
            items.extend(_assistant(message, param, custom_calls))
        elif role == "tool":
            items.append(_tool_output(message, param, custom_calls))
        else:
            raise UnsupportedParameter(f"{param}.role is not supported", param=f"{param}.role")
    return items


def _content(content: Any, param: str) -> str | list[RawObject]:
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise UnsupportedParameter("content must be text or parts", param=f"{param}.content")
    return [_part(part, f"{param}.content.{place}") for place, part in enumerate(content)]


def _part(part: Any, param: str) -> RawObject:
    if not isinstance(part, Mapping):
        raise UnsupportedParameter("a content part must be an object", param=param)
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        found: RawObject = {"type": "input_text", "text": part["text"]}
    elif kind == "image_url":
        found = _image(part.get("image_url"), param)
    elif kind == "file":
        found = _file(part.get("file"), param)
    else:
        raise UnsupportedParameter(f"Responses takes no {str(kind)[:40]} content", param=param)
    if part.get("prompt_cache_breakpoint"):
        found["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
    return found


def _image(given: Any, param: str) -> RawObject:
    given = given if isinstance(given, Mapping) else {"url": given}
    if not isinstance(given.get("url"), str):
        raise UnsupportedParameter("an image must be a URL or a data URL", param=param)
    detail = given.get("detail") or "auto"
    return {"type": "input_image", "image_url": given["url"], "detail": detail}


def _file(given: Any, param: str) -> RawObject:
    if not isinstance(given, Mapping):
        raise UnsupportedParameter("file must be an object", param=param)
    found: RawObject = {"type": "input_file"}
    for name in ("file_id", "file_data", "filename"):
        if isinstance(given.get(name), str) and given[name]:
            found[name] = given[name]
    data = found.get("file_data", "")
    if data.startswith(("https://", "http://")):
        # OpenAI fetches it; keytoll never does.
        found["file_url"] = found.pop("file_data")
    if not found.keys() & {"file_id", "file_data", "file_url"}:
        raise UnsupportedParameter("a file needs file_data or file_id", param=param)
    return found


def _assistant(message: Mapping[str, Any], param: str, custom_calls: set[str]) -> list[RawObject]:
    """Thoughts that were given sealed, then the text, then the tool calls."""
    for name in ("function_call", "audio", "images"):
        if message.get(name):
            raise UnsupportedParameter(f"{name} is not supported", param=f"{param}.{name}")
    items = _thoughts(message.get("reasoning_details"))
    text = _spoken(message.get("content"), param)
    if isinstance(message.get("refusal"), str):
        text += message["refusal"]
    if text:
        items.append({"role": "assistant", "content": text})
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise UnsupportedParameter("tool_calls must be a list", param=f"{param}.tool_calls")
    for place, call in enumerate(calls):
        items.append(_tool_call(call, f"{param}.tool_calls.{place}", custom_calls))
    return items


def _spoken(content: Any, param: str) -> str:
    """What the assistant said, as one text: parts of its own cannot be given back as parts."""
    if isinstance(content, str):
        return content
    if content is not None and not isinstance(content, list):
        raise UnsupportedParameter("content must be text or parts", param=f"{param}.content")
    texts = []
    for place, part in enumerate(content or ()):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
            raise UnsupportedParameter(
                "an assistant's content must be text", param=f"{param}.content.{place}"
            )
        texts.append(part[kind])
    return "".join(texts)


def _thoughts(details: Any) -> list[RawObject]:
    """Reasoning items again, unchanged; one without its seal would not be found there."""
    found: dict[str, RawObject] = {}
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, Mapping) or detail.get("format") != THOUGHT_FORMAT:
            continue
        identity = detail.get("id")
        if not isinstance(identity, str):
            continue
        item = found.setdefault(identity, {"type": "reasoning", "id": identity, "summary": []})
        if isinstance(detail.get("summary"), str):
            item["summary"].append({"type": "summary_text", "text": detail["summary"]})
        if isinstance(detail.get("data"), str):
            item["encrypted_content"] = detail["data"]
    return [item for item in found.values() if item.get("encrypted_content")]


def _tool_call(call: Any, param: str, custom_calls: set[str]) -> RawObject:
    if not isinstance(call, Mapping) or not isinstance(call.get("id"), str):
        raise UnsupportedParameter("a tool call needs an id", param=param)
    kind = "custom" if call.get("type") == "custom" else "function"
    called = call.get(kind)
    if not isinstance(called, Mapping) or not isinstance(called.get("name"), str):
        raise UnsupportedParameter(f"a {kind} call needs a name", param=f"{param}.{kind}")
    name, item = ("input", "custom_tool_call") if kind == "custom" else _FUNCTION_CALL
    if kind == "custom":
        custom_calls.add(call["id"])
    text = called.get(name)
    text = "" if text is None else text
    if not isinstance(text, str):
        raise UnsupportedParameter(f"{name} must be text", param=f"{param}.{kind}.{name}")
    return {"type": item, "call_id": call["id"], "name": called["name"], name: text}


_FUNCTION_CALL: Final = ("arguments", "function_call")


def _tool_output(message: Mapping[str, Any], param: str, custom_calls: set[str]) -> RawObject:
    identity = message.get("tool_call_id")
    if not isinstance(identity, str):
        raise UnsupportedParameter(
            "a tool's message needs tool_call_id", param=f"{param}.tool_call_id"
        )
    kind = "custom_tool_call" if identity in custom_calls else "function_call"
    output = _content(message.get("content"), param)
    return {"type": f"{kind}_output", "call_id": identity, "output": output}
