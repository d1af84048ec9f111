"""Usage, fees and single calls: `/api/v1/usage` (API.md 5)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response

from api.auth import REPORT_READERS, Access, Caller
from api.errors import ApiError
from api.routes.report_schemas import Receipt, RequestList, UsageReport
from api.routes.schemas import ERRORS
from domain.clock import Clock, parse_instant
from domain.directory import Directory
from domain.errors import BadValue
from domain.eventlog.port import EventLog, Recorded
from domain.events.base import JsonObject
from domain.ids import parse_id
from pricing.book import Books
from projections.documents import json_bytes
from projections.projected import Projected
from projections.queries.filters import Filters, tag_of
from projections.queries.requests import LIMIT_DEFAULT, RequestsQuestion, request_list
from projections.queries.usage import UsageQuestion, groups_of, usage_csv, usage_report
from projections.rows import RequestState
from projections.trail import request_state, request_trail

_Text = Annotated[str | None, Query(max_length=256)]
_From = Annotated[str | None, Query(alias="from", max_length=40)]
_To = Annotated[str | None, Query(max_length=40)]


@dataclass(frozen=True, kw_only=True)
class UsageRoutes:
    """What the routes need, and the decisions that they share."""

    access: Access
    directory: Directory
    log: EventLog
    books: Books
    projected: Callable[[], Projected]
    """Raises ProjectionUnavailable while the projections are not open."""
    clock: Clock

    def period(self, start: str | None, end: str | None) -> tuple[datetime, datetime]:
        """The half-open period asked for; by default this month up to the end of today, UTC."""
        today = self.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        first = today.replace(day=1) if start is None else parse_instant(start, param="from")
        last = today + timedelta(days=1) if end is None else parse_instant(end, param="to")
        return first, last

    def reach(self, caller: Caller, filters: Filters, account: str | None) -> Filters:
        """The same filters over no more than the caller may see: callers see their own calls."""
        own = replace(filters, api_key=caller.key_id) if caller.role == "caller" else filters
        return own.of_account(self.access.reach(caller, account))

    def request(self, caller: Caller, request_id: str) -> JsonObject:
        """One call from the log itself: its receipt, its events and its state."""
        recorded, state = self.found(caller, request_id)
        return request_trail(recorded, state, self.books, self.directory)

    def found(self, caller: Caller, request_id: str) -> tuple[Sequence[Recorded], RequestState]:
        """The events of a call and what they lead to.

        Raises ApiError 404 for a call that the caller may not see or that is not there.
        """
        try:
            recorded = self.log.stream(parse_id("req", request_id))
        except BadValue:
            recorded = []
        state = request_state(recorded)
        if state is None or not self._may_see(caller, state):
            raise ApiError(404, "not_found", "There is no such request.")
        return recorded, state

    def _may_see(self, caller: Caller, state: RequestState) -> bool:
        if caller.sees_all_accounts:
            return True
        if caller.account_id != state.routed.account_id:
            return False
        return caller.role == "owner" or caller.key_id == state.routed.api_key_id


def router(usage: UsageRoutes) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/api/v1/usage", tags=["usage"], responses=ERRORS)
    reader = Depends(usage.access.allow(*REPORT_READERS))
    anybody = Depends(usage.access.allow("caller", "auditor", *REPORT_READERS))

    @routes.get("", responses={200: {"model": UsageReport, "content": {"text/csv": {}}}})
    def report(
        *,
        caller: Annotated[Caller, reader],
        filters: Annotated[Filters, Depends(_filters)],
        start: _From = None,
        to: _To = None,
        group_by: _Text = None,
        account: _Text = None,
        form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    ) -> Response:
        """Usage and fees of a period, grouped; rows add up to totals."""
        first, last = usage.period(start, to)
        question = UsageQuestion(
            start=first,
            end=last,
            group_by=groups_of(group_by),
            filters=usage.reach(caller, filters, account),
        )
        projected = usage.projected()
        answer = usage_report(projected.store, question, as_of=projected.reached())
        if form == "csv":
            return Response(usage_csv(answer), media_type="text/csv; charset=utf-8")
        return Response(json_bytes(answer), media_type="application/json")

    @routes.get("/requests", response_model=None, responses={200: {"model": RequestList}})
    def requests(
        *,
        caller: Annotated[Caller, reader],
        filters: Annotated[Filters, Depends(_filters)],
        start: _From = None,
        to: _To = None,
        account: _Text = None,
        after: _Text = None,
        limit: int = LIMIT_DEFAULT,
    ) -> JsonObject:
        """Calls that ended in a period, newest first, page by page."""
        first, last = usage.period(start, to)
        question = RequestsQuestion(
            start=first,
            end=last,
            filters=usage.reach(caller, filters, account),
            after=after,
            limit=limit,
        )
        projected = usage.projected()
        return request_list(projected.store, question, as_of=projected.reached())

    @routes.get("/requests/{request_id}", response_model=None, responses={200: {"model": Receipt}})
    def request(request_id: str, caller: Annotated[Caller, anybody]) -> JsonObject:
        """The receipt of one call and its events, from the log: there as soon as it ended."""
        return usage.request(caller, request_id)

    return routes


def _filters(
    *,
    provider: _Text = None,
    model: _Text = None,
    requested_model: _Text = None,
    credential: _Text = None,
    api_key: _Text = None,
    usage_source: _Text = None,
    status: _Text = None,
    sandbox: bool | None = None,
    tag: _Text = None,
) -> Filters:
    return Filters(
        provider=provider,
        model=model,
        requested_model=requested_model,
        credential=credential,
        api_key=api_key,
        usage_source=usage_source,
        status=status,
        sandbox=sandbox,
        tag=None if tag is None else tag_of(tag),
    )
