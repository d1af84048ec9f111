"""The audit trail: what was recorded, whether it still is, and the history of a key."""

# No `from __future__ import annotations` here: FastAPI has to see what `router` closes over.

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.auth import Caller
from api.errors import ApiError
from api.routes.audit import EventFilter, Trail
from api.web.life import TITLES as OF_REQUESTS
from api.web.names import Names
from api.web.operations import Operations
from api.web.pages import HEADERS, Pages, page_route
from api.web.session import Session
from domain.errors import BadValue
from domain.eventlog.checkpoint import checkpoint_line
from domain.eventlog.port import Recorded, heads_of, stores_of
from domain.events.base import JsonObject
from domain.events.registry import EVENTS
from projections.trail import event_json

READERS: Final = ("owner", "auditor", "operator")
WHOLE: Final = ("auditor", "operator")
"""Who sees the log as a whole: checks it, and takes checkpoints away."""
LIMIT: Final = 50
CHECKPOINTS: Final = 20
TEXT_MAX: Final = 60
LINE_MAX: Final = 20_000
"""Characters of an event on a page; the whole line can be saved."""
TITLES: Final[Mapping[str, str]] = {
    **OF_REQUESTS,
    "store.opened": "A process began to write",
    "store.log-sealed": "The log was sealed",
    "account.opened": "Account opened",
    "account.suspended": "Account suspended",
    "account.resumed": "Account resumed",
    "account.api-key-issued": "API key issued",
    "account.api-key-revoked": "API key revoked",
    "account.markup-agreed": "Markup rate agreed",
    "account.tax-set": "Tax set",
    "account.routing-preferred": "Provider order or consent changed",
    "account.remainder-carried": "Remainder carried to the next invoice",
    "credential.key-added": "Key stored",
    "credential.key-checked": "Key checked",
    "credential.key-restricted": "Models of the key changed",
    "credential.key-reordered": "Place of the key changed",
    "credential.key-disabled": "Key disabled",
    "credential.key-enabled": "Key enabled",
    "credential.key-rotated": "Secret of the key replaced",
    "credential.key-removed": "Key removed, its secret destroyed",
    "price-book.published": "Price book published",
    "invoice.issued": "Invoice issued",
    "invoice.credit-note-issued": "Credit note issued",
    "invoice.paid": "Invoice paid",
    "invoice.voided": "Invoice voided",
}
_PREFIXES: Final = {"account": "acc", "credential": "cred", "request": "req"}
_SEQ: Final = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address asks for, and what is wrong with it."""

    account: str
    stream: str
    topic: str
    after: str
    before: str
    wanted: EventFilter | None
    """None where something is wrong."""
    problems: Mapping[str, str]

    @classmethod
    def of(cls, request: Request, caller: Caller) -> "Asked":
        """Read the query; an owner's filter is on the own account, whatever it says."""
        names = ("account", "stream", "topic", "after", "before")
        given = {name: request.query_params.get(name, "").strip()[:TEXT_MAX] for name in names}
        if not caller.sees_all_accounts:
            given["account"] = caller.account_id
        filters = {name: given[name] or None for name in ("account", "stream", "topic")}
        try:
            return cls(**given, wanted=EventFilter(**filters), problems={})
        except BadValue as error:
            said = {
                "stream": "Enter a whole id, such as req_ or cred_ and 32 signs after it.",
                "topic": "Choose a kind of event from the list.",
            }
            param = str(error.param)
            return cls(**given, wanted=None, problems={param: said.get(param, str(error))})


class AuditPages:
    """What the routes about events share."""

    def __init__(self, trail: Trail, names: Names) -> None:
        self.trail = trail
        self.names = names

    def listed(self, asked: Asked) -> JsonObject:
        """One page of events, and where the next one begins."""
        if asked.wanted is None:
            return {"events": [], "next": None}
        if asked.after:
            return self.trail.events(asked.after, LIMIT, asked.wanted)
        return self.trail.newest(asked.before or None, LIMIT, asked.wanted)

    def accounts(self, caller: Caller) -> Mapping[str, str]:
        """Those to choose from; none for who has only one."""
        return self.names.choices(caller, None)["account"] if caller.sees_all_accounts else {}

    def event(self, caller: Caller, store_id: str, seq: str) -> Recorded:
        """Raises ApiError 404, also for an event that the caller may not know of."""
        recorded = self.trail.event(store_id, int(seq) if _SEQ.fullmatch(seq) else 0)
        if not _may_see(caller, recorded.account_id):
            raise ApiError(404, "not_found", "There is no such event.")
        return recorded

    def row(self, event: JsonObject) -> dict[str, Any]:
        """An event with its words, the public id of its stream, and what it is about."""
        kind = event["topic"].partition(".")[0]
        prefix = _PREFIXES.get(kind)
        public_id = f"{prefix}_{event['originator_id'].replace('-', '')}" if prefix else None
        return {
            **event,
            "kind": kind,
            "title": TITLES.get(event["topic"], event["topic"]),
            "public_id": public_id,
            "about": self._about(kind, public_id, event["data"]),
        }

    def _about(self, kind: str, public_id: str | None, data: JsonObject) -> str:
        if kind == "credential":
            return self.names.credential(str(public_id))
        if kind == "account":
            return self.names.account(str(public_id))
        if kind == "request" and "requested_model" in data:
            return f"{data['provider']} {data['requested_model']}"
        return str(data.get("number", "") if kind == "invoice" else public_id or "")


