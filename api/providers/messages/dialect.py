"""Anthropic's Messages behind OpenAI's chat completions."""

from __future__ import annotations

from typing import Final

from api.providers.answer_forms import reader_of
from api.providers.asked import body_bytes
from api.providers.failures import classify
from api.providers.messages.reply import BodyReader
from api.providers.messages.request import request_body, stands_in_for_json
from api.providers.messages.stream import StreamReader
from api.providers.port import (
    ChatCall,
    Headers,
    ProviderFailure,
    ProviderKey,
    RawObject,
    Reader,
    UpstreamRequest,
)

NAME: Final = "anthropic.messages"
VERSION: Final = "2023-06-01"
_FILES_BETA: Final = "files-api-2025-04-14"


class Messages:
    """The dialect `anthropic.messages`."""

    name = NAME

    def request(self, call: ChatCall, key: ProviderKey, base_url: str) -> UpstreamRequest:
        """The translated body. Raises UnsupportedParameter."""
        body = request_body(call)
        headers = {
            **messages_auth(key),
            "content-type": "application/json",
            "accept": "text/event-stream" if call.stream else "application/json",
        }
        if _uses_files(body):
            headers["anthropic-beta"] = _FILES_BETA
        sent = body_bytes(body)
        return UpstreamRequest(
            url=base_url.rstrip("/") + "/v1/messages", headers=headers, body=sent
        )

    def reader(self, call: ChatCall, headers: Headers) -> Reader:
        """A reader of one answer, in whatever form it comes."""
        unwrap = stands_in_for_json(call)
        return reader_of(
            call,
            whole=lambda asked: BodyReader(asked, headers, unwrap_json=unwrap),
            stream=lambda asked: StreamReader(asked, headers, unwrap_json=unwrap),
        )

    def failure(self, status: int, headers: Headers, body: bytes) -> ProviderFailure:
        """What an answer with an error status means."""
        return classify(status, headers, body)


def messages_auth(key: ProviderKey) -> dict[str, str]:
    """The headers that every request to Anthropic carries."""
    return {"x-api-key": key["apiKey"], "anthropic-version": VERSION}


def _uses_files(body: RawObject) -> bool:
    return any(
        block["type"] == "document" and block["source"]["type"] == "file"
        for turn in body["messages"]
        for block in turn["content"]
    )
