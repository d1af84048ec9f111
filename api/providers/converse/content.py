"""OpenAI's messages as Converse's: system apart, roles merged, parts as blocks of one member."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from api.providers.asked import calls_made, data_url, function_called, messages_of
from api.providers.messages.content import sealed_thoughts
from api.providers.port import RawObject, UnsupportedParameter

_IMAGES: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_CACHE_TTLS: Final = frozenset({"5m", "1h"})
_NAME_CHARS_MAX: Final = 200
_ID_CHARS_MAX: Final = 64
_SHORT_ID_CHARS: Final = 9
_BAD_ID: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_BAD_NAME: Final = re.compile(r"[^a-zA-Z0-9\s()\[\]-]+")
_NO_ID: Final = "call_0"


class Conversation:
    """The messages of one call. Raises UnsupportedParameter for what Converse cannot take."""

    def __init__(self, messages: object, *, short_ids: bool, caches: bool) -> None:
        self.system: list[RawObject] = []
        self.turns: list[RawObject] = []
        self._short_ids = short_ids
        self._caches = caches
        self._names: set[str] = set()
        for param, message in messages_of(messages):
            self._take(message, param)
        self._trim_last()

    @property
    def tools_called(self) -> list[str]:
        """The names of the tools that earlier turns called, in the order of the first calls."""
        names = (
            block["toolUse"]["name"]
            for turn in self.turns
            for block in turn["content"]
            if "toolUse" in block
        )
        return list(dict.fromkeys(names))

    @property
    def open_turn_without_thoughts(self) -> bool:
        """A tool's result is being returned to an assistant turn whose thoughts were not kept."""
        if len(self.turns) < 2 or "toolResult" not in self.turns[-1]["content"][0]:
            return False
        return "reasoningContent" not in self.turns[-2]["content"][0]

    def mark_cached(self, cache_control: Any) -> None:
        """A cache point after everything that was said."""
        if self.turns:
            self._mark(self.turns[-1]["content"], {"cache_control": cache_control})

    def _take(self, message: Mapping[str, Any], param: str) -> None:
        role = message.get("role")
        if role in ("system", "developer") and not self.turns:
            self.system.extend(self._blocks(message, param, texts_only=True))
        elif role in ("system", "developer", "user"):
            # An instruction in the middle keeps its place: it is given as the user's words.
            self._add("user", self._blocks(message, param))
        elif role == "assistant":
            self._add("assistant", self._assistant(message, param))
        elif role == "tool":
            self._add("user", self._tool_result(message, param))
        else:
            raise UnsupportedParameter(f"{param}.role is not supported", param=f"{param}.role")

    def _add(self, role: str, blocks: list[RawObject]) -> None:
        if not blocks:
            return
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": blocks})
            return
        content = self.turns[-1]["content"]
        # The results of one turn stand before everything else in the message.
        at = _after_results(content) if "toolResult" in blocks[0] else len(content)
        content[at:at] = blocks

    def _trim_last(self) -> None:
        """A prefill that ends with white space is refused."""
        if not self.turns or self.turns[-1]["role"] != "assistant":
            return
        content = self.turns[-1]["content"]
        if "text" in content[-1]:
            content[-1]["text"] = content[-1]["text"].rstrip()

    def _blocks(
        self, message: Mapping[str, Any], param: str, *, texts_only: bool = False
    ) -> list[RawObject]:
        """The content of a message; a cache mark on the message follows its last block."""
        content = message.get("content")
        blocks: list[RawObject] = []
        if isinstance(content, str):
            blocks.extend(_text(content))
        elif isinstance(content, list):
            for place, part in enumerate(content):
                blocks.extend(self._part(part, f"{param}.content.{place}", texts_only))
        elif content is not None:
            raise UnsupportedParameter("content must be text or parts", param=f"{param}.content")
        self._mark(blocks, message)
        return blocks

    def _mark(self, blocks: list[RawObject], marked: Mapping[str, Any]) -> None:
        """A cache point after the last block, if there is one; the last of two marks counts."""
        point = cache_point(marked.get("cache_control"), known=self._caches)
        if point and blocks:
            blocks[len(blocks) - ("cachePoint" in blocks[-1]) :] = point

    def _part(self, part: Any, param: str, texts_only: bool) -> list[RawObject]:
        if not isinstance(part, Mapping):
            raise UnsupportedParameter("a content part must be an object", param=param)
        kind = part.get("type")
        if kind in ("text", "refusal"):
            text = part.get(kind)
            blocks = _text(text if isinstance(text, str) else "")
        elif kind == "image_url" and not texts_only:
            blocks = [{"image": _image(part.get("image_url"), param)}]
        elif kind == "file" and not texts_only:
            blocks = [{"document": self._document(part.get("file"), param)}]
        else:
            raise UnsupportedParameter(
                f"Bedrock takes no {str(kind)[:40]} content here", param=param
            )
        self._mark(blocks, part)
        return blocks

    def _document(self, given: Any, param: str) -> RawObject:
        given = given if isinstance(given, Mapping) else {}
        data, filename = given.get("file_data"), given.get("filename")
        filename = filename if isinstance(filename, str) else ""
        found = data_url(data)
        if found is None and isinstance(data, str) and data and not _has_scheme(data):
            # OpenAI also takes the bare base64 of a PDF.
            found = ("application/pdf", data)
        if found is None:
            raise UnsupportedParameter(
                "a file must be given as a data URL: keytoll fetches nothing", param=param
            )
        stem, _, ending = filename.rpartition(".")
        form = _DOCUMENTS.get(found[0]) or (
            ending.lower() if ending.lower() in _DOCUMENTS.values() else None
        )
        if form is None:
            raise UnsupportedParameter("Bedrock reads no files of this type", param=param)
        name = self._free_name(stem if form else filename)
        return {"format": form, "name": name, "source": {"bytes": found[1]}}

    def _free_name(self, wanted: str) -> str:
        """Letters, digits, single spaces and some brackets; no two documents share a name."""
        clean = " ".join(_BAD_NAME.sub(" ", wanted).split())[: _NAME_CHARS_MAX - 5] or "document"
        name, count = clean, 1
        while name in self._names:
            count += 1
            name = f"{clean} ({count})"
        self._names.add(name)
        return name

    def _assistant(self, message: Mapping[str, Any], param: str) -> list[RawObject]:
        """Thoughts that carry a signature, then text, then tool calls."""
        blocks = list(_thoughts(message.get("reasoning_details")))
        blocks.extend(self._blocks({"content": message.get("content")}, param))
        refusal = message.get("refusal")
        blocks.extend(_text(refusal if isinstance(refusal, str) else ""))
        for place, call in enumerate(calls_made(message, param)):
            blocks.append({"toolUse": self._tool_use(call, f"{param}.tool_calls.{place}")})
            self._mark(blocks, call)
        self._mark(blocks, message)
        return blocks

    def _tool_use(self, call: Any, param: str) -> RawObject:
        name, arguments = function_called(call, param, of="Bedrock")
        return {
            "toolUseId": self._tool_id(call.get("id")),
            "name": name,
            "input": arguments,
        }

    def _tool_result(self, message: Mapping[str, Any], param: str) -> list[RawObject]:
        content = self._blocks({"content": message.get("content")}, param)
        result: RawObject = {
            "toolUseId": self._tool_id(message.get("tool_call_id")),
            "content": [block for block in content if "cachePoint" not in block],
        }
        if message.get("is_error") is True:
            result["status"] = "error"
        blocks = [{"toolResult": result}, *(each for each in content if "cachePoint" in each)][:2]
        self._mark(blocks, message)
        return blocks

    def _tool_id(self, value: Any) -> str:
        """The same id for call and result, in the signs and the length that are allowed."""
        given = value if isinstance(value, str) and value else _NO_ID
        if self._short_ids:
            return hashlib.sha256(given.encode()).hexdigest()[:_SHORT_ID_CHARS]
        if len(given) > _ID_CHARS_MAX:
            return hashlib.sha256(given.encode()).hexdigest()
        return _BAD_ID.sub("_", given)


