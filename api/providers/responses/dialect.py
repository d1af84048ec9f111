"""OpenAI's Responses behind OpenAI's chat completions."""

from __future__ import annotations

from typing import Final

from api.providers.addressing import Addressing, bearer_at
from api.providers.answer_forms import reader_of
from api.providers.asked import body_bytes
from api.providers.failures import classify
from api.providers.port import (
    ChatCall,
    Headers,
    ProviderFailure,
    ProviderKey,
    Reader,
    UpstreamRequest,
)
from api.providers.responses.reply import BodyReader
from api.providers.responses.request import request_body
from api.providers.responses.stream import StreamReader

NAME: Final = "openai.responses"


class Responses:
    """The dialect `openai.responses`."""

    name = NAME

    def __init__(self, address: Addressing | None = None) -> None:
        self._address = address or bearer_at("/responses")

    def request(self, call: ChatCall, key: ProviderKey, base_url: str) -> UpstreamRequest:
        """The translated body. Raises UnsupportedParameter."""
        address = self._address(key, base_url, call.model)
        sent = body_bytes({**request_body(call), "model": address.model})
        return UpstreamRequest(
            url=address.url,
            headers={
                **address.headers,
                "content-type": "application/json",
                "accept": "text/event-stream" if call.stream else "application/json",
            },
            body=sent,
            context=address.context,
        )

    def reader(self, call: ChatCall, headers: Headers) -> Reader:
        """A reader of one answer, in whatever form it comes."""
        return reader_of(
            call,
            whole=lambda asked: BodyReader(asked, headers),
            stream=lambda asked: StreamReader(asked, headers),
        )

    def failure(self, status: int, headers: Headers, body: bytes) -> ProviderFailure:
        """What an answer with an error status means."""
        return classify(status, headers, body)
