"""Amazon Bedrock's Converse behind OpenAI's chat completions."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from api.providers.answer_forms import reader_of
from api.providers.asked import body_bytes
from api.providers.converse.models import model_named, region_named
from api.providers.converse.reply import BodyReader
from api.providers.converse.request import request_body, stands_in_for_json
from api.providers.converse.stream import StreamReader
from api.providers.converse.usage import price_context
from api.providers.converse.wire import signed_headers
from api.providers.failures import FailureRules, classify
from api.providers.keys import aws_host
from api.providers.port import (
    ChatCall,
    Headers,
    ProviderFailure,
    ProviderKey,
    Reader,
    UnsupportedParameter,
    UpstreamRequest,
)
from domain.events.base import JsonObject

NAME: Final = "bedrock.converse"

_JSON: Final = "application/json"
_FRAMES: Final = "application/vnd.amazon.eventstream"
_SIGNING_NAME: Final = "bedrock"
"""Of the runtime too, whose hosts are called bedrock-runtime."""
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,2047}")
_BAD_KEY: Final = re.compile(
    r"api key is valid|invalid api key|signature we calculated does not match"
    r"|security token included in the request is (?:invalid|expired)|token has expired",
    re.I,
)
"""What Bedrock says of a key that it does not take, also where it names no error type."""
CLOCK_IS_OFF: Final = re.compile(r"signature (?:expired|not yet current)", re.I)
"""Said of a good key when this machine's clock, or the way to Amazon, is some minutes late."""
_TOO_LONG: Final = re.compile(r"input tokens exceeds maximum length|input tokens exceeded", re.I)
_NO_MODEL: Final = re.compile(r"provided model identifier is invalid", re.I)


class Converse:
    """The dialect `bedrock.converse`."""

    name = NAME

    def request(self, call: ChatCall, key: ProviderKey, base_url: str) -> UpstreamRequest:
        """The translated body, signed. Raises UnsupportedParameter."""
        _check_model(call.model, key["region"])
        asked = request_body(call)
        body = body_bytes(asked)
        base = base_url.rstrip("/") or f"https://{aws_host('bedrock-runtime', key['region'])}"
        verb = "converse-stream" if call.stream else "converse"
        url = f"{base}/model/{quote(call.model, safe='')}/{verb}"
        headers = {"content-type": _JSON}
        if "apiKey" in key:
            headers["authorization"] = f"Bearer {key['apiKey']}"
        else:
            headers = signed_headers(
                key,
                method="POST",
                url=url,
                body=body,
                service=_SIGNING_NAME,
                at=call.at,
                content_type=_JSON,
            )
        headers["accept"] = _FRAMES if call.stream else _JSON
        context = {**_place(call.model, key), **price_context(asked)}
        return UpstreamRequest(url=url, headers=headers, body=body, context=context)

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
        return converse_failure(status, headers, body)


def converse_failure(status: int, headers: Headers, body: bytes) -> ProviderFailure:
    """The common reading, and what only Bedrock's own words tell."""
    kind = headers.get("x-amzn-errortype", "").split(":")[0]
    quota = kind == "ServiceQuotaExceededException"
    rules = FailureRules(statuses={400: "rate_limited"}) if quota else None
    found = classify(status, headers, body, rules)
    if found.kind == "credential_invalid" and CLOCK_IS_OFF.search(found.message):
        return replace(found, kind="forbidden_not_auth")
    if found.kind == "forbidden_not_auth" and _BAD_KEY.search(found.message):
        return replace(found, kind="credential_invalid", code=None)
    if found.kind == "bad_request" and found.code is None and _TOO_LONG.search(found.message):
        return replace(found, code="context_length_exceeded")
    if found.kind == "not_found" or _NO_MODEL.search(found.message):
        # A path of Converse's holds nothing else that could be missing.
        return replace(found, code="model_not_found")
    return found


def _check_model(model: str, region: str) -> None:
    if not _MODEL.fullmatch(model):
        raise UnsupportedParameter("this is not a model id of Bedrock", param="model")
    named = region_named(model)
    if named is not None and named != region:
        raise UnsupportedParameter(
            f"the model is in {named}, the credential is for {region}", param="model"
        )


def _place(model: str, key: ProviderKey) -> JsonObject:
    """Where the call is served, and which model an ARN stands for, if anybody said so."""
    context: JsonObject = {"region": key["region"]}
    named = json.loads(key.get("models") or "{}").get(model) or model_named(model)
    if named is not None:
        context["deployment_model"] = named
    return context
