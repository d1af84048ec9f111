"""Google's Gemini, in its own words, behind OpenAI's chat completions."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import quote

import orjson

from api.providers.answer_forms import Whole
from api.providers.asked import body_bytes
from api.providers.failures import classify
from api.providers.gemini.answer import RULES
from api.providers.gemini.reply import BodyReader, StreamReader
from api.providers.gemini.request import request_body
from api.providers.port import (
    ChatCall,
    Headers,
    ProviderFailure,
    ProviderKey,
    Reader,
    UpstreamRequest,
)
from api.providers.validation import Check

NAME: Final = "google.generate_content"
VERSION: Final = "/v1beta/"


class Gemini:
    """The dialect `google.generate_content`."""

    name = NAME

    def request(self, call: ChatCall, key: ProviderKey, base_url: str) -> UpstreamRequest:
        """The translated body. Raises UnsupportedParameter."""
        body = request_body(call)
        sent = body_bytes(body)
        method = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        return UpstreamRequest(
            url=_url(base_url, call.model, method),
            headers={
                **gemini_auth(key),
                "content-type": "application/json",
                "accept": "text/event-stream" if call.stream else "application/json",
            },
            body=sent,
            # What was asked for counts only where the answer does not tell what served.
            context={"service_tier": body["serviceTier"]} if "serviceTier" in body else {},
        )

    def reader(self, call: ChatCall, headers: Headers) -> Reader:
        """A reader of one answer; a stream may be events or an array, as its first byte says."""
        if call.stream:
            return StreamReader(call, headers)
        return Whole(
            call,
            whole=lambda asked: BodyReader(asked, headers),
            stream=lambda asked: StreamReader(asked, headers),
        )

    def failure(self, status: int, headers: Headers, body: bytes) -> ProviderFailure:
        """What an answer with an error status means."""
        return classify(status, headers, body, RULES)


def gemini_auth(key: ProviderKey) -> dict[str, str]:
    """The one header that carries the key: Google refuses two credentials at once."""
    return {"x-goog-api-key": key["apiKey"]}


def check(key: ProviderKey, base_url: str, model: str | None, _at: datetime) -> Check:
    """Counting tokens is free and needs the right to use the model; else the list of models."""
    headers = {**gemini_auth(key), "accept": "application/json"}
    if model is None:
        url = base_url.rstrip("/") + VERSION + "models?pageSize=1"
        return Check(request=UpstreamRequest(url=url, headers=headers, body=b"", method="GET"))
    body = orjson.dumps({"contents": [{"role": "user", "parts": [{"text": "."}]}]})
    headers["content-type"] = "application/json"
    url = _url(base_url, model, "countTokens")
    return Check(request=UpstreamRequest(url=url, headers=headers, body=body))


def _url(base_url: str, model: str, method: str) -> str:
    """Ids come with and without `models/`; tuned ones have a collection of their own."""
    collection = "tunedModels" if model.startswith("tunedModels/") else "models"
    name = quote(model.removeprefix(collection + "/"), safe="")
    return f"{base_url.rstrip('/')}{VERSION}{collection}/{name}:{method}"
