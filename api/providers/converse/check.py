"""Asks Amazon about a key: STS who an access key belongs to, Bedrock for its list of models."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Final

from api.providers.converse.dialect import CLOCK_IS_OFF, converse_failure
from api.providers.converse.wire import signed_headers
from api.providers.failures import classify
from api.providers.keys import aws_host
from api.providers.port import Headers, ProviderFailure, ProviderKey, UpstreamRequest
from api.providers.redact import redacted
from api.providers.validation import Check

_FORM: Final = "application/x-www-form-urlencoded"
_WHO_AM_I: Final = b"Action=GetCallerIdentity&Version=2011-06-15"
_BAD_KEY: Final = frozenset(
    {
        *("InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"),
        *("UnrecognizedClientException", "InvalidAccessKeyId", "ExpiredTokenException"),
    }
)
_CODE: Final = re.compile(rb'(?:<Code>|"Code"\s*:\s*")([A-Za-z]{1,64})[<"]')
_MESSAGE: Final = re.compile(rb'(?:<Message>|"Message"\s*:\s*")([^<"]{1,1000})[<"]')


def check_aws_key(key: ProviderKey, base_url: str, model: str | None, at: datetime) -> Check:
    """Free of charge either way. A key without the right to ask is known all the same, which
    is no proof that it may call a model: that stays indeterminate."""
    base = base_url.rstrip("/")
    if "apiKey" in key:
        base = base or f"https://{aws_host('bedrock', key['region'])}"
        headers = {"authorization": f"Bearer {key['apiKey']}", "accept": "application/json"}
        url = f"{base}/foundation-models"
        request = UpstreamRequest(url=url, headers=headers, body=b"", method="GET")
        return Check(request=request, failure=converse_failure)
    url = (base or f"https://{aws_host('sts', key['region'])}") + "/"
    headers = signed_headers(
        key, method="POST", url=url, body=_WHO_AM_I, service="sts", at=at, content_type=_FORM
    )
    headers["accept"] = "application/json"
    request = UpstreamRequest(url=url, headers=headers, body=_WHO_AM_I)
    return Check(request=request, failure=sts_failure)


def sts_failure(status: int, headers: Headers, body: bytes) -> ProviderFailure:
    """STS answers in XML, or in JSON of the same shape."""
    found = classify(status, headers, b"")
    code, message = _CODE.search(body), _MESSAGE.search(body)
    if message:
        found = replace(found, message=redacted(message.group(1).decode("utf-8", "replace")))
    if code and code.group(1).decode() in _BAD_KEY and not CLOCK_IS_OFF.search(found.message):
        return replace(found, kind="credential_invalid")
    return found
