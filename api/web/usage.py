"""Usage: what calls used and cost over time, with the figures of `GET /api/v1/usage`."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth import REPORT_READERS, Caller
from api.routes.usage import UsageRoutes
from api.web import numbers
from api.web.choices import GROUPINGS, PERIODS, SANDBOX, SOURCES, STATUSES, Choices
from api.web.names import Names
from api.web.operations import Operations
from api.web.pages import HEADERS, Pages, page_route
from domain.clock import instant_text
from domain.events.base import JsonObject
from projections.documents import json_bytes
from projections.queries.latency import Latency, latency
from projections.queries.usage import UsageQuestion, regrouped, usage_csv, usage_report

MEASURES: Final[Mapping[str, str]] = {
    "fee_usd": "Fee, USD",
    "at_cost_usd": "At-cost, USD",
    "requests": "Calls",
    "input_tokens": "Input tokens",
    "output_tokens": "Output tokens",
    "estimated_requests": "Calls that we counted",
    "failed_requests": "Failed calls",
    "latency": "Time of a call, ms",
}
"""What the chart can show."""
ROWS_MAX: Final = 400
"""Rows of time and group on the page; the rest are in the export."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The answers behind the page, as of one position of the log."""

    report: JsonObject
    latency: Latency
    latency_over_time: Mapping[str, Latency]


class UsagePages:
    """What the routes of this file share."""

    def __init__(self, usage: UsageRoutes, names: Names) -> None:
        self.usage = usage
        self.names = names

    def choices(self, request: Request) -> Choices:
        """What the address asks."""
        return Choices.of(request.query_params, self.usage.clock.now())

    def question(self, caller: Caller, choices: Choices, *groups: str | None) -> UsageQuestion:
        """The question to the projections. Raises ApiError 404 for an account of others."""
        return UsageQuestion(
            start=choices.start,
            end=choices.end,
            group_by=tuple(group for group in groups if group is not None),
            filters=self.usage.reach(caller, choices.filters, choices["account"] or None),
        )

    def figures(self, caller: Caller, choices: Choices) -> Figures:
        """Everything that is shown, as of one position."""
        projected = self.usage.projected()
        store, as_of = projected.store, projected.reached()
        question = self.question(caller, choices, choices.span, choices.by)
        report = usage_report(store, question, as_of=as_of)
        whole, by_span = latency(store, question, as_of=as_of, span=choices.span)
        return Figures(report, whole, by_span)

    def export(self, caller: Caller, choices: Choices, form: Literal["csv", "json"]) -> bytes:
        """The table as a file: what the JSON route answers."""
        projected = self.usage.projected()
        question = self.question(caller, choices, choices.span, choices.by)
        answer = usage_report(projected.store, question, as_of=projected.reached())
        return usage_csv(answer).encode() if form == "csv" else json_bytes(answer)

    def chart(self, figures: Figures, choices: Choices) -> JsonObject:
        """What static/charts.js draws; amounts stay text."""
        spans = spans_of(choices)
        by = choices.by
        cells: dict[str, dict[str, JsonObject]] = {}
        for row in figures.report["rows"]:
            name = "All calls" if by is None else self.names.of(by, row[by])
            cells.setdefault(name, {})[row[choices.span]] = row
        measured = [name for name in MEASURES if name != "latency"]
        times = figures.latency_over_time
        return {
            "spans": spans,
            "series": [
                {
                    "name": name,
                    **{
                        measure: [rows[at][measure] if at in rows else 0 for at in spans]
                        for measure in measured
                    },
                }
                for name, rows in sorted(cells.items())
            ],
            "latency": [
                {
                    "name": title,
                    "values": [getattr(times[at], name) if at in times else None for at in spans],
                }
                for title, name in (
                    ("half of the calls (p50)", "p50_ms"),
                    ("19 of 20 calls (p95)", "p95_ms"),
                )
            ],
            "measures": MEASURES,
        }


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    usage = UsagePages(operations.usage, Names(operations.provider_keys))
    pages.templates.filters.update(
        amount=numbers.amount, count=numbers.count, duration=numbers.duration
    )
    pages.templates.globals["share"] = numbers.share

    @routes.get("/usage")
    def page(request: Request) -> Response:
        """The frame; the figures come after it, unless the address asks for the whole."""
        session = pages.visitor(request, *REPORT_READERS)
        choices = usage.choices(request)
        figures = None
        if not choices.problems:
            usage.question(session.caller, choices)
            if "whole" in request.query_params:
                figures = _shown(usage, session.caller, choices)
        return pages.show(
            request,
            "usage/usage.html",
            session,
            status=400 if choices.problems else 200,
            title="Usage",
            choices=choices,
            offered=usage.names.choices(session.caller, choices["account"] or None),
            options=OPTIONS,
            figures=figures,
            rows=None,
        )

    @routes.get("/usage/figures")
    def figures(request: Request) -> Response:
        """The part with the numbers, or nothing while it stands as the page has it."""
        session = pages.visitor(request, *REPORT_READERS)
        choices = usage.choices(request)
        if "hx-request" not in request.headers or choices.problems:
            return pages.go(request, f"/usage?{choices.query()}&whole=1")
        if still(request, usage.usage):
            return unchanged()
        return pages.show(
            request,
            "usage/figures.html",
            session,
            title="Usage",
            choices=choices,
            figures=_shown(usage, session.caller, choices),
        )

    _export(routes, pages, usage)
    return routes


