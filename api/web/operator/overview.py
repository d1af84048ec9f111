"""Where everything stands, for whoever has to keep it standing."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.web.desk import WorkerState
from api.web.operations import Operations
from api.web.pages import Pages, page_route, wants_part
from projections.standing import Standing

LAG_WARN: Final = 10_000
"""Events behind: as many as are projected in one batch."""
ESTIMATES_WARN: Final = 0.05
"""Of the last day's calls: more than one in twenty estimated is worth a look."""
WORKERS: Final = {
    "project": "brings events into the tables that reports are read from",
    "rerate": "rates calls once their model has a price",
    "seal": "signs off the log at intervals, so that no past can be changed unseen",
}
"""Worker → what stops when it stops."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that an operator should do something about."""

    tone: str
    """`bad`: something stands still or is wrong; `warn`: it will matter at the next close."""
    words: str
    path: str | None = None


def alarms(found: Standing, workers: list[WorkerState]) -> list[Alarm]:
    """What is not as it should be, the worst first."""
    said = [
        Alarm(
            "bad",
            f"The worker “{each.name}” has failed: it {WORKERS.get(each.name, 'stopped')}."
            f" Restart keytoll after reading its error.",
        )
        if each.status == "failed"
        else Alarm("warn", f"The worker “{each.name}” cannot go on and tries again: {each.error}")
        for each in workers
        if each.status in {"failed", "retrying"}
    ]
    if found.health is None:
        said.append(Alarm("warn", "The tables are not open: reports and invoices have to wait."))
        return said
    if found.health.dead_letters:
        said.append(
            Alarm(
                "bad",
                _count(
                    found.health.dead_letters,
                    "event",
                    "could not be read. No period is closed before they are.",
                ),
                "/operator/dead-letters",
            )
        )
    if found.health.conflicts:
        said.append(
            Alarm(
                "bad",
                _count(
                    found.health.conflicts,
                    "event",
                    "came twice with different"
                    " contents. No period is closed before that is settled.",
                ),
                "/operator/dead-letters",
            )
        )
    if found.lag > LAG_WARN:
        said.append(Alarm("warn", f"The tables are {found.lag:,} events behind the log."))
    if found.health.unrated:
        said.append(
            Alarm(
                "warn",
                _count(
                    found.health.unrated,
                    "call",
                    "without a price: nobody is charged for what has none.",
                ),
                "/operator/unrated",
            )
        )
    if found.health.estimate_share > ESTIMATES_WARN:
        said.append(
            Alarm(
                "warn",
                "More than one call in twenty of the last 24 hours is estimated:"
                " look which provider reports no usage.",
                "/usage",
            )
        )
    return sorted(said, key=lambda alarm: alarm.tone)


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(route_class=page_route(pages), include_in_schema=False)
    desk = operations.desk

    @routes.get("/operator")
    def overview(request: Request) -> Response:
        """Health and lag, as the metrics and `keytoll status` tell them."""
        session = pages.visitor(request, "operator")
        workers = list(desk.workers())
        found = desk.standing()
        return pages.show(
            request,
            "operator/overview.html",
            session,
            title="Operator",
            standing=found,
            alarms=alarms(found, workers),
            workers=workers,
            meanings=WORKERS,
            book=operations.usage.books.current,
            drift=desk.drift.last,
        )

    @routes.get("/operator/drift")
    def drift(request: Request) -> Response:
        """How the comparison is getting on; asked again while it runs."""
        session = pages.visitor(request, "operator")
        return pages.show(
            request, "operator/drift.html", session, title="Drift", drift=desk.drift.last
        )

    @routes.post("/operator/drift")
    async def compare(request: Request) -> Response:
        """Begin a comparison."""
        session, _ = await pages.form(request, "operator")
        desk.drift.start()
        if not wants_part(request):
            return pages.go(request, "/operator")
        return pages.show(
            request, "operator/drift.html", session, title="Drift", drift=desk.drift.last
        )

    return routes


def _count(number: int, noun: str, rest: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'} {rest}"
