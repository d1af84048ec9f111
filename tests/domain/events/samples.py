"""One event of every type, each field filled: what the golden lines and the codec's tests use.

A new event class needs a line here and a golden file (`make golden`).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from domain.events.base import Event
from domain.events.registry import EVENTS

REQUEST: Final = UUID("7a1c1d5e-0000-4000-8000-00000000000a")
ACCOUNT_ID: Final = "acc_5b0c35a0f1d54b6e8a4f2f4e1c9d7a11"
CREDENTIAL_ID: Final = "cred_0f6d3a8a7f5e4c1d9b2e6a4c8d0e1f22"
API_KEY_ID: Final = "key_9e8d7c6b5a4f43219876543210fedcba"
INVOICE_ID: Final = "inv_" + "6" * 32
BOOK: Final = "sha256:" + "ab" * 32
INSTANT: Final = "2026-11-01T00:00:00.000000Z"

_USAGE: Final[dict[str, Any]] = {
    "usage": {"input_tokens": 1200, "cached_input_tokens": 200, "output_tokens": 340},
    "provenance": {"input_tokens": "reported", "output_tokens": "derived"},
    "usage_raw": ['{"prompt_tokens": 1200, "cost": 0.0012, "note": "größer 🙂"}'],
    "model": "gpt-4o-2024-08-06",
    "context": {"service_tier": "default", "batch": False},
    "parts": [{"model": "a", "usage": {"input_tokens": 1}}],
    "provider_cost": {"amount": "0.0012", "meaning": "total"},
    "finish_reason": "stop",
    "upstream_id": "chatcmpl-424",
    "upstream_status": 200,
    "delivered": "all",
    "first_byte_ms": 120,
    "total_ms": 900,
    "tries": 1,
    "anomalies": [],
}

_DATA: Final[dict[str, dict[str, Any]]] = {
    "request.routed": {
        "account_id": ACCOUNT_ID,
        "api_key_id": API_KEY_ID,
        "credential_id": CREDENTIAL_ID,
        "provider": "openai",
        "api": "openai.chat",
        "requested_model": "openai/gpt-4o",
        "upstream_model": "gpt-4o",
        "stream": True,
        "prompt_bytes": 1024,
        "price_book": BOOK,
        "price_at": INSTANT,
        "markup_rate": "0.05",
        "account_version": 3,
        "reference_setting": "same-provider-first",
        "tags": {"team": "a", "env": "prod"},
        "attempt_of": None,
        "idempotency": None,
        "owner": "ep_1",
        "sandbox": False,
    },
    "request.usage-reported": _USAGE,
    "request.usage-estimated": {
        **_USAGE,
        "reason": "cut_off",
        "method": {"encoding": "o200k_base", "factor": "0.97", "counted": ["output"]},
    },
    "request.failed": {
        "failure": "rate_limited",
        "upstream_status": 429,
        "message_hash": "cd" * 32,
        "tries": 2,
        "total_ms": 31,
    },
    "request.usage-corrected": {**_USAGE, "replaces": 2, "reason": "late_report"},
    "request.usage-rerated": {"price_book": BOOK, "reason": "price_added"},
    "store.opened": {
        "epoch": "ep_1",
        "program": "keytoll 0.1.0",
        "continues": {"store_id": "st_0", "size": 7, "root": "ef" * 32},
    },
    "store.log-sealed": {"size": 41, "root": "ef" * 32},
    "account.opened": {"currency": "USD"},
    "account.suspended": {},
    "account.resumed": {},
    "account.api-key-issued": {
        "key_id": API_KEY_ID,
        "role": "caller",
        "secret_sha256": "01" * 32,
        "requests_per_minute": 60,
        "models": ["gpt-4o"],
        "receipt": True,
        "expires_at": INSTANT,
    },
    "account.api-key-revoked": {"key_id": API_KEY_ID},
    "account.markup-agreed": {"rate": "0.04", "effective_from": INSTANT},
    "account.tax-set": {"rate": "0.19", "note": "USt. 19 % für Berlin"},
    "account.routing-preferred": {
        "providers": ["openai", "azure"],
        "fallbacks": True,
        "on_disconnect": "drain",
    },
    "account.remainder-carried": {
        "invoice_id": INVOICE_ID,
        "sandbox": False,
        "amount": "-0.0042",
    },
    "credential.key-added": {
        "account_id": ACCOUNT_ID,
        "provider": "openai",
        "key_suffix": "x9Qk",
        "fingerprint": "23" * 32,
        "secret_version": 1,
        "position": 0,
    },
    "credential.key-checked": {"outcome": "rejected", "reason": "invalid_key"},
    "credential.key-restricted": {"models": ["gpt-4o"]},
    "credential.key-reordered": {"position": 2},
    "credential.key-disabled": {},
    "credential.key-enabled": {},
    "credential.key-rotated": {
        "key_suffix": "a1B2",
        "fingerprint": "45" * 32,
        "secret_version": 2,
    },
    "credential.key-removed": {},
    "price-book.published": {
        "hash": BOOK,
        "rows": 120,
        "shipped": 119,
        "entries": [
            {
                "n": 120,
                "row": {
                    "id": "openai/new~120",
                    "canonical": "new",
                    "provider": "openai",
                    "model": "new",
                    "prices": {"input": "2", "output": "8.5"},
                    "recorded_at": INSTANT,
                    "source": ["a letter of 2 March"],
                },
            }
        ],
    },
    "invoice.issued": {
        "invoice_id": INVOICE_ID,
        "number": "2026-000002",
        "account_id": ACCOUNT_ID,
        "sandbox": False,
        "start": INSTANT,
        "end": "2026-12-01T00:00:00.000000Z",
        "currency": "USD",
        "lines": [{"kind": "usage", "provider": "openai", "requests": 2, "amount": "0.01"}],
        "fee_usd_exact": "0.0096",
        "carried_in": "0",
        "carried_out": "-0.0004",
        "subtotal": "0.01",
        "tax": "0",
        "total": "0.01",
        "cutoff": {"st_1": 42},
        "price_books": [BOOK],
        "merkle": {"st_1": {"size": 41, "root": "ef" * 32}},
        "tax_rate": "0",
        "tax_note": "",
    },
    "invoice.credit-note-issued": {
        "number": "2026-000002",
        "invoice_id": INVOICE_ID,
        "account_id": ACCOUNT_ID,
        "sandbox": False,
        "currency": "USD",
        "reason": "one call of line 2 was a test of ours",
        "lines": [
            {
                "line": 2,
                "kind": "usage",
                "provider": "openai",
                "model": "gpt-5-mini",
                "billed": "0.4",
                "amount": "0.1",
            }
        ],
        "subtotal": "0.1",
        "tax": "0.02",
        "total": "0.12",
        "tax_rate": "0.19",
    },
    "invoice.paid": {"reference": "transfer 17"},
    "invoice.voided": {"reason": "wrong account"},
}

_FIRST: Final = frozenset(
    {"request.routed", "account.opened", "credential.key-added", "price-book.published"}
)
_AFTER_THE_END: Final = frozenset({"request.usage-corrected", "request.usage-rerated"})


def sample(topic: str) -> Event:
    """The sample event of a topic. Raises KeyError, naming it, when there is none."""
    data = deepcopy(_DATA[topic])
    event_class = EVENTS[topic]
    names = {field.name for field in fields(event_class)}  # type: ignore[arg-type]
    if "timestamp" in names:
        data["timestamp"] = datetime(2026, 11, 1, tzinfo=UTC)
    if "originator_topic" in names:
        data["originator_topic"] = topic.partition(".")[0]
    version = 1 if topic in _FIRST else 3 if topic in _AFTER_THE_END else 2
    return event_class(  # type: ignore[call-arg]
        originator_id=REQUEST, originator_version=version, **data
    )
