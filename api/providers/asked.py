"""What dialects that translate read alike in OpenAI's request."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import orjson

from api.providers.port import ChatCall, RawObject, UnsupportedParameter
from api.providers.verbatim import written

NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "stop": ([], ""),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "functions": ([],),
    "function_call": ("none",),
}
"""Values that ask for nothing: a field that cannot be honoured is dropped with one of them, and
refused with any other."""

_DATA_URL: Final = re.compile(r"data:([a-zA-Z0-9.+/-]+)(?:;[a-zA-Z0-9=.+-]+)*?(;base64)?,", re.A)


def asked_for(call: ChatCall, known: Collection[str], *, of: str) -> RawObject:
    """The fields that the client set; null is as good as nothing.

    Raises UnsupportedParameter for one that the protocol `of` cannot honour: it is not among the
    `known` ones and asks for something.
    """
    asked = {name: value for name, value in call.body.items() if value is not None}
    for name, value in asked.items():
        if name not in known and value not in NEUTRAL.get(name, ()):
            shown = name[:40]
            raise UnsupportedParameter(f"{of} cannot honour {shown!r}", param=shown)
    return asked


def messages_of(messages: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each message with the name of its place, for errors. Raises UnsupportedParameter."""
    if not isinstance(messages, list):
        raise UnsupportedParameter("messages must be a list", param="messages")
    for place, message in enumerate(messages):
        param = f"messages.{place}"
        if not isinstance(message, Mapping):
            raise UnsupportedParameter("a message must be an object", param=param)
        yield param, message


def token_limit(asked: Mapping[str, Any]) -> Any | None:
    """The most tokens that the answer may have; None: the client set no limit."""
    return asked.get("max_completion_tokens", asked.get("max_tokens"))


def stop_texts(asked: Mapping[str, Any]) -> list[Any]:
    """The texts that end the answer. Raises UnsupportedParameter."""
    stop = asked.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list):
        raise UnsupportedParameter("stop must be text or a list of texts", param="stop")
    return stops


def function_declared(tool: Any, param: str, *, of: str) -> Mapping[str, Any]:
    """The function that a tool is. Raises UnsupportedParameter for any other kind of tool."""
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or tool.get("type", "function") != "function":
        raise UnsupportedParameter(f"{of} takes tools of type function", param=param)
    return function


def calls_made(message: Mapping[str, Any], param: str, *, images: bool = False) -> list[Any]:
    """The tool calls of an assistant's message. Raises UnsupportedParameter.

    So it does for what else an answer may have held: left out, the conversation would be another.
    `images`: they are taken back.
    """
    for name in ("function_call", "audio", "images"):
        if message.get(name) and not (images and name == "images"):
            raise UnsupportedParameter(
                f"an earlier answer's {name} cannot be given back here", param=f"{param}.{name}"
            )
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise UnsupportedParameter("tool_calls must be a list", param=f"{param}.tool_calls")
    return calls


def function_called(call: Any, param: str, *, of: str) -> tuple[str, RawObject]:
    """(name, arguments) of a tool call. Raises UnsupportedParameter."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UnsupportedParameter(f"{of} knows tools of type function only", param=param)
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise UnsupportedParameter("arguments must be a JSON object", param=f"{param}.function")
    return function["name"], arguments


def described_schema(inner: Mapping[str, Any]) -> RawObject:
    """The schema of a `json_schema`, for protocols that know no description beside it."""
    schema: RawObject = dict(inner["schema"])
    description = inner.get("description")
    if isinstance(description, str) and description:
        schema.setdefault("description", description)
    return schema


def data_url(url: Any) -> tuple[str, str] | None:
    """(media type, base64 text) of a base64 data URL; None if it is none."""
    found = _DATA_URL.match(url) if isinstance(url, str) else None
    if found is None or not found.group(2) or not isinstance(url, str):
        return None
    media_type = found.group(1).lower()
    return "image/jpeg" if media_type == "image/jpg" else media_type, url[found.end() :]


def body_bytes(body: RawObject) -> bytes:
    """The body as it goes up. Raises UnsupportedParameter if it is nested too deeply."""
    found = written(body)
    if found is None:
        raise UnsupportedParameter("the messages are nested too deeply", param="messages")
    return found
