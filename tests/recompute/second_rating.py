"""A second reading of API.md 7 and PRICES.md 2, in whole numbers, for recompute.py.

Nothing of the program is imported, only the standard library; no decimal type and no float.
Prices are whole numbers of 10^-9 USD per million tokens, amounts of 10^-18.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

Json = dict[str, Any]

PRICE, AMOUNT = 9, 18
PRICED_AS = {"openai-responses": "openai", "azure-responses": "azure"}
STANDARD = (None, "", "auto", "default", "standard")
SERVICE = ("service_tier", "batch", "speed")
PLACES = ("region", "inference_geo", "deployment_type")
FRESH = timedelta(days=45)
# Each unit with the whole that it is part of and the prices that stand for it, in that order.
UNITS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "cached_input_tokens": ("input_tokens", ("cached_input",)),
    "cache_write_5m_tokens": ("input_tokens", ("cache_write_5m", "cache_write_1h")),
    "cache_write_1h_tokens": ("input_tokens", ("cache_write_1h", "cache_write_5m")),
    "cache_write_tokens": ("input_tokens", ("cache_write_5m", "cache_write_1h")),
    "input_audio_tokens": ("input_tokens", ("input_audio",)),
    "input_image_tokens": ("input_tokens", ("input_image", "input")),
    "cached_audio_tokens": ("cached_input_tokens", ("cached_input_audio",)),
    "output_audio_tokens": ("output_tokens", ("output_audio",)),
    "output_image_tokens": ("output_tokens", ("output_image",)),
    "reasoning_tokens": ("output_tokens", ("reasoning",)),
    "input_tokens": (None, ("input",)),
    "output_tokens": (None, ("output",)),
    "web_search_calls": (None, ("web_search_per_call",)),
    "requests": (None, ("per_request",)),
}
EACH = ("web_search_calls", "requests")
# Whose own figure counts, by the beginning of the model's name.
REPORTED = {"openrouter": ("",), "vercel": ("google/",)}
DATED_ONLY = ("openrouter", "vercel")


def scaled(text: str, places: int) -> int:
    """Decimal text as a whole number of 10^-places; an error where a digit would be lost."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, _, part = digits.partition(".")
    if not whole.isdigit() or (part and not part.isdigit()) or part[places:].strip("0"):
        raise ValueError(f"{text!r} is not decimal text of {places} places")
    return sign * int(whole + part[:places].ljust(places, "0"))


