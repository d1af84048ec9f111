"""Usage and fees, grouped (API.md 5). Totals are the sums of the very rows that are shown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from domain.clock import instant_text
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.money import Money, text_of
from domain.tags import is_tag
from projections.queries.billing import BILLED_LINES, reach
from projections.queries.filters import Filters
from projections.rows import COUNTS, micros
from projections.store.port import ProjectionStore, Row, Value

GROUPS: Final[Mapping[str, str]] = {
    "hour": "formatDateTime(billed_at, '%Y-%m-%dT%H:00Z')",
    "day": "toString(toDate(billed_at))",
    "month": "formatDateTime(billed_at, '%Y-%m')",
    "account": "toString(account_id)",
    "provider": "toString(provider)",
    "model": "toString(model)",
    "requested_model": "toString(requested_model)",
    "credential": "toString(credential_id)",
    "api_key": "toString(api_key_id)",
    "usage_source": "toString(usage_source)",
    "status": "toString(status)",
    "failure": "nullIf(toString(failure), '')",
    "sandbox": "sandbox",
    "invoice": "nullIf(billed_in, '')",
}
"""What rows can be grouped by, besides `tag:<key>`."""

TALLIES: Final[Mapping[str, str]] = {
    "requests": "1",
    "estimated_requests": "usage_source = 'estimate'",
    "unrated_requests": "status = 'unrated'",
    "partly_rated_requests": "status = 'unrated_units'",
    "written_off_requests": "written_off",
    "lost_requests": "failure = 'process_lost'",
    "failed_requests": "state = 'failed'",
    "sandbox_requests": "sandbox",
}
AMOUNTS: Final = ("at_cost_usd", "fee_usd")
GROUPS_MAX: Final = 8
ROWS_MAX: Final = 100_000

_TAG: Final = "tag:"
_RECORDED: Final = """
    AND (l.recorded_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC') OR (
        SELECT count() FROM $db.closed_periods
        WHERE period_start >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
    ) > 0)
