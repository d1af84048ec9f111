"""A caller's request, read once and strictly: OpenAI's body plus what keytoll adds to it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from api.errors import ApiError
from domain.events.base import JsonObject
from domain.tags import checked_tags

MODEL_LENGTH_MAX: Final = 256
CHOICES_MAX: Final = 128
BYOK_MEMBERS: Final = frozenset(
    {"enabled", "provider", "credential", "disableFallbacks", "tags", "receipt"}
)
_LEVELS_SURE: Final = 250
"""So many levels can always be written again."""
_ZEROED: Final = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER: Final = b"0" * len(str(2**63))
"""A body without so long a run of digits, all taken for noughts, holds no number beyond 64 bits."""
_PARAMETER: Final = re.compile(r"[a-z_]{1,40}")
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_TRUE: Final = frozenset({"true", "1", "on", "yes"})
_FALSE: Final = frozenset({"false", "0", "off", "no"})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the caller wants, in our words; `body` is OpenAI's, without `byok`."""

    body: JsonObject
    model: str
    stream: bool
    wants_usage: bool
    choices: int
    prompt_bytes: int
    provider: str | None
    """Slug that the caller forces, or None."""
    credential_id: str | None
    fallbacks: bool
    """The caller allows another credential to be tried (`byok.disableFallbacks: false`)."""
    tags: dict[str, str]
    receipt: bool | None
    """False: the caller wants no `x_keytoll`; None: as the API key says."""
    idempotency_key: str | None


def parse_request(raw: bytes, headers: Mapping[str, str]) -> ChatRequest:
    """Read body and headers; the body wins. Raises ApiError 400, naming the parameter."""
    body = _object(raw)
    byok = body.pop("byok", None)
    if byok is None:
        byok = {}
    if not isinstance(byok, dict):
        raise _invalid("byok", "must be an object")
    if not byok.keys() <= BYOK_MEMBERS:
        # A mistyped `provider` would let another provider bill the call.
        raise _invalid("byok", f"may hold {', '.join(sorted(BYOK_MEMBERS))} only")
    _check_enabled(byok, headers)
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _invalid("stream_options", "must be an object")
    stream = _flag(body, "stream")
    return ChatRequest(
        body=body,
        model=_model(body),
        stream=stream,
        wants_usage=stream and _flag(options or {}, "include_usage", "stream_options."),
        choices=_choices(body),
        prompt_bytes=len(raw),
        provider=_word(byok, headers, "provider"),
        credential_id=_word(byok, headers, "credential"),
        fallbacks=not _flag(byok, "disableFallbacks", "byok.", default=True),
        tags=_tags(byok, headers),
        receipt=_receipt(byok, headers),
        idempotency_key=_idempotency_key(headers),
    )


def _object(raw: bytes) -> JsonObject:
    try:
        body = orjson.loads(raw)
        if raw.count(b"{") + raw.count(b"[") > _LEVELS_SURE:
            # What cannot be written again cannot be sent on (orjson writes at most 254 levels).
            orjson.dumps(body)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise ApiError(400, "invalid_json", f"The body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(400, "invalid_json", "The body must be a JSON object.")
    if _LONG_NUMBER in raw.translate(_ZEROED):
        _check_numbers(json.loads(raw, parse_int=_shortened))
    messages = body.get("messages")
    if messages is None:
        raise _missing("messages")
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "must be a non-empty array")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _invalid(f"messages[{index}]", "must be an object")
        if not isinstance(message.get("role"), str):
            raise _invalid(f"messages[{index}].role", "must be a string")
    return body


def _check_numbers(body: JsonObject) -> None:
    """A whole number beyond 64 bits would silently lose digits on its way to the provider."""
    for name, value in body.items():
        if _beyond_64_bits(value):
            # Names that are no parameter's are not repeated: they may be anything.
            param = name if _PARAMETER.fullmatch(name) else "body"
            raise _invalid(param, "holds a whole number beyond 64 bits, which cannot be passed on")


def _beyond_64_bits(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_beyond_64_bits, value.values()))
    if isinstance(value, list):
        return any(map(_beyond_64_bits, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _shortened(digits: str) -> int:
    """Python refuses to read very long numbers; the beginning of one is long enough."""
    return int(digits[:22])


def _model(body: JsonObject) -> str:
    model = body.get("model")
    if model is None:
        raise _missing("model")
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_LENGTH_MAX:
        raise _invalid("model", f"must be a string of 1 to {MODEL_LENGTH_MAX} characters")
    if not model.isprintable() or model.strip() != model:
        raise _invalid("model", "must not contain white space around it or control characters")
    return model


def _choices(body: JsonObject) -> int:
    choices = body.get("n")
    if choices is None:
        return 1
    if type(choices) is not int or not 1 <= choices <= CHOICES_MAX:
        raise _invalid("n", f"must be a whole number from 1 to {CHOICES_MAX}")
    return choices


def _flag(values: Mapping[str, Any], name: str, where: str = "", *, default: bool = False) -> bool:
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _invalid(where + name, "must be true or false")
    return value


def _word(byok: JsonObject, headers: Mapping[str, str], name: str) -> str | None:
    value = byok.get(name)
    if value is None:
        value = headers.get(f"x-byok-{name}")
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= 64:
        raise _invalid(f"byok.{name}", "must be a short string")
    return value.strip()


def _check_enabled(byok: JsonObject, headers: Mapping[str, str]) -> None:
    enabled = byok.get("enabled")
    if enabled is None:
        header = headers.get("x-use-byok", "true").strip().lower()
        if header not in _TRUE | _FALSE:
            raise _invalid("x-use-byok", "must be true or false")
        enabled = header in _TRUE
    if not isinstance(enabled, bool):
        raise _invalid("byok.enabled", "must be true or false")
    if not enabled:
        raise ApiError(
            400,
            "byok_required",
            "keytoll serves calls with your own provider keys only; there are no others to use.",
            param="byok.enabled",
        )


def _tags(byok: JsonObject, headers: Mapping[str, str]) -> dict[str, str]:
    tags = byok.get("tags")
    if tags is None:
        tags = _header_tags(headers.get("x-keytoll-tags", ""))
    if not isinstance(tags, dict):
        raise _invalid("byok.tags", "must be an object of strings")
    if not all(isinstance(value, str) for value in tags.values()):
        raise _invalid("byok.tags", "must be an object of strings")
    return checked_tags(tags, param="byok.tags")


def _header_tags(text: str) -> dict[str, str]:
    tags = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = pair.partition("=")
        if not separator:
            raise _invalid("x-keytoll-tags", "must look like team=a,env=prod")
        tags[key.strip()] = value.strip()
    return tags


def _receipt(byok: JsonObject, headers: Mapping[str, str]) -> bool | None:
    if byok.get("receipt") is not None:
        return _flag(byok, "receipt", "byok.")
    header = headers.get("x-keytoll-receipt")
    if header is None:
        return None
    word = header.strip().lower()
    if word not in _TRUE | _FALSE:
        raise _invalid("x-keytoll-receipt", "must be on or off")
    return word in _TRUE


def _idempotency_key(headers: Mapping[str, str]) -> str | None:
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise _invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
    return key


def _missing(param: str) -> ApiError:
    return ApiError(
        400, "missing_required_parameter", f"Missing required parameter: '{param}'.", param=param
    )


def _invalid(param: str, rule: str) -> ApiError:
    return ApiError(400, "invalid_parameter_value", f"'{param}' {rule}.", param=param)
