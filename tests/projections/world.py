"""A small world for tests of what follows the log: a memory log, a clock, calls of customers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from domain.account import Account
from domain.clock import FixedClock, instant_text
from domain.eventlog.log import StoredLog
from domain.eventlog.memory import open_memory_log
from domain.eventlog.port import Recorded
from domain.events.base import Event
from domain.events.requests import (
    RequestFailed,
    RequestRouted,
    UsageCorrected,
    UsageEstimated,
    UsageReported,
    UsageRerated,
)
from domain.ids import derived_id, new_id, public_id
from pricing.book import Books, PriceBook, book_of

START: Final = datetime(2026, 11, 1, tzinfo=UTC)

_FIRST_ROWS: Final[list[dict[str, object]]] = [
    {
        "id": "openai/gpt-x#1",
        "provider": "openai",
        "model": "gpt-x",
        "canonical": "gpt-x",
        "recorded_at": "2026-10-01T00:00:00Z",
        "prices": {"input": "2", "cached_input": "0.5", "output": "8"},
    },
    {
        "id": "anthropic/claude-x#1",
        "provider": "anthropic",
        "model": "claude-x",
        "canonical": "claude-x",
        "recorded_at": "2026-10-01T00:00:00Z",
        "prices": {"input": "3.000000001", "output": "15.1"},
    },
    {
        "id": "sandbox/echo#1",
        "provider": "sandbox",
        "model": "echo",
        "canonical": "echo",
        "recorded_at": "2026-10-01T00:00:00Z",
        "prices": {"input": "1", "output": "3"},
    },
]
_LATER_ROW: Final[dict[str, object]] = {
    "id": "openai/new-x#1",
    "provider": "openai",
    "model": "new-x",
    "canonical": "new-x",
    "recorded_at": "2026-11-20T00:00:00Z",
    "prices": {"input": "10", "output": "20"},
}


def account_id(name: str) -> str:
    """The account of that name in every test."""
    return public_id("acc", derived_id("account", name))


@dataclass
class World:
    """Calls are made at `clock`; each method appends and returns what was recorded."""

    clock: FixedClock = field(default_factory=lambda: FixedClock(START))
    full_book: PriceBook = field(default_factory=lambda: book_of([*_FIRST_ROWS, _LATER_ROW]))
    log: StoredLog = field(init=False)
    books: Books = field(init=False)
    first_book: PriceBook = field(init=False)

    def __post_init__(self) -> None:
        self.log = open_memory_log(store_id="store-1", clock=self.clock)
        self.books = Books(self.full_book)
        self.first_book = self.full_book.prefix(len(_FIRST_ROWS))

    def open_account(self, name: str, **given: str) -> str:
        """An account; `tax` sets a rate."""
        account = Account(currency="USD")
        if "tax" in given:
            account.set_tax(rate=given["tax"], note="VAT")
        public = public_id("acc", account.id)
        self.append(*account.collect_events(), account=public)
        return public

    def append(self, *events: Any, account: str | None) -> tuple[Recorded, ...]:
        return self.log.submit(*events, account_id=account).result()

    def tick(self, **by: float) -> None:
        """Let time pass: `tick(hours=1)`; one second by default."""
        self.clock.advance(timedelta(**by) if by else timedelta(seconds=1))

    def routed(
        self,
        account: str,
        *,
        provider: str = "openai",
        model: str = "gpt-x",
        request: UUID | None = None,
        **given: Any,
    ) -> UUID:
        """A call that has left for its provider."""
        request = request or new_id()
        fields: dict[str, Any] = {
            "account_id": account,
            "api_key_id": public_id("key", derived_id("key", account)),
            "credential_id": public_id("cred", derived_id("cred", account, provider)),
            "provider": provider,
            "api": "openai.chat",
            "requested_model": model,
            "upstream_model": model,
            "stream": False,
            "prompt_bytes": 100,
            "price_book": self.first_book.hash,
            "price_at": instant_text(self.clock.now()),
            "markup_rate": "0.05",
            "account_version": 1,
            "reference_setting": "same-provider-first",
            "tags": {},
            "attempt_of": None,
            "idempotency": None,
            "owner": "epoch-1",
            "sandbox": provider == "sandbox",
        }
        event = RequestRouted(originator_id=request, originator_version=1, **{**fields, **given})
        self.append(event, account=account)
        return request

    def reported(self, request: UUID, account: str, **usage: int) -> Recorded:
        """The provider's own counts end the request."""
        return self.append(self.report(request, **usage), account=account)[0]

    @staticmethod
    def report(request: UUID, **usage: int) -> UsageReported:
        return UsageReported(
            originator_id=request,
            originator_version=2,
            usage=usage,
            provenance=dict.fromkeys(usage, "reported"),
            usage_raw=[],
            model=None,
            finish_reason="stop",
            total_ms=120,
        )

    def estimated(self, request: UUID, account: str, **usage: int) -> Recorded:
        """Our own counts end the request."""
        event = UsageEstimated(
            originator_id=request,
            originator_version=2,
            usage=usage,
            provenance=dict.fromkeys(usage, "estimated"),
            usage_raw=[],
            model=None,
            reason="not_reported",
            method={"encoding": "o200k_base", "factor": "1", "counted": ["prompt"]},
        )
        return self.append(event, account=account)[0]

    def failed(self, request: UUID, account: str, failure: str = "process_lost") -> Recorded:
        """The request ends without anything to bill."""
        event = RequestFailed(originator_id=request, originator_version=2, failure=failure)
        return self.append(event, account=account)[0]

    def corrected(self, request: UUID, account: str, *, version: int = 3, **usage: int) -> Recorded:
        """Better counts arrive."""
        event = UsageCorrected(
            originator_id=request,
            originator_version=version,
            usage=usage,
            provenance=dict.fromkeys(usage, "reported"),
            usage_raw=[],
            model=None,
            replaces=version - 1,
            reason="late_report",
        )
        return self.append(event, account=account)[0]

    def rerated(self, request: UUID, account: str, *, version: int = 3) -> Recorded:
        """The same counts at the prices of the full book."""
        event = UsageRerated(
            originator_id=request,
            originator_version=version,
            price_book=self.full_book.hash,
            reason="price found",
        )
        return self.append(event, account=account)[0]

    def call(self, account: str, *, usage: dict[str, int] | None = None, **given: Any) -> UUID:
        """A whole call, reported by the provider."""
        request = self.routed(account, **given)
        self.reported(request, account, **(usage or {"input_tokens": 100, "output_tokens": 20}))
        return request

    def event_count(self) -> int:
        return self.log.head()


def as_event(event: object) -> Event:
    """For the type checker: aggregates' events are events."""
    assert hasattr(event, "originator_version")
    return event  # type: ignore[return-value]
