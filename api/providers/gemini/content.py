"""OpenAI's messages as Gemini's contents: system apart, neighbours merged, parts as parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from api.providers.asked import calls_made, data_url, function_called
from api.providers.port import RawObject, UnsupportedParameter

SKIP_VALIDATION: Final = "skip_thought_signature_validator"
"""Google's own word for a call whose signature is not there: it is then not asked for."""
FILES_URL: Final = "https://generativelanguage.googleapis.com/v1beta/"
_MEDIA_TYPES: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "html": "text/html",
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mov": "video/mov",
    "webm": "video/webm",
}
"""The ending of an address → what it most likely holds; another one is left to Google."""
_EXACT_MAX: Final = 2**53
"""Google's JSON objects hold numbers as doubles: whole ones beyond this would change."""

Role = Literal["user", "model", "tool"]


class Conversation:
    """The contents as they grow. Tool results stand in a content of their own."""

    def __init__(self, *, wants_signatures: bool) -> None:
        self.system: list[RawObject] = []
        self.contents: list[RawObject] = []
        self._last: Role | None = None
        self._names: dict[str, str] = {}
        self._wants_signatures = wants_signatures

    def take(self, message: Mapping[str, Any], param: str) -> None:
        """Add a message. Raises UnsupportedParameter for what Gemini cannot take."""
        role = message.get("role")
        if role in ("system", "developer") and not self.contents:
            self.system.extend(_parts(message.get("content"), param))
        elif role in ("system", "developer", "user"):
            # An instruction in the middle keeps its place: it is given as the user's words.
            self._add("user", list(_parts(message.get("content"), param)))
        elif role == "assistant":
            self._add("model", self._answer(message, param))
        elif role == "tool":
            self._add("tool", [self._result(message, param)])
        else:
            raise UnsupportedParameter(f"{param}.role is not supported", param=f"{param}.role")

    def _add(self, role: Role, parts: list[RawObject]) -> None:
        if not parts:
            return
        if role == self._last:
            self.contents[-1]["parts"].extend(parts)
        else:
            self.contents.append({"role": "user" if role == "tool" else role, "parts": parts})
        self._last = role

    def _answer(self, message: Mapping[str, Any], param: str) -> list[RawObject]:
        """Text, then tool calls, each with its signature."""
        parts = list(_parts(message.get("content"), param))
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            parts.append({"text": refusal})
        images = message.get("images")
        for place, image in enumerate(images if isinstance(images, list) else ()):
            parts.extend(_part(image, f"{param}.images.{place}"))
        signature = _signature(message)
        if signature:
            if not parts or "text" not in parts[-1]:
                parts.append({"text": ""})
            parts[-1]["thoughtSignature"] = signature
        for place, call in enumerate(calls_made(message, param, images=True)):
            part = self._call(call, f"{param}.tool_calls.{place}")
            if place == 0 and self._wants_signatures:
                part.setdefault("thoughtSignature", SKIP_VALIDATION)
            parts.append(part)
        return parts

    def _call(self, call: Any, param: str) -> RawObject:
        name, arguments = function_called(call, param, of="google")
        called: RawObject = {"name": name, "args": arguments}
        identity = call.get("id")
        if isinstance(identity, str) and identity:
            called["id"] = identity
            self._names[identity] = name
        part: RawObject = {"functionCall": called}
        signature = _signature(call)
        if signature:
            part["thoughtSignature"] = signature
        return part

    def _result(self, message: Mapping[str, Any], param: str) -> RawObject:
        """Gemini wants the name of the function; OpenAI's message has the id of the call only."""
        identity = message.get("tool_call_id")
        name = self._names.get(identity) if isinstance(identity, str) else None
        name = name or message.get("name")
        if not isinstance(name, str) or not name:
            raise UnsupportedParameter(
                "no tool call of this id comes before its result", param=f"{param}.tool_call_id"
            )
        answered: RawObject = {"name": name}
        if isinstance(identity, str) and identity:
            answered["id"] = identity
        content = message.get("content")
        parts = list(_parts(content, param))
        answered["response"] = _result_object("".join(part.get("text", "") for part in parts))
        media = [part for part in parts if "text" not in part]
        if media:
            answered["parts"] = media
        return {"functionResponse": answered}


def _signature(holder: Mapping[str, Any]) -> str | None:
    """Where Google's own OpenAI endpoint puts a thought signature."""
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    signature = google.get("thought_signature") if isinstance(google, Mapping) else None
    return signature if isinstance(signature, str) and signature else None


def _result_object(text: str) -> RawObject:
    """An object as it is, if nothing in it would change; else the text as the output."""
    try:
        found = json.loads(text, parse_int=_exact, parse_constant=_exact)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"output": text}


def _exact(digits: str) -> int:
    number = int(digits)
    if abs(number) > _EXACT_MAX:
        raise ValueError("not exact as a double")
    return number


def _parts(content: Any, param: str) -> Iterator[RawObject]:
    if isinstance(content, str):
        if content:
            yield {"text": content}
    elif isinstance(content, list):
        for place, part in enumerate(content):
            yield from _part(part, f"{param}.content.{place}")
    elif content is not None:
        raise UnsupportedParameter("content must be text or parts", param=f"{param}.content")


def _part(part: Any, param: str) -> Iterator[RawObject]:
    if not isinstance(part, Mapping):
        raise UnsupportedParameter("a content part must be an object", param=param)
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if isinstance(text, str) and text:
            yield {"text": text}
    elif kind in ("image_url", "video_url"):
        given = part.get(kind)
        yield _media(given.get("url") if isinstance(given, Mapping) else given, param)
    elif kind == "input_audio":
        yield _audio(part.get("input_audio"), param)
    elif kind == "file":
        yield _file(part.get("file"), param)
    else:
        raise UnsupportedParameter(f"google takes no {str(kind)[:40]} content", param=param)


def _media(url: Any, param: str) -> RawObject:
    """Bytes of a data URL, or an address that Google fetches; keytoll never does."""
    if isinstance(url, str) and url.startswith("https://"):
        return _address(url)
    found = data_url(url)
    if found is None:
        raise UnsupportedParameter("it must be an https URL or a base64 data URL", param=param)
    return _inline(*found)


def _address(url: str) -> RawObject:
    data: RawObject = {"fileUri": url}
    ending = urlsplit(url).path.rpartition(".")[2].lower()
    if ending in _MEDIA_TYPES:
        data["mimeType"] = _MEDIA_TYPES[ending]
    return {"fileData": data}


def _inline(media_type: str, data: str) -> RawObject:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _audio(given: Any, param: str) -> RawObject:
    data = given.get("data") if isinstance(given, Mapping) else None
    form = given.get("format") if isinstance(given, Mapping) else None
    if not isinstance(data, str) or not isinstance(form, str) or not form.isalnum():
        raise UnsupportedParameter("input_audio needs data and format", param=param)
    return _inline(f"audio/{form.lower()}", data)


def _file(given: Any, param: str) -> RawObject:
    if not isinstance(given, Mapping):
        raise UnsupportedParameter("file must be an object", param=param)
    identity = given.get("file_id")
    if isinstance(identity, str):
        if identity.startswith("files/"):
            return {"fileData": {"fileUri": FILES_URL + identity}}
        raise UnsupportedParameter("google knows files by files/… only", param=param)
    data = given.get("file_data")
    if isinstance(data, str) and data and not data.startswith(("data:", "https://", "http://")):
        # OpenAI also takes the bare base64 of a PDF.
        return _inline("application/pdf", data)
    return _media(data, param)