def _export(routes: APIRouter, pages: Pages, usage: UsagePages) -> None:
    @routes.get("/usage/export/{form}")
    def export(request: Request, form: Literal["csv", "json"]) -> Response:
        """The table as a file."""
        session = pages.visitor(request, *REPORT_READERS)
        choices = usage.choices(request)
        if choices.problems:
            return pages.go(request, f"/usage?{choices.query()}")
        name = f"usage-{choices.start:%Y-%m-%d}-{choices.end - timedelta(days=1):%Y-%m-%d}.{form}"
        return Response(
            usage.export(session.caller, choices, form),
            media_type={"csv": "text/csv; charset=utf-8", "json": "application/json"}[form],
            headers={**HEADERS, "content-disposition": f'attachment; filename="{name}"'},
        )


_HEADINGS: Final = {
    **{group: f"By {title[0].lower()}{title[1:]}" for group, title in GROUPINGS.items()},
    "api_key": "By API key",
    "none": "In all",
}
OPTIONS: Final = {
    "period": PERIODS,
    "by": GROUPINGS,
    "status": {"": "Any", **STATUSES},
    "usage_source": {"": "Anybody", **SOURCES},
    "sandbox": SANDBOX,
}


def still(request: Request, usage: UsageRoutes) -> bool:
    """The part that asks is as of where the projections are."""
    known = request.query_params.get("known", "")
    return bool(known) and known == place_of(usage.projected().reached())


def place_of(as_of: Mapping[str, int]) -> str:
    """A position of the log as one word."""
    return ",".join(f"{store}:{seq}" for store, seq in as_of.items())


def unchanged() -> Response:
    """Tells htmx to leave the part as it is."""
    return Response(status_code=204, headers=dict(HEADERS))


def spans_of(choices: Choices) -> list[str]:
    """All hours, days or months of the period, as rows name them."""
    spans, at = [], choices.start
    while at < choices.end:
        spans.append(_span_text(at, choices.span))
        if choices.span == "month":
            at = (at.replace(day=1) + timedelta(days=32)).replace(day=1)
        else:
            at += timedelta(hours=1) if choices.span == "hour" else timedelta(days=1)
    return spans


def _span_text(at: datetime, span: str) -> str:
    text = instant_text(at)
    return {"hour": text[:13] + ":00Z", "day": text[:10], "month": text[:7]}[span]


def _shown(usage: UsagePages, caller: Caller, choices: Choices) -> dict[str, Any]:
    """What the template of the figures needs."""
    figures = usage.figures(caller, choices)
    rows = sorted(figures.report["rows"], key=lambda row: str(row[choices.span]), reverse=True)
    by = choices.by

    def name(row: JsonObject) -> str:
        return "All calls" if by is None else usage.names.of(by, row[by])

    grouped = [] if by is None else regrouped(figures.report, by)
    tag = f"By tag {choices['tag_name']}"
    return {
        "totals": figures.report["totals"],
        "grouped": [(name(row), row[by or ""], row) for row in grouped],
        "rows": [(row[choices.span], name(row), row) for row in rows[:ROWS_MAX]],
        "more": max(len(rows) - ROWS_MAX, 0),
        "latency": figures.latency,
        "chart": orjson.dumps(usage.chart(figures, choices)).decode(),
        "measures": MEASURES,
        "as_of": figures.report["as_of"],
        "place": place_of(figures.report["as_of"]),
        "title": tag if choices["by"] == "tag" else _HEADINGS[choices["by"]],
    }