def plain(value: int, places: int) -> str:
    """The decimal text of a whole number of 10^-places."""
    digits = str(abs(value)).rjust(places + 1, "0")
    text = f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Book:
    """The first lines of an export of prices."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.names: dict[tuple[str, str], str] = {}
        self.marks: dict[tuple[str, str], list[datetime]] = {}
        self.by_model: dict[tuple[str, str], list[Json]] = {}
        self.by_name: dict[str, list[Json]] = {}
        moments: list[datetime] = []
        for n, line in enumerate(lines, 1):
            entry = json.loads(line)
            if entry["n"] != n:
                raise ValueError(f"price entry {n} is numbered {entry['n']}")
            if "name" in entry:
                name = entry["name"]
                self.names[name["provider"], name["model"]] = name["canonical"]
                continue
            if "row" in entry:
                row = {**entry["row"], "n": n, "free": is_free(entry["row"])}
                self.by_model.setdefault((row["provider"], row["model"]), []).append(row)
                self.by_name.setdefault(row["canonical"], []).append(row)
                kind, about, at = "recorded", row["id"], row["recorded_at"]
            else:
                kind = "seen" if "seen" in entry else "deprecated"
                about, at = entry[kind]["row"], entry[kind]["at"]
            self.marks.setdefault((kind, about), []).append(instant(at))
            # An announced end is no observation.
            moments += [] if kind == "deprecated" else [instant(at)]
        self.newest = max(moments)

    def find(self, provider: str, names: list[str], at: datetime) -> tuple[str, list[Json]]:
        """The first name that has a row in force: of the exact id, else of its canonical name."""
        owner = PRICED_AS.get(provider, provider)
        for name in names:
            own = self.by_model.get((owner, name), [])
            rows = [row for row in own if live(row, at)]
            called = self.names.get((owner, name)) or (own[-1]["canonical"] if own else None)
            if not rows and called is not None:
                same = self.by_name.get(called, ())
                rows = [row for row in same if row["provider"] == owner and live(row, at)]
                # Of several ids the paid ones stand for the name, of these the shortest.
                ids = {row["model"] for row in rows if not row["free"]}
                ids = ids or {row["model"] for row in rows}
                first = min(ids, key=lambda each: (len(each), each), default=None)
                rows = [row for row in rows if row["model"] == first]
            if rows:
                return name, rows
        return names[0], []

    def usual(self, row: Json, at: datetime) -> bool:
        """Neither deprecated, nor a name that moves, nor stale."""
        ended = any(since <= at for since in self.marks.get(("deprecated", row["id"]), ()))
        name, _, variant = row["model"].partition(":")
        moving = name.endswith("-latest") or variant in ("batch", "flex", "priority", "fast")
        seen = self.marks.get(("seen", row["id"])) or self.marks["recorded", row["id"]]
        return not ended and not moving and self.newest - max(seen) <= FRESH


def open_book(lines: Sequence[bytes], book_hash: str) -> Book:
    """The prefix of the exported lines that bears the hash."""
    digest = hashlib.sha256()
    for n, line in enumerate(lines, 1):
        digest.update(line + b"\n")
        if f"sha256:{digest.hexdigest()}" == book_hash:
            return Book(lines[:n])
    raise ValueError(f"no first lines of the prices have the hash {book_hash}")


def is_free(row: Json) -> bool:
    groups = [row["prices"], *row.get("tiers", ()), *row.get("time_overrides", ())]
    texts = [text for group in groups for text in group.values() if isinstance(text, str)]
    return not any(scaled(text, PRICE) for text in texts)


def live(row: Json, at: datetime) -> bool:
    start, end = row.get("effective_from"), row.get("effective_to")
    return (not start or instant(start) <= at) and (not end or at < instant(end))


def demands(context: Json) -> Json:
    """The conditions that a row or a call states; a tier that means the standard one is none."""
    stated = {name: context[name] for name in PLACES if context.get(name)}
    tiers = {n: context.get(n) for n in ("service_tier", "speed") if context.get(n) not in STANDARD}
    return {**stated, **tiers, **({"batch": True} if context.get("batch") else {})}


def choose(rows: list[Json], context: Json) -> Json | None:
    """Most conditions, then the latest entry; service class must be equal, places fall back."""
    call, fitting = demands(context), []
    for row in rows:
        stated = demands(row)
        service = all(stated.get(name) == call.get(name) for name in SERVICE)
        if service and all(stated[n] == call.get(n) for n in PLACES if n in stated):
            fitting.append((len(stated), row["n"], row))
    return max(fitting, key=lambda each: each[:2])[2] if fitting else None


def prices_of(row: Json, at: datetime, total_input: int) -> dict[str, int]:
    """Time override first, then the highest tier exceeded."""
    prices = dict(row["prices"])
    for override in row.get("time_overrides", ()):
        if in_window(override, at):
            prices.update({k: v for k, v in override.items() if not k.startswith("utc_")})
            break
    exceeded = [t for t in row.get("tiers", ()) if total_input > t["input_tokens_above"]]
    if exceeded:
        prices.update(max(exceeded, key=lambda tier: int(tier["input_tokens_above"])))
    return {name: scaled(text, PRICE) for name, text in prices.items() if isinstance(text, str)}


def in_window(override: Json, at: datetime) -> bool:
    if at.isoweekday() not in override.get("utc_days", range(1, 8)):
        return False
    now = f"{at:%H:%M}"
    for window in override.get("utc_windows", ["00:00-24:00"]):
        start, end = window.split("-")
        if start <= now < end if start < end else now >= start or now < end:
            return True
    return False


class Cost(NamedTuple):
    amount: int
    unpriced: bool
    priced: bool


def cost(row: Json, usage: Json, at: datetime) -> Cost:
    """What a row makes of a usage, in 10^-18 USD."""
    prices = prices_of(row, at, usage.get("input_tokens", 0))
    counts = {**({"requests": 1} if "per_request" in prices else {}), **usage}
    reasoning = counts.pop("reasoning_tokens", 0)
    if "reasoning" in prices:
        heard = counts.get("output_audio_tokens", 0) + counts.get("output_image_tokens", 0)
        counts["reasoning_tokens"] = min(reasoning, counts.get("output_tokens", 0) - heard)
    for unit, (whole, _) in UNITS.items():
        if whole in counts:
            counts[whole] -= counts.get(unit, 0)
    multiplier = scaled(row.get("multiplier", "1"), 3)
    amount, unpriced, priced = 0, False, False
    for unit, count in counts.items():
        price = next((prices[name] for name in UNITS[unit][1] if name in prices), None)
        if count and price is None:
            unpriced = True
        elif count and price is not None:
            priced = True
            amount += count * price * multiplier * (10**6 if unit in EACH else 1)
    return Cost(amount, unpriced, priced)


class Rated(NamedTuple):
    """`amount` is None when unknown; `reference` is (rule, provider, model, row ids)."""

    model: str
    amount: int | None
    reference: tuple[str, str, str, list[str]] | None


def rate(book: Book, routed: Json, used: Json, model: str | None, usage: Json) -> Rated:
    """One model's usage of a request."""
    at, context = instant(routed["price_at"]), used["context"]
    names = [model, context.get("deployment_model"), routed["upstream_model"]]
    found, rows = book.find(routed["provider"], [name for name in names if name], at)
    row = choose(rows, context)
    if row is None:
        return Rated(found, None, None)
    reference = ("listed", row["provider"], row["model"], [row["id"]])
    told = "input_tokens" in usage or "output_tokens" in usage
    if row["free"] and told:
        return rate_free(book, routed, row, found, usage)
    result = cost(row, usage, at)
    if not row["free"] and (result.priced or (told and not result.unpriced)):
        return Rated(found, result.amount, reference)
    return Rated(found, None, None)


