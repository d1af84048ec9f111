"""Exchanges recorded from the real services, kept beside the checkout: usage to the token.

`KEYTOLL_CORPUS` names the file; without it `../shared/corpus/exchanges.jsonl.gz` is tried.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.providers.catalogue import PROVIDERS
from api.providers.port import ChatCall, Chunk, Dialect
from tests.instants import AT

BESIDE = Path(__file__).parents[4] / "shared" / "corpus" / "exchanges.jsonl.gz"
CORPUS = Path(os.environ.get("KEYTOLL_CORPUS") or BESIDE)
FLAVOURS = {("openai", "openai-chat"), ("anthropic", "anthropic-messages")}
UNITS = (
    *("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens"),
)
WRITES = ("cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not CORPUS.exists(), reason="no recorded exchanges beside the checkout"),
]


def exchanges(slug: str) -> Iterator[dict[str, Any]]:
    with gzip.open(CORPUS, "rt") as lines:
        for line in lines:
            exchange = json.loads(line)
            if (exchange["provider"], exchange["api"]) in FLAVOURS and exchange["provider"] == slug:
                yield exchange


def body_of(exchange: dict[str, Any]) -> bytes:
    body: str = exchange["response_body"]
    return body.encode() if exchange["response_body_encoding"] == "text" else base64.b64decode(body)


def dialect_of(slug: str) -> Dialect:
    dialect = PROVIDERS[slug].dialect
    assert dialect is not None
    return dialect


@pytest.mark.parametrize("slug", ["openai", "anthropic"])
def test_usage_is_what_was_expected(slug: str) -> None:
    chance = random.Random(7)
    seen = 0
    for exchange in exchanges(slug):
        if exchange["status"] != 200:
            continue
        asked = exchange["request_body"]
        call = ChatCall(
            body={},
            model=exchange["model"] or "?",
            stream=bool(exchange["stream"]),
            wants_usage=True,
            choices=(asked.get("n") if isinstance(asked, dict) else None) or 1,
            at=AT,
        )
        body = body_of(exchange)
        told = []
        for sizes in ((len(body),), (1, 2, 3, 9, 70), (500, 4000)):
            reader = dialect_of(slug).reader(call, exchange["response_headers"])
            chunks: list[Chunk] = []
            at = 0
            while at < len(body):
                size = chance.choice(sizes)
                chunks.extend(reader.feed(body[at : at + size]))
                at += size
            outcome = reader.finish()
            told.append(([*chunks, *outcome.tail], outcome, reader.received_text()))
        assert told[0] == told[1] == told[2], exchange["id"]
        _, outcome, _ = told[0]
        assert outcome.failure is None, exchange["id"]
        assert outcome.ended, exchange["id"]
        seen += 1
        expected = exchange["expected"]
        if expected is None:
            assert outcome.usage == {}, exchange["id"]
            continue
        assert outcome.complete_usage, exchange["id"]
        assert outcome.model == expected["model"], exchange["id"]
        for unit in UNITS:
            assert outcome.usage.get(unit) == expected[unit], (exchange["id"], unit)
        # `cache_write_tokens` of the records is the total; our unit is the rest of unknown kind.
        written = [outcome.usage[unit] for unit in WRITES if unit in outcome.usage]
        assert (sum(written) if written else None) == expected["cache_write_tokens"], exchange["id"]
    assert seen >= 80


@pytest.mark.parametrize("slug", ["openai", "anthropic"])
def test_refusals_are_understood(slug: str) -> None:
    kinds = {400: "bad_request", 401: "credential_invalid", 404: "not_found"}
    seen = 0
    for exchange in exchanges(slug):
        if exchange["status"] == 200:
            continue
        failure = dialect_of(slug).failure(
            exchange["status"], exchange["response_headers"], body_of(exchange)
        )
        assert failure.kind == kinds[exchange["status"]], exchange["id"]
        assert not failure.message.startswith("The provider answered"), exchange["id"]
        seen += 1
    assert seen >= 9
