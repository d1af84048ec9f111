"""Where everything stands, for whoever has to keep it standing."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

from collections.abc import Iterator, Sequence
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
    "follow": "takes in what other processes and commands decided; without it calls are refused",
    "prices": "takes in the prices that other processes published",
    "lease": "tells other processes that this one lives, so that nobody ends its calls",
    "relay": "publishes the log to Kafka",
    "distribution": "asks Kafka how far events have come",
    "tables": "finds the tables that other processes fill",
    "sweep": "ends the calls of processes that died",
    "vault": "destroys stored secrets that nothing uses",
    "project": "brings events into the tables that reports are read from",
    "rerate": "rates calls once their model has a price",
    "seal": "signs off the log at intervals, so that no past can be changed unseen",
}
"""Worker → what stops when it stops."""


_LETTERS: Final = "/operator/dead-letters"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that an operator should do something about."""

    tone: str
    """`bad`: something stands still or is wrong; `warn`: it will matter at the next close."""
    words: str
    path: str | None = None


def alarms(found: Standing, workers: Sequence[WorkerState]) -> list[Alarm]:
    """What is not as it should be, the worst first."""
    said = [*_of_workers(workers), *_of_tables(found)]
    return sorted(said, key=lambda alarm: alarm.tone)


def _of_workers(workers: Sequence[WorkerState]) -> Iterator[Alarm]:
    for each in workers:
        name = f"The worker “{each.name}”"
        if each.status == "failed":
            stopped = WORKERS.get(each.name, "has work of its own")
            yield Alarm("bad", f"{name} has failed: it {stopped}. Read its error, then restart.")
        elif each.status == "retrying":
            yield Alarm("warn", f"{name} cannot go on and tries again: {each.error}")


def _of_tables(found: Standing) -> Iterator[Alarm]:
    health = found.health
    if health is None:
        yield Alarm("warn", "The tables are not open: reports and invoices have to wait.")
        return
    if health.dead_letters:
        words = "could not be read. No period is closed before they are."
        yield Alarm("bad", _count(health.dead_letters, "event", words), _LETTERS)
    if health.conflicts:
        words = "came twice with other contents. No period is closed before that is settled."
        yield Alarm("bad", _count(health.conflicts, "event", words), _LETTERS)
    if found.lag > LAG_WARN:
        yield Alarm("warn", f"The tables are {found.lag:,} events behind the log.")
    if health.unrated:
        words = "without a price: nobody is charged for what has none."
        yield Alarm("warn", _count(health.unrated, "call", words), "/operator/unrated")
    if health.estimate_share > ESTIMATES_WARN:
        words = "More than one call in twenty of the last 24 hours is estimated."
        yield Alarm("warn", words, "/usage?period=today&by=usage_source")


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
            places=desk.places(),
            consumer_lag=desk.consumer_lag(),
            last_drift=desk.last_drift(),
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
