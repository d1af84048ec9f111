"""What was recorded of one request or credential, for people, and what it leads to."""

from __future__ import annotations

from collections.abc import Sequence

from domain.directory import CredentialView, Directory
from domain.eventlog.port import Recorded
from domain.events.base import JsonObject
from domain.events.codec import decode, read_line
from domain.ids import public_id
from pricing.book import Books
from pricing.receipt import receipt
from projections.rows import RequestState, fold


def event_json(recorded: Recorded) -> JsonObject:
    """An event as the API shows it: the members of its stored line, and its hash."""
    return {**read_line(recorded.line), "hash": recorded.hash}


def request_state(recorded: Sequence[Recorded]) -> RequestState | None:
    """What the events of a request lead to; None when they are not those of a request."""
    if not recorded or recorded[0].topic != "request.routed":
        return None
    return fold([(each, decode(each)) for each in recorded])


def request_trail(
    recorded: Sequence[Recorded], state: RequestState, books: Books, directory: Directory
) -> JsonObject:
    """The receipt of the effective usage, with `state` (open, settled, failed) and `events`."""
    credential = directory.credential(state.routed.credential_id)
    name = "settled" if state.used is not None else "failed" if state.failed else "open"
    shown = receipt(
        state.routed,
        state.used or state.failed,
        state.rated(books),
        request_id=public_id("req", recorded[0].originator_id),
        key_suffix=credential.key_suffix if credential is not None else "",
    )
    events = [event_json(each) for each in recorded]
    return {**shown, "state": name, "written_off": state.written_off, "events": events}


def credential_state(view: CredentialView) -> JsonObject:
    """What the events of a credential lead to."""
    return {
        "account_id": view.account_id,
        "provider": view.provider,
        "key_suffix": view.key_suffix,
        "status": "removed" if view.removed else view.status,
        "position": view.position,
        "models": None if view.models is None else sorted(view.models),
        "secret_version": view.secret_version,
    }
