"""A log that is made up while it is read: as many calls as one asks for, and nothing is kept.

Every call is two lines, routed then reported; models, counts and tags go round a small table, and
the prices are those of the shipped book. The same seq always gives the same line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from time import thread_time
from typing import Any, Final
from uuid import UUID

from domain.clock import instant_text
from domain.eventlog.port import Chain, Recorded
from domain.events.base import Event
from domain.events.codec import encode, line_hash
from domain.events.requests import RequestRouted, UsageReported
from domain.ids import derived_id, public_id

STORE: Final = "generated"
START: Final = datetime(2026, 11, 1, tzinfo=UTC)
MODELS: Final = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-4.1"),
    ("openai", "gpt-4.1-mini"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("groq", "llama-3.3-70b-versatile"),
    ("google", "gemini-2.5-flash"),
    ("azure", "gpt-4o"),
    ("openai", "gpt-5"),
    ("openrouter", "deepseek/deepseek-chat:free"),
)
"""One in twelve is free, and charged by its paid version."""
_TAGS: Final[tuple[dict[str, str], ...]] = ({}, {"team": "red", "env": "prod"}, {"team": "blue"})
_RAW: Final = (
    '{{"prompt_tokens":{0},"completion_tokens":{1},"prompt_tokens_details":{{"cached_tokens":{2},'
    '"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{3},"audio_tokens":0,'
    '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}'
)


class GeneratedLog:
    """`events` lines of calls, spread over accounts in turn."""

    def __init__(
        self, *, events: int, accounts: int, book: str, every: timedelta = timedelta(milliseconds=1)
    ) -> None:
        self._events = events
        self._accounts = [public_id("acc", derived_id("acc", str(n))) for n in range(accounts)]
        self._book = book
        self._every = every
        self.made_s = 0.0
        """CPU time that went into making lines up."""

    @property
    def store_id(self) -> str:
        return STORE

    def chains(self) -> Sequence[Chain]:
        return [Chain((self,))]

    def head(self) -> int:
        return self._events

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        first = 2 * originator_id.int - 1
        return [self._line(seq) for seq in (first, first + 1)]

    def read(
        self, *, after: int, limit: int, streams: Collection[str] | None = None
    ) -> Sequence[Recorded]:
        start = thread_time()
        last = min(after + limit, self._events)
        found = [self._line(seq) for seq in range(after + 1, last + 1)]
        self.made_s += thread_time() - start
        return found

    def _line(self, seq: int) -> Recorded:
        call, version = (seq + 1) // 2, 2 - seq % 2
        account = self._accounts[call % len(self._accounts)]
        at = instant_text(START + seq * self._every)
        event = self._reported(call) if version == 2 else self._routed(call, account, at)
        encoded = encode(event, account_id=account)
        line = encoded.line(recorded_at=at, seq=seq, store_id=STORE)
        request = encoded.originator_id
        topic = encoded.topic
        return Recorded(STORE, seq, line_hash(line), line, request, version, topic, account, at)

    def _routed(self, call: int, account: str, at: str) -> Event:
        provider, model = MODELS[call % len(MODELS)]
        fields: dict[str, Any] = {
            "account_id": account,
            "api_key_id": public_id("key", UUID(int=call % 300)),
            "credential_id": public_id("cred", UUID(int=call % 500)),
            "provider": provider,
            "api": "openai.chat",
            "requested_model": f"{provider}/{model}",
            "upstream_model": model,
            "stream": call % 2 == 0,
            "prompt_bytes": call % 9000,
            "price_book": self._book,
            "price_at": at,
            "markup_rate": "0.05",
            "account_version": 1,
            "reference_setting": "same-provider-first",
            "tags": _TAGS[call % len(_TAGS)],
            "attempt_of": None,
            "idempotency": None,
            "owner": "epoch-1",
            "sandbox": False,
        }
        return RequestRouted(originator_id=UUID(int=call), originator_version=1, **fields)

    def _reported(self, call: int) -> Event:
        whole, answer = 100 + call % 7919, 5 + call % 1999
        cached, thought = call % whole, call % answer
        usage = {
            "input_tokens": whole,
            "cached_input_tokens": cached,
            "output_tokens": answer,
            "reasoning_tokens": thought,
        }
        return UsageReported(
            originator_id=UUID(int=call),
            originator_version=2,
            usage=usage,
            provenance=dict.fromkeys(usage, "reported"),
            usage_raw=[_RAW.format(whole, answer, cached, thought)],
            model=MODELS[call % len(MODELS)][1],
            context={"service_tier": "default"},
            finish_reason="stop",
            upstream_id=f"chatcmpl-{call:024}",
            upstream_status=200,
            first_byte_ms=100 + call % 900,
            total_ms=1000 + call % 9000,
        )


def batches(log: GeneratedLog, size: int) -> Iterator[Sequence[Recorded]]:
    """All lines, some at a time."""
    for after in range(0, log.head(), size):
        yield log.read(after=after, limit=size)