def cache_point(cache_control: Any, *, known: bool) -> list[RawObject]:
    """The mark that stands after what is to be cached; nothing where models do not know it."""
    if not cache_control or not known:
        return []
    point = {"type": "default"}
    ttl = cache_control.get("ttl") if isinstance(cache_control, Mapping) else None
    if isinstance(ttl, str) and ttl in _CACHE_TTLS:
        point["ttl"] = ttl
    return [{"cachePoint": point}]


def _after_results(content: list[RawObject]) -> int:
    at = 0
    for place, block in enumerate(content, 1):
        if "toolResult" in block or (at == place - 1 and "cachePoint" in block):
            at = place
        else:
            break
    return at


def _text(text: str) -> list[RawObject]:
    """Blocks without words are refused."""
    return [{"text": text}] if text.strip() else []


def _image(given: Any, param: str) -> RawObject:
    url = given.get("url") if isinstance(given, Mapping) else given
    found = data_url(url)
    if found is None or found[0] not in _IMAGES:
        raise UnsupportedParameter(
            "an image must be a data URL of a PNG, JPEG, GIF or WebP: Bedrock fetches no URL,"
            " and keytoll never does",
            param=param,
        )
    return {"format": _IMAGES[found[0]], "source": {"bytes": found[1]}}


def _has_scheme(data: str) -> bool:
    return data.startswith(("data:", "http:", "https:"))


def _thoughts(details: Any) -> Iterable[RawObject]:
    """The model's own blocks again."""
    for text, seal in sealed_thoughts(details):
        said = {"text": text, "signature": seal}
        yield {
            "reasoningContent": {"redactedContent": seal}
            if text is None
            else {"reasoningText": said}
        }
