"""Every type of event, by topic. A new class is one line here; a test names one that is missing."""

from __future__ import annotations

from typing import Final

from domain.account import Account
from domain.credential import Credential
from domain.events.base import Event
from domain.events.requests import (
    RequestFailed,
    RequestRouted,
    UsageCorrected,
    UsageEstimated,
    UsageReported,
    UsageRerated,
)
from domain.events.store import LogSealed, StoreOpened
from domain.invoice import InvoicePaid, InvoiceVoided
from domain.invoice_series import CreditNoteIssued, InvoiceIssued
from domain.price_book import PriceBook


def _by_topic(*classes: type[Event]) -> dict[str, type[Event]]:
    table = {event_class.TOPIC: event_class for event_class in classes}
    if len(table) != len(classes):
        raise ValueError("two event classes have the same topic")
    return table


EVENTS: Final = _by_topic(
    RequestRouted,
    UsageReported,
    UsageEstimated,
    RequestFailed,
    UsageCorrected,
    UsageRerated,
    StoreOpened,
    LogSealed,
    Account.AccountOpened,
    Account.AccountSuspended,
    Account.AccountResumed,
    Account.ApiKeyIssued,
    Account.ApiKeyRevoked,
    Account.MarkupAgreed,
    Account.TaxSet,
    Account.RoutingPreferred,
    Account.RemainderCarried,
    Credential.KeyAdded,
    Credential.KeyChecked,
    Credential.KeyRestricted,
    Credential.KeyReordered,
    Credential.KeyDisabled,
    Credential.KeyEnabled,
    Credential.KeyRotated,
    Credential.KeyRemoved,
    PriceBook.PriceBookPublished,
    InvoiceIssued,
    CreditNoteIssued,
    InvoicePaid,
    InvoiceVoided,
)