def reported(routed: Json, used: Json) -> int:
    """The provider's own figure where it is preferred, else 0."""
    figure = used.get("provider_cost") or {}
    names = [used["model"], used["context"].get("deployment_model"), routed["upstream_model"]]
    beginnings = REPORTED.get(routed["provider"], ())
    preferred = any(name.startswith(beginnings) for name in names if name)
    if not preferred or figure.get("meaning") not in ("total", "upstream"):
        return 0
    return max(0, scaled(figure["amount"], AMOUNT))


def rate_free(book: Book, routed: Json, free: Json, found: str, usage: Json) -> Rated:
    """The paid version with the lowest total for this usage (PRICES.md, decided by the owner)."""
    at, standing = instant(routed["price_at"]), dict[tuple[str, str], Json]()
    for row in sorted(book.by_name[free["canonical"]], key=lambda each: int(each["n"])):
        ours = (row["provider"] == "sandbox") == (free["provider"] == "sandbox")
        if ours and row["provider"] != "hyperbolic" and not demands(row) and live(row, at):
            standing[row["provider"], row["model"]] = row
    unknown = False
    fair: list[tuple[int, str, str, str]] = []
    partly: list[tuple[int, str, str, str]] = []
    for (provider, model), row in standing.items():
        result = cost(row, usage, at)
        if (
            provider in DATED_ONLY
            and provider != free["provider"]
            and not row.get("effective_from")
        ):
            continue
        if row["free"] or not book.usual(row, at):
            continue
        unknown = unknown or (result.unpriced and not result.priced)
        if result.priced or not result.unpriced:
            whole = partly if result.unpriced else fair
            whole.append((result.amount, provider, model, row["id"]))
    # Who prices only some units stands in where nobody prices all.
    fair = fair or partly
    own = [each for each in fair if each[1] == free["provider"]]
    first = routed["reference_setting"] == "same-provider-first"
    pool = without_outliers(own if own and first else fair)
    if not pool and unknown:
        return Rated(found, None, None)
    if not pool:
        return Rated(found, 0, ("listed", free["provider"], free["model"], [free["id"]]))
    amount, provider, model, row_id = min(pool)
    return Rated(found, amount, (routed["reference_setting"], provider, model, [row_id]))


def without_outliers(pool: list[tuple[int, str, str, str]]) -> list[tuple[int, str, str, str]]:
    if len(pool) < 3:
        return pool
    totals, middle = sorted(each[0] for each in pool), len(pool) // 2
    twice = totals[middle] + totals[middle if len(totals) % 2 else middle - 1]
    return [each for each in pool if twice <= 8 * each[0] and each[0] <= 2 * twice]


def rate_request(book: Book, routed: Json, used: Json) -> Rated:
    """A whole request: the provider's figure, or its parts summed, or its one model."""
    whole = rate(book, routed, used, used["model"], used["usage"])
    figure = reported(routed, used)
    if figure:
        return Rated(whole.model, figure, ("reported", routed["provider"], whole.model, []))
    if not used["parts"]:
        return whole
    parts = [rate(book, routed, used, each["model"], each["usage"]) for each in used["parts"]]
    known = [part for part in parts if part.amount is not None and part.reference is not None]
    if not known:
        return Rated(whole.model, None, None)
    references = [part.reference for part in known if part.reference is not None]
    rule, provider, model, _ = whole.reference or references[0]
    rows = sorted({row for reference in references for row in reference[3]})
    total = sum(part.amount for part in known if part.amount is not None)
    return Rated(whole.model, total, (rule, provider, model, rows))
