"""Was every call charged at the agreed rate? Each pins that rate and the version of its account."""

from __future__ import annotations

from collections.abc import Iterator

from domain.account import Account, Markup, markup_rate_at
from domain.clock import parse_instant
from domain.eventlog.history import history
from domain.eventlog.port import EventLog
from domain.events.codec import decode
from domain.events.requests import RequestRouted
from domain.ids import public_id


def unagreed_rates(
    log: EventLog, *, account_id: str | None = None
) -> Iterator[tuple[str, str, str]]:
    """(place, agreed, pinned) of every call whose rate is not that of its account's version."""
    agreed: dict[str, list[tuple[int, Markup]]] = {}
    for row in history(log, streams={"account", "request"}):
        if row.account_id is None or account_id not in {None, row.account_id}:
            continue
        if row.topic not in {Account.MarkupAgreed.TOPIC, RequestRouted.TOPIC}:
            continue
        event = decode(row)
        if isinstance(event, Account.MarkupAgreed):
            markup = Markup(event.rate, event.effective_from)
            agreed.setdefault(row.account_id, []).append((row.originator_version, markup))
        elif isinstance(event, RequestRouted):
            known = agreed.get(event.account_id, [])
            held = [markup for version, markup in known if version <= event.account_version]
            rate = markup_rate_at(held, parse_instant(event.price_at))
            if rate != event.markup_rate:
                request = public_id("req", row.originator_id)
                yield f"requests.{request}.markup_rate", rate, event.markup_rate