def router(pages: Pages, operations: Operations) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/audit", route_class=page_route(pages), include_in_schema=False)
    desk = AuditPages(operations.trail, Names(operations.provider_keys))
    _add_events(routes, pages, desk)
    _add_one_event(routes, pages, desk)
    _add_credential(routes, pages, desk)
    _add_proofs(routes, pages, operations)
    return routes


def _add_events(routes: APIRouter, pages: Pages, desk: AuditPages) -> None:
    @routes.get("")
    def events(request: Request) -> Response:
        """The newest events, or with `after` those that were recorded from there on."""
        session = pages.visitor(request, *READERS)
        asked = Asked.of(request, session.caller)
        listed = desk.listed(asked)
        oldest = stores_of(desk.trail.log)[0]
        return pages.show(
            request,
            "audit/events.html",
            session,
            status=400 if asked.problems else 200,
            title="Audit",
            asked=asked,
            listed=listed,
            rows=[desk.row(each) for each in listed["events"]],
            accounts=desk.accounts(session.caller),
            topics=_topics(),
            first=f"{oldest.store_id}:0",
            whole=session.caller.role in WHOLE,
        )


def _add_one_event(routes: APIRouter, pages: Pages, desk: AuditPages) -> None:
    @routes.get("/events/{store_id}/{seq}")
    def event(request: Request, store_id: str, seq: str) -> Response:
        """One event: its data, its line and its hash."""
        session = pages.visitor(request, *READERS)
        recorded = desk.event(session.caller, store_id, seq)
        line = recorded.line.decode()
        data = orjson.dumps(event_json(recorded)["data"], option=orjson.OPT_INDENT_2).decode()
        return pages.show(
            request,
            "audit/event.html",
            session,
            title=f"Event {recorded.seq}",
            row=desk.row(event_json(recorded)),
            line=line[:LINE_MAX],
            data=data[:LINE_MAX],
            cut=max(len(line), len(data)) > LINE_MAX,
            names=desk.names,
        )

    @routes.get("/events/{store_id}/{seq}/line")
    def line(request: Request, store_id: str, seq: str) -> Response:
        """The bytes that were hashed."""
        session = pages.visitor(request, *READERS)
        recorded = desk.event(session.caller, store_id, seq)
        return _saved(
            Response(recorded.line, media_type="application/json"),
            f"{recorded.store_id}-{recorded.seq}.json",
        )


def _add_credential(routes: APIRouter, pages: Pages, desk: AuditPages) -> None:
    @routes.get("/credentials/{credential_id}")
    def credential(request: Request, credential_id: str) -> Response:
        """The history of a provider key."""
        session = pages.visitor(request, *READERS)
        view = desk.trail.directory.credential(credential_id)
        if view is None or not _may_see(session.caller, view.account_id):
            raise ApiError(404, "not_found", "There is no such key.")
        found = desk.trail.credential(credential_id)
        return pages.show(
            request,
            "audit/credential.html",
            session,
            title="History of a key",
            credential_id=credential_id,
            state=found["state"],
            rows=[desk.row(each) for each in found["events"]],
            name=desk.names.credential(credential_id),
            names=desk.names,
        )


def _add_proofs(routes: APIRouter, pages: Pages, operations: Operations) -> None:
    trail, verification = operations.trail, operations.verification

    @routes.get("/proof")
    def proof(request: Request) -> Response:
        """Whether the log is what it was, and the checkpoints to check that elsewhere."""
        session = pages.visitor(request, *WHOLE)
        return pages.show(
            request,
            "audit/proof.html",
            session,
            title="Is the log what it was?",
            run=verification.last,
            total=_total(trail),
            checkpoints=trail.newest_checkpoints(CHECKPOINTS),
        )

    def progress(request: Request, session: Session) -> Response:
        return pages.show(
            request,
            "audit/verification.html",
            session,
            title="Verification",
            run=verification.last,
            total=_total(trail),
        )

    @routes.get("/verification")
    def verified(request: Request) -> Response:
        """How far the verification is, or what it found."""
        session = pages.visitor(request, *WHOLE)
        if "hx-request" not in request.headers:
            return pages.go(request, "/audit/proof")
        return progress(request, session)

    @routes.post("/verification")
    async def verify(request: Request) -> Response:
        """Begin, unless one runs."""
        session, _ = await pages.form(request, *WHOLE)
        verification.start()
        if "hx-request" not in request.headers:
            return pages.go(request, "/audit/proof")
        return progress(request, session)

    @routes.get("/checkpoints")
    def checkpoints(request: Request) -> Response:
        """All checkpoints as `keytoll verify --checkpoint` reads them."""
        pages.visitor(request, *WHOLE)
        lines = (checkpoint_line(each) for each in trail.all_checkpoints())
        return _saved(
            StreamingResponse(lines, media_type="application/x-ndjson"), "keytoll.checkpoints"
        )


def _may_see(caller: Caller, account_id: str | None) -> bool:
    return caller.role in WHOLE or account_id == caller.account_id


def _topics() -> dict[str, list[str]]:
    """First part → the topics with it."""
    found: dict[str, list[str]] = {}
    for topic in sorted(EVENTS):
        found.setdefault(topic.partition(".")[0], []).append(topic)
    return found


def _total(trail: Trail) -> int:
    return sum(heads_of(trail.log).values())


def _saved(response: Response, name: str) -> Response:
    response.headers.update(HEADERS)
    response.headers["content-disposition"] = f'attachment; filename="{name}"'
    return response
