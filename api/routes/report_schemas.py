"""Answers of the reporting routes, as /openapi.json describes them. A test holds them to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.routes.schemas import Answer, Body

Cutoff = dict[str, int]
"""Store id → the seq up to which events count."""


class Counts(Answer):
    """What calls used. Sums of what is known."""

    input_tokens: int
    cached_input_tokens: int
    cached_audio_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_write_tokens: int
    input_audio_tokens: int
    input_image_tokens: int
    output_tokens: int
    reasoning_tokens: int
    output_audio_tokens: int
    output_image_tokens: int
    web_search_calls: int


class UsageTotals(Counts):
    requests: int
    estimated_requests: int
    unrated_requests: int
    partly_rated_requests: int
    written_off_requests: int
    lost_requests: int
    failed_requests: int
    sandbox_requests: int
    at_cost_usd: str
    fee_usd: str


class UsageRow(UsageTotals):
    """A group: besides these fields it has one for each name in `group_by`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    at_cost_usd: str | None = Field()  # type: ignore[assignment]
    """Null while no call of the group has a price."""
    fee_usd: str | None = Field()  # type: ignore[assignment]


class UsageReport(Answer):
    from_: str = Field(alias="from")
    to: str
    group_by: list[str]
    rows: list[UsageRow]
    totals: UsageTotals
    as_of: Cutoff


class ShownReference(Answer):
    """The price that the at-cost figure was taken from."""

    rule: Literal["listed", "reported", "same-provider-first", "lowest"]
    provider: str
    model: str
    price_rows: list[str]


class BilledIn(Answer):
    invoice_id: str
    start: str
    end: str


class ShownRequest(Answer):
    request_id: str
    account_id: str
    api_key_id: str
    credential_id: str
    provider: str
    api: str
    requested_model: str
    model: str
    state: Literal["settled", "failed"]
    status: str
    usage_source: Literal["provider", "estimate", "none"]
    price_book: str
    markup_rate: str
    attempt_of: str | None
    failure: str | None
    finish_reason: str | None
    delivered: str | None
    stream: bool
    sandbox: bool
    tags: dict[str, str]
    first_byte_ms: int | None
    total_ms: int | None
    tries: int
    unrated_units: list[str]
    written_off: bool
    routed_at: str
    ended_at: str
    usage: dict[str, int]
    at_cost_usd: str | None
    fee_usd: str | None
    reference: ShownReference | None
    billed_in: BilledIn | None


class RequestList(Answer):
    from_: str = Field(alias="from")
    to: str
    requests: list[ShownRequest]
    next: str | None
    as_of: Cutoff


class StoredEvent(Answer):
    """A line of the log and its hash."""

    store_id: str
    seq: int
    event_id: str
    originator_id: str
    originator_version: int
    topic: str
    version: int
    recorded_at: str
    account_id: str | None
    hash: str
    data: dict[str, Any]


class Receipt(Answer):
    """What a caller is told about one call."""

    request_id: str
    provider: str
    credential_id: str
    key_suffix: str
    requested_model: str
    model: str
    usage_source: Literal["provider", "estimate", "none"]
    usage: dict[str, int | None]
    status: str
    markup_rate: str
    at_cost_usd: str | None
    fee_usd: str | None
    reference: ShownReference | None
    price_book: str
    sandbox: bool
    attempt_of: str | None = None
    failure: str | None = None
    reported_usd: str | None = None
    listed_usd: str | None = None
    candidates: list[dict[str, Any]] | None = None
    unrated_units: list[str] | None = None
    notes: list[str] | None = None
    state: Literal["open", "settled", "failed"]
    written_off: bool
    events: list[StoredEvent]


class InvoiceLine(Answer):
    kind: Literal["usage", "adjustment"]
    service_period: str | None = None
    adjusts: str | None = None
    provider: str
    model: str
    reference_provider: str | None
    reference_model: str | None
    rule: str | None
    usage_source: str
    markup_rate: str
    price_rows: list[str]
    requests: int
    input_tokens: int | None
    cached_input_tokens: int | None
    cached_audio_tokens: int | None
    cache_write_5m_tokens: int | None
    cache_write_1h_tokens: int | None
    cache_write_tokens: int | None
    input_audio_tokens: int | None
    input_image_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    output_audio_tokens: int | None
    output_image_tokens: int | None
    web_search_calls: int | None
    at_cost_usd: str | None
    fee_usd: str | None
    amount: str | None


class InvoicePeriod(Answer):
    start: str
    end: str


class MerkleRoot(Answer):
    size: int
    root: str


class Invoice(Answer):
    """A draft has no id, number, merkle and issued_at."""

    id: str | None
    number: str | None
    account_id: str
    status: Literal["draft", "open", "paid", "void"]
    sandbox: bool
    period: InvoicePeriod
    currency: str
    lines: list[InvoiceLine]
    fee_usd_exact: str
    carried_in: str
    carried_out: str
    subtotal: str
    tax: str
    total: str
    tax_rate: str
    tax_note: str
    cutoff: Cutoff
    price_books: list[str]
    merkle: dict[str, MerkleRoot] | None
    issued_at: str | None


class InvoiceList(Answer):
    invoices: list[Invoice]


class CreditNoteLine(Answer):
    line: int
    """Its number on the invoice, from 1."""
    kind: str
    service_period: str | None = None
    adjusts: str | None = None
    provider: str
    model: str
    billed: str
    amount: str


class CreditNote(Answer):
    """Amounts are what is given back, so they are positive."""

    number: str
    invoice_id: str
    invoice_number: str
    account_id: str
    sandbox: bool
    currency: str
    reason: str
    lines: list[CreditNoteLine]
    subtotal: str
    tax: str
    total: str
    tax_rate: str
    issued_at: str


class CreditNoteList(Answer):
    credit_notes: list[CreditNote]


# What is sent about an issued invoice

_Sentence = Annotated[str, Field(min_length=1, max_length=200)]
_Amount = Annotated[str, Field(max_length=40)]


class CreditOfLine(Body):
    line: Annotated[int, Field(ge=1)]
    amount: _Amount


class NewCreditNote(Body):
    """Neither amount nor lines: everything that is left."""

    reason: _Sentence
    amount: _Amount | None = None
    lines: Annotated[list[CreditOfLine], Field(min_length=1, max_length=10_000)] | None = None


class Payment(Body):
    reference: Annotated[str, Field(max_length=200)] = ""


class Voiding(Body):
    reason: _Sentence
