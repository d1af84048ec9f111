"""How `keytoll prices` shows its answers to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from domain.events.base import JsonObject
from keytoll.commands.port import Console
from pricing.difference import Change, shown_conditions
from pricing.explain import LOST, conditions_of
from projections.what_if import Compared, Group, total

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SAID_APART: Final = frozenset({"input_tokens_above", "utc_days", "utc_windows"})


def explanation(answer: JsonObject, console: Console) -> None:
    """A model's rows, and what a call costs by them."""
    newest = answer["newest"] or "never"
    console.say(f"{answer['provider']} {answer['model']}, at {answer['at']}")
    console.say(f"book       {answer['price_book']}")
    console.say(f"           {answer['entries']} entries, the newest of {newest}")
    found = answer["found_by"] or "not found: no row of it is in force"
    console.say(f"found by   {found}; canonical name {answer['canonical'] or 'unknown'}")
    for row in answer["rows"]:
        _row(row, console)
    rating = answer["rating"]
    console.say(f"usage      {_pairs(answer['usage'])}{_context(answer['context'])}")
    console.say(f"status     {rating['status']}{_notes(rating)}")
    for each in rating["components"]:
        per = "each" if "per_" in each["price_name"] else "per million"
        console.say(
            f"  {each['count']:>10} {each['unit']:<24} × {each['price']} {per}"
            f" = {each['amount_usd']}"
        )
    reference = rating["reference"]
    if reference is not None:
        rows = ", ".join(reference["price_rows"])
        console.say(
            f"reference  {reference['rule']}: {reference['provider']} {reference['model']} {rows}"
        )
    console.say(f"at cost    {_amount(rating['at_cost_usd'])}")
    console.say(f"fee        {_amount(rating['fee_usd'])}")
    _candidates(rating["candidates"], console)


def _row(row: JsonObject, console: Console) -> None:
    mark = "*" if row["used"] else " "
    state = "in force" if row["in_force"] else "not in force"
    console.say(f"{mark} {row['id']}  {_pairs(conditions_of(row)) or 'standard'}  {state}")
    lines = [
        *_terms(row),
        ("source", _source(row)),
        ("seen", row["last_seen"]),
        ("deprecated", "yes" if row["deprecated"] else None),
        ("note", row.get("note")),
    ]
    for name, text in lines:
        if text:
            console.say(f"    {name}: {text}")


def _candidates(candidates: Sequence[JsonObject], console: Console) -> None:
    if not candidates:
        return
    console.say("paid versions considered")
    for each in candidates:
        why = "chosen" if each["chosen"] else LOST.get(each["lost"], each["lost"])
        units = ", ".join(each.get("unpriced_units", ()))
        console.say(
            f"  {each['provider']} {each['model']}  {_amount(each['at_cost_usd'])}"
            f"  {why}{f' ({units})' if units else ''}"
        )


def changes(found: Sequence[Change], console: Console) -> None:
    """One line for each price that is another one."""
    if not found:
        console.say("both books have the same prices in force")
    for change in found:
        name = f"{change.provider} {change.model}"
        where = _pairs(shown_conditions(change.conditions))
        console.say(f"{change.kind:<10} {name}{f' ({where})' if where else ''}")
        for label, side in (("was", change.before), ("is", change.after)):
            if side is not None:
                console.say(f"           {label}: {_side(side)}")


def comparison(
    groups: Mapping[Group, Compared], console: Console, *, first: str, second: str
) -> None:
    """A table by provider and model, with its total."""
    heads = ["provider", "model", "calls", "changed", "unrated"]
    heads += [f"fee {first}", f"fee {second}", "difference"]
    rows = [[*name, *_cells(group)] for name, group in groups.items()]
    rows.append(["total", "", *_cells(total(groups.values()))])
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        console.say("  ".join(cells).rstrip())


def _cells(group: Compared) -> list[str]:
    unrated = f"{group.first.unrated} → {group.second.unrated}"
    difference = group.second.fee - group.first.fee
    counts = [str(group.requests), str(group.changed), unrated]
    return [*counts, str(group.first.fee), str(group.second.fee), str(difference)]


def _side(side: JsonObject) -> str:
    (_, prices), *rest = _terms(side)
    return "; ".join([prices, *(f"{name}: {text}" for name, text in rest if text)])


def _terms(row: JsonObject) -> list[tuple[str, str]]:
    """What a row says of prices and of when they hold; the prices first, empty what it leaves."""
    return [
        ("prices", _pairs(row["prices"]) + (" (free)" if row.get("free") else "")),
        *(
            (f"above {tier['input_tokens_above']} input tokens", _prices(tier))
            for tier in row.get("tiers") or ()
        ),
        *((_hours(each), _prices(each)) for each in row.get("time_overrides") or ()),
        ("multiplier", row.get("multiplier") or ""),
        ("from", row.get("effective_from") or ""),
        ("until", row.get("effective_to") or ""),
    ]


def _hours(override: JsonObject) -> str:
    """Such as "on Mon Tue, 01:00-04:00 UTC"."""
    days = " ".join(_DAYS[day - 1] for day in override.get("utc_days") or ())
    windows = " ".join(override.get("utc_windows") or ["all day"])
    return f"on {days or 'every day'}, {windows} UTC"


def _prices(prices: JsonObject) -> str:
    return _pairs({name: price for name, price in prices.items() if name not in _SAID_APART})


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _context(context: JsonObject) -> str:
    return f" ({_pairs(context)})" if context else ""


def _source(row: JsonObject) -> str:
    source = row.get("source") or ["unknown"]
    names = ", ".join(source) if isinstance(source, list) else str(source)
    confidence = row.get("confidence")
    return f"{names}; confidence {confidence}" if confidence else names


def _notes(rating: JsonObject) -> str:
    said = [*rating.get("unrated_units", ()), *rating.get("notes", ())]
    return f" ({', '.join(said)})" if said else ""


def _amount(value: object) -> str:
    return "unknown" if value is None else f"{value} USD"