"""
"""Nothing is billed before it was recorded, unless by an invoice whose period begins later. So the
months before the question need not be read while no such period is closed."""
_SETTINGS: Final = "SETTINGS do_not_merge_across_partitions_select_final = 1"
"""Rows of one event are in one month, because they say when it was recorded; merging each month by
itself takes a quarter of the time. Only a log with two payloads of one event could have them in
two, and then nothing is closed (`doubled_accounts`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageQuestion:
    """What is asked: a half-open period, the groups, and what to leave out."""

    start: datetime
    end: datetime
    group_by: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise BadValue("'to' must be after 'from'", param="to")


def groups_of(text: str | None) -> tuple[str, ...]:
    """Read `day,provider,tag:team`. Raises BadValue for what nobody can group by."""
    groups = tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
    if len(groups) > GROUPS_MAX:
        raise BadValue(f"group_by takes at most {GROUPS_MAX} fields", param="group_by")
    for group in groups:
        if group not in GROUPS and _tag_of(group) is None:
            raise BadValue(
                f"group_by knows {', '.join(GROUPS)} and tag:<key>, separated by commas",
                param="group_by",
            )
    return groups


def _tag_of(group: str) -> str | None:
    """`tag:team` → `team`."""
    name = group.removeprefix(_TAG)
    return name if name != group and is_tag(name) else None


def usage_report(
    store: ProjectionStore, question: UsageQuestion, *, as_of: Mapping[str, int]
) -> JsonObject:
    """The answer of `GET /api/v1/usage`, as of a position of the log."""
    rows = store.query(*_statement(question, as_of))
    if len(rows) > ROWS_MAX:
        raise BadValue(f"more than {ROWS_MAX} rows: group by less", param="group_by")
    shown = [_shown(question.group_by, row) for row in rows]
    # What a correction took back as a whole leaves a group of nothing.
    numbers = (*TALLIES, *COUNTS, *AMOUNTS)
    shown = [row for row in shown if any(row[name] not in {0, "0"} for name in numbers)]
    return {
        "from": instant_text(question.start),
        "to": instant_text(question.end),
        "group_by": list(question.group_by),
        "rows": shown,
        "totals": _totals(shown),
        "as_of": dict(as_of),
    }


def regrouped(report: JsonObject, group: str) -> list[JsonObject]:
    """The rows of a report by one of its groups: what a question for that group alone answers."""
    parts: dict[object, list[JsonObject]] = {}
    for row in report["rows"]:
        parts.setdefault(row[group], []).append(row)
    found = [{group: value, **_totals(rows)} for value, rows in parts.items()]
    for row in found:
        for name in AMOUNTS:
            if all(part[name] is None for part in parts[row[group]]):
                row[name] = None
    return sorted(found, key=lambda row: (row[group] is None, str(row[group])))


def usage_csv(report: JsonObject) -> str:
    """The same rows as CSV. No line of totals: whoever adds a column up gets them."""
    out = io.StringIO()
    names = [*report["group_by"], *TALLIES, *COUNTS, *AMOUNTS]
    writer = csv.DictWriter(out, names, lineterminator="\r\n")
    writer.writeheader()
    for row in report["rows"]:
        writer.writerow({name: _cell(row[name]) for name in names})
    return out.getvalue()


def _statement(question: UsageQuestion, as_of: Mapping[str, int]) -> tuple[str, dict[str, Value]]:
    parameters: dict[str, Value] = {
        **reach(as_of),
        "start": micros(question.start),
        "end": micros(question.end),
    }
    chosen = []
    for index, group in enumerate(question.group_by):
        tag = _tag_of(group)
        if tag is not None:
            parameters[f"tag_{index}"] = tag
            name = f"{{tag_{index}:String}}"
            chosen.append(f"if(mapContains(tags, {name}), tags[{name}], NULL) AS g{index}")
        else:
            chosen.append(f"{GROUPS[group]} AS g{index}")
    tallies = [f"sum(sign * toInt64({what}))" for what in TALLIES.values()]
    counts = [f"sum(sign * toInt64(ifNull({unit}, 0)))" for unit in COUNTS]
    amounts = [f"sum(sign * toDecimal256(ifNull({a}, toDecimal128(0, 24)), 24))" for a in AMOUNTS]
    known = [f"sum(sign * toInt64(isNotNull({a})))" for a in AMOUNTS]
    conditions, values = question.filters.sql()
    parameters.update(values)
    grouping = ", ".join(f"g{index}" for index in range(len(chosen)))
    sql = f"""
        SELECT {", ".join([*chosen, *tallies, *counts, *amounts, *known])}
        FROM ({BILLED_LINES} {conditions} {_RECORDED})
        WHERE toUnixTimestamp64Micro(billed_at) >= {{start:Int64}}
            AND toUnixTimestamp64Micro(billed_at) < {{end:Int64}}
        {f"GROUP BY {grouping} ORDER BY {grouping}" if grouping else ""}
        LIMIT {ROWS_MAX + 1}
        {_SETTINGS}
    """  # noqa: S608 - put together from our own text; values are parameters
    return sql, parameters


def _shown(groups: Sequence[str], row: Row) -> JsonObject:
    """One row. An amount that no call of the group has is unknown, rather than zero."""
    cells = iter(row)
    shown: JsonObject = {group: next(cells) for group in groups}
    for name in (*TALLIES, *COUNTS):
        shown[name] = next(cells)
    amounts = [next(cells) for _ in AMOUNTS]
    known = [next(cells) for _ in AMOUNTS]
    for name, amount, with_amount in zip(AMOUNTS, amounts, known, strict=True):
        nothing_known = shown["requests"] > 0 and not with_amount and not amount
        shown[name] = None if nothing_known else text_of(amount)
    return shown


def _totals(rows: Sequence[JsonObject]) -> JsonObject:
    totals: JsonObject = {name: sum(row[name] for row in rows) for name in (*TALLIES, *COUNTS)}
    for name in AMOUNTS:
        amounts = (Money(Decimal(row[name])) for row in rows if row[name] is not None)
        totals[name] = str(Money.total(amounts))
    return totals


def _cell(value: object) -> object:
    """Text that a spreadsheet would run as a formula is quoted."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return value if re.fullmatch(r"-?[0-9.]+", value) else f"'{value}"
    return value
