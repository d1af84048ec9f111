"""Recompute an invoice from outside: events, prices and the document, whole numbers only.

    python tests/recompute/recompute.py events.jsonl prices.jsonl invoice.json

A second reading of API.md 7, PRICES.md 2, BILLING.md 3 and EVENTS.md. It imports nothing of the
program and nothing but the standard library; no decimal type and no float either: prices are
whole numbers of 10^-9 USD per million tokens, amounts of 10^-18, fees of 10^-24. Exit code 0 when
every digit agrees, 1 with one line per disagreement.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

if __package__:
    from tests.recompute.second_rating import (
        AMOUNT,
        Book,
        Json,
        canonical,
        instant,
        open_book,
        plain,
        rate_request,
        scaled,
    )
else:
    from second_rating import (  # type: ignore[import-not-found,no-redef]
        AMOUNT,
        Book,
        Json,
        canonical,
        instant,
        open_book,
        plain,
        rate_request,
        scaled,
    )

FEE = 24
CENT = 10 ** (FEE - 2)
COUNTS = (
    *("input_tokens", "cached_input_tokens", "cached_audio_tokens", "cache_write_5m_tokens"),
    *("cache_write_1h_tokens", "cache_write_tokens", "input_audio_tokens", "input_image_tokens"),
    *("output_tokens", "reasoning_tokens", "output_audio_tokens", "output_image_tokens"),
    "web_search_calls",
)


class Trail:
    """The events of one account, by stream and version, each with its place in the store."""

    def __init__(self, lines: Iterable[bytes], prices: Sequence[bytes]) -> None:
        self.streams: dict[str, list[Json]] = {}
        self.invoices: list[Json] = []
        self._prices, self._books = prices, dict[str, Book]()
        for line in lines:
            event = json.loads(line)
            if event["topic"].startswith("request."):
                self.streams.setdefault(event["originator_id"], []).append(event)
            elif event["topic"] == "invoice.issued":
                self.invoices.append(event)
        for events in self.streams.values():
            events.sort(key=lambda event: int(event["originator_version"]))

    def book(self, book_hash: str) -> Book:
        if book_hash not in self._books:
            self._books[book_hash] = open_book(self._prices, book_hash)
        return self._books[book_hash]

    def billed(self, stream: str, cutoff: Json) -> tuple[Json, int | None] | None:
        """(line key and counts, fee) of a request as of a cutoff; None if nothing was used."""
        routed, *later = self.streams[stream]
        later = [event for event in later if event["seq"] <= cutoff.get(event["store_id"], 0)]
        uses = [event for event in later if "usage" in event["data"]]
        if not uses:
            return None
        data, used = routed["data"], uses[-1]["data"]
        rerated = [e["data"]["price_book"] for e in later if e["topic"] == "request.usage-rerated"]
        book_hash = [data["price_book"], *rerated][-1]
        rated = rate_request(self.book(book_hash), data, used)
        estimated = uses[-1]["topic"] == "request.usage-estimated"
        rule, provider, model, rows = rated.reference or (None, None, None, [])
        key = {
            "kind": "usage",
            "provider": data["provider"],
            "model": rated.model,
            "reference_provider": provider,
            "reference_model": model,
            "rule": rule,
            "usage_source": "estimate"
            if estimated or "estimated" in used["provenance"].values()
            else "provider",
            "markup_rate": plain(scaled(data["markup_rate"], 6), 6),
            "price_rows": rows,
        }
        # 10^-18 USD times a rate of 10^-6 is a fee of 10^-24.
        fee = None if rated.amount is None else rated.amount * scaled(data["markup_rate"], 6)
        return {"key": key, "used": used["usage"], "amount": rated.amount, "book": book_hash}, fee

    def in_period(self, invoice: Json) -> list[str]:
        """Streams of the account whose terminal event is in the period and below the cutoff."""
        start, end, found = invoice["period"]["start"], invoice["period"]["end"], []
        for stream, events in self.streams.items():
            ends = [event for event in events if event["originator_version"] == 2]
            data = events[0]["data"]
            mine = data["account_id"] == invoice["account_id"]
            if not ends or not mine or data["sandbox"] != invoice["sandbox"]:
                continue
            at, cutoff = ends[0]["recorded_at"], invoice["cutoff"].get(ends[0]["store_id"], 0)
            if instant(start) <= instant(at) < instant(end) and ends[0]["seq"] <= cutoff:
                found.append(stream)
        return found

    def before(self, invoice: Json) -> list[Json]:
        """Invoices of the same account and kind that were issued before, in their order."""
        # An export is in the order of recording, also where a restored log begins a new store.
        issued = [e["data"] for e in self.invoices]
        own = [i for i, data in enumerate(issued) if data["invoice_id"] == invoice["id"]]
        return [
            {"id": data["invoice_id"], "period": data, **data}
            for data in issued[: own[0] if own else None]
            if all(data[name] == invoice[name] for name in ("account_id", "sandbox"))
        ]


def recompute(trail: Trail, invoice: Json) -> list[str]:
    """Every disagreement between an invoice and what its events and prices give."""
    wrong: list[str] = []

    def check(what: str, stated: object, found: object) -> None:
        if stated != found:
            wrong.append(f"{what}: the invoice says {stated}, recomputed {found}")

    groups: dict[bytes, Json] = {}
    books = set()
    for stream in trail.in_period(invoice):
        result = trail.billed(stream, invoice["cutoff"])
        if result is not None:
            call, fee = result
            books.add(call["book"])
            add_to(groups.setdefault(canonical(call["key"]), {"requests": 0}), call, fee)
    earlier = trail.before(invoice)
    exact = check_lines(invoice, groups, check) + check_adjustments(trail, invoice, earlier, check)
    carried = scaled(earlier[-1]["carried_out"], FEE) if earlier else 0
    due = exact + carried
    subtotal = max(0, (2 * due + CENT) // (2 * CENT))
    tax_rate = scaled(invoice.get("tax_rate", "0"), 6)
    tax = (2 * subtotal * tax_rate + 10**6) // (2 * 10**6)
    check("fee_usd_exact", invoice["fee_usd_exact"], plain(exact, FEE))
    check("carried_in", invoice["carried_in"], plain(carried, FEE))
    check("carried_out", invoice["carried_out"], plain(due - subtotal * CENT, FEE))
    check("subtotal", invoice["subtotal"], plain(subtotal, 2))
    check("tax", invoice["tax"], plain(tax, 2))
    check("total", invoice["total"], plain(subtotal + tax, 2))
    check("amounts", *amounts_of(invoice["lines"], subtotal))
    if not any(line["kind"] == "adjustment" for line in invoice["lines"]):
        check("price_books", set(invoice["price_books"]), books)
    return wrong


def add_to(group: Json, call: Json, fee: int | None) -> None:
    group["requests"] += 1
    for unit in COUNTS:
        group[unit] = group.get(unit, 0) + call["used"].get(unit, 0)
    for name, value in (("at_cost", call["amount"]), ("fee", fee)):
        if value is not None:
            group[name] = group.get(name, 0) + value


def line_key(line: Json) -> Json:
    names = "kind provider model reference_provider reference_model rule usage_source markup_rate"
    key = {name: line[name] for name in (*names.split(), "price_rows")}
    extra = ("service_period", "adjusts") if line["kind"] == "adjustment" else ()
    return {**key, **{name: line.get(name) for name in extra}}


def check_lines(invoice: Json, groups: dict[bytes, Json], check: Any) -> int:
    """Usage lines against the groups; gives their exact fee."""
    usage = [line for line in invoice["lines"] if line["kind"] == "usage"]
    stated = {canonical(line_key(line)): line for line in usage}
    check("lines", sorted(canonical(line_key(line)) for line in usage), sorted(groups))
    for key in stated.keys() & groups.keys():
        line, group, name = stated[key], groups[key], key.decode()
        check(f"requests of {name}", line["requests"], group["requests"])
        for unit in COUNTS:
            check(f"{unit} of {name}", line.get(unit) or 0, group[unit])
        for field, unit, places in (("at_cost_usd", "at_cost", AMOUNT), ("fee_usd", "fee", FEE)):
            value = group.get(unit)
            check(
                f"{field} of {name}", line[field], None if value is None else plain(value, places)
            )
    return sum(group.get("fee", 0) for group in groups.values())


def check_adjustments(trail: Trail, invoice: Json, earlier: list[Json], check: Any) -> int:
    """What closed periods owe at this cutoff more than at that of the document before it."""
    owed = 0
    for closed in earlier:
        for stream in trail.in_period({**closed, "cutoff": invoice["cutoff"]}):
            cutoffs = (invoice["cutoff"], earlier[-1]["cutoff"])
            now, then = (trail.billed(stream, cutoff) for cutoff in cutoffs)
            owed += ((now and now[1]) or 0) - ((then and then[1]) or 0)
    lines = [line for line in invoice["lines"] if line["kind"] == "adjustment"]
    stated = sum(scaled(line["fee_usd"], FEE) for line in lines if line["fee_usd"])
    check("fees of adjustments", plain(stated, FEE), plain(owed, FEE))
    return owed


def amounts_of(lines: list[Json], subtotal: int) -> tuple[list[str | None], list[str | None]]:
    """Amounts as stated, and as the rule of the largest fractions gives them."""
    fees = {i: scaled(x["fee_usd"], FEE) for i, x in enumerate(lines) if x["fee_usd"] is not None}
    cents = {i: fee // CENT for i, fee in fees.items()}
    order = sorted(fees, key=lambda i: (-(fees[i] % CENT), canonical(line_key(lines[i]))))
    left, turn = subtotal - sum(cents.values()), 0
    while left:
        step = 1 if left > 0 else -1
        cents[order[turn % len(order)]] += step
        left, turn = left - step, turn + 1
    found = [plain(cents[i], 2) if i in cents else None for i in range(len(lines))]
    return [line["amount"] for line in lines], found


def main(arguments: list[str]) -> int:
    if len(arguments) != 3:
        sys.stderr.write("usage: recompute.py EVENTS PRICES INVOICE (three exported files)\n")
        return 2
    events, prices, document = arguments
    with open(events, "rb") as file:
        lines = file.read().splitlines()
    with open(prices, "rb") as file:
        trail = Trail(lines, file.read().splitlines())
    with open(document, "rb") as file:
        invoice = json.load(file)
    wrong = recompute(trail, invoice)
    for line in wrong:
        sys.stdout.write(line + "\n")
    if not wrong:
        sys.stdout.write(f"agrees to the last digit: {invoice.get('number', invoice['id'])}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
