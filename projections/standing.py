"""Where everything stands: the log, what is projected of it, what waits, what is closed."""

from __future__ import annotations

from dataclasses import dataclass

from domain.clock import instant_text
from domain.eventlog.port import EventLog
from domain.events.base import JsonObject
from domain.invoice_register import InvoiceRegister
from pricing.book import PriceBook
from projections.projected import Projected
from projections.queries.health import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """How far the events of one store have come; None: unknown, or not on that way."""

    store_id: str
    events: int
    projected: int | None
    """Every seq up to this one is in the tables."""
    relayed: int | None
    """Every seq up to this one is in the topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One look at it. What comes from the projections is None while they are not open."""

    store_id: str
    """Of the first chain: `stores` of `keytoll status` has all."""
    events: int
    """In the stores that are written; those that they continue are left out."""
    projected: int | None
    open_requests: int
    """Routed, and not ended in the log."""
    health: Health | None
    newest_closed_period_end: str | None
    price_book: str

    @property
    def lag(self) -> int:
        """Events that are not in the tables; all of them before the tables are open."""
        return self.events - (self.projected or 0)

    def as_json(self) -> JsonObject:
        """For machines and for `keytoll status`."""
        found = self.health
        counts = ("requests", "estimated", "unrated", "lost", "dead_letters", "conflicts")
        return {
            "store_id": self.store_id,
            "events": self.events,
            "projected": self.projected,
            "lag": self.lag,
            "open_requests": self.open_requests,
            **{name: None if found is None else getattr(found, name) for name in counts},
            "newest_closed_period_end": self.newest_closed_period_end,
            "price_book": self.price_book,
        }


def standing(
    *,
    log: EventLog,
    projected: Projected | None,
    health: Health | None,
    register: InvoiceRegister,
    book: PriceBook,
) -> Standing:
    """As of now; `health` was asked of the tables, over whatever time the reader wants.

    Raises StoreUnavailable.
    """
    register.catch_up()
    closed = [invoice.period.end for invoice in register.all()]
    return Standing(
        store_id=log.chains()[0].written.store_id,
        events=sum(chain.written.head() for chain in log.chains()),
        projected=None if projected is None else sum(projected.reached().values()),
        open_requests=len(log.open_requests()),
        health=health,
        newest_closed_period_end=instant_text(max(closed)) if closed else None,
        price_book=book.hash,
    )
