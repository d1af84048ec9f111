"""Chat completions in the words of OpenAPI: the endpoint itself is raw and describes nothing."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_BYOK: Final = {
    "type": "object",
    "description": "What keytoll adds to OpenAI's body. Wins over headers; never sent upstream.",
    "properties": {
        "enabled": {"type": "boolean", "description": "false is refused: there are no other keys."},
        "provider": {**_TEXT, "description": "Force this provider."},
        "credential": {**_TEXT, "description": "Force this credential (cred_…)."},
        "disableFallbacks": {"type": "boolean", "default": True},
        "tags": {"type": "object", "maxProperties": 8, "additionalProperties": _TEXT},
        "receipt": {"type": "boolean", "description": "false leaves x_keytoll out."},
    },
}
_HEADERS: Final = {
    "x-byok-provider": "Force this provider; no other is tried.",
    "x-byok-credential": "Force this credential.",
    "x-use-byok": "Accepted; false answers byok_required.",
    "x-keytoll-tags": "Tags for reports: team=a,env=prod.",
    "x-keytoll-receipt": "off leaves x_keytoll out of the answer.",
    "Idempotency-Key": "The same key within 24 h never reaches a provider twice.",
}

OPERATION: Final[dict[str, Any]] = {
    "tags": ["chat completions"],
    "summary": "A chat completion, with one of the account's own provider keys",
    "operationId": "create_chat_completion",
    "security": [{"Bearer": []}, {"x-api-key": []}],
    "parameters": [
        {"name": name, "in": "header", "required": False, "schema": _TEXT, "description": meaning}
        for name, meaning in _HEADERS.items()
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "messages"],
                    "properties": {
                        "model": _TEXT,
                        "messages": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "object", "required": ["role"]},
                        },
                        "stream": {"type": "boolean"},
                        "n": {"type": "integer", "minimum": 1, "maximum": 128},
                        "byok": _BYOK,
                    },
                    "additionalProperties": True,
                    "description": "OpenAI's chat completions body.",
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "OpenAI's answer, with the receipt in x_keytoll.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/event-stream": {"schema": _TEXT},
            },
        },
        "default": {
            "description": "OpenAI's error envelope.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
    },
}
