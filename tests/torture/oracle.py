"""What must be in the books: from the provider's own count, in whole numbers.

It knows the seed, what the provider served, the exported price list and the rates that were
agreed, and nothing that the program recorded about a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from tests.e2e.plan import Json
from tests.recompute.second_rating import Book, rate_request, scaled
from tests.torture.calls import Call, Counts
from tests.torture.site import MARKUPS

FEE: Final = 24
Usage = dict[str, int]
Kind = tuple[str, str, str, bool]


@dataclass(frozen=True)
class Settled:
    """How a call ended in the books."""

    topic: str
    """Of the event whose usage counts, or of the failure."""
    usage: tuple[tuple[str, int], ...] | None
    failure: str | None = None

    @property
    def counts(self) -> Usage | None:
        return None if self.usage is None else dict(self.usage)


def settled(events: Sequence[Json]) -> Settled:
    """The state that the events of one request lead to."""
    uses = [event for event in events if "usage" in event["data"]]
    if uses:
        usage = {unit: count for unit, count in uses[-1]["data"]["usage"].items() if count}
        topic = uses[-1]["topic"].removeprefix("request.")
        return Settled(topic, tuple(sorted(usage.items())))
    last = events[-1]
    return Settled(
        last["topic"].removeprefix("request."), None, failure=last["data"].get("failure")
    )


def reported(counts: Counts) -> Usage:
    """The usage of a call that was reported in full."""
    return {unit: count for unit, count in asdict(counts).items() if count}


class Oracle:
    """Says how a call may have ended."""

    def __init__(self, rehearsal: Mapping[Kind, Settled], prices: Sequence[bytes]) -> None:
        """`rehearsal`: how each kind without a report was settled in peace."""
        self._rehearsal = rehearsal
        self._book = Book(prices)

    def objection(self, call: Call, found: Settled, *, stayed: bool) -> str | None:
        """What is wrong with how a served call ended; None: nothing.

        `stayed`: the caller read on, and the process was not asked to stop meanwhile. Else the
        call may have been settled on what had come until then, but never on more.
        """
        if call.behaviour in {"whole", "left"}:
            usage = reported(self._reported(call, found))
            if found.counts == usage and found.topic in {"usage-reported", "usage-corrected"}:
                return None
            if stayed and call.behaviour == "whole":
                return f"must be billed as {usage}, and is {found}"
            return self._exceeds(call, found)
        expected = self._expected(call)
        same = found.counts == expected.counts and found.failure == expected.failure
        late = expected.usage is not None and found.topic == "usage-corrected"
        if same and (found.topic == expected.topic or late):
            return None
        if stayed:
            return f"ended as {found}, in peace as {expected}"
        return self._exceeds(call, found)

    def _expected(self, call: Call) -> Settled:
        """As in peace. Messages report the prompt at the beginning of a stream, so that it is
        known, and differs from call to call, however the stream ends."""
        found = self._rehearsal[call.kind]
        begun = call.provider == "anthropic" and call.stream and call.behaviour != "silent"
        if found.counts is None or not begun:
            return found
        counts = asdict(call.counts)
        prompt = {unit: counts[unit] for unit in ("input_tokens", "cached_input_tokens")}
        usage = {unit: n for unit, n in {**found.counts, **prompt}.items() if n}
        return Settled(found.topic, tuple(sorted(usage.items())))

    def _reported(self, call: Call, found: Settled) -> Counts:
        """Messages report no reasoning tokens."""
        if call.provider == "anthropic":
            counts = asdict(call.counts) | {"reasoning_tokens": 0}
            return Counts(**counts)
        return call.counts

    def _exceeds(self, call: Call, found: Settled) -> str | None:
        """An answer that was cut short may be billed in part, or not at all."""
        if found.counts is None:
            return None
        whole = self._rehearsal[call.provider, call.model, "silent", call.stream].counts
        assert whole is not None
        for unit, count in found.counts.items():
            most = max(whole.get(unit, 0), reported(call.counts).get(unit, 0))
            if count > most:
                return f"{unit} {count} exceeds what was served ({most})"
        return None

    def usage(self, call: Call, found: Settled, *, stayed: bool) -> Usage | None:
        """What is billed, by the oracle's own count wherever that is certain."""
        if found.counts is None:
            return None
        exact = reported(self._reported(call, found))
        if call.behaviour in {"whole", "left"}:
            return exact if stayed and call.behaviour == "whole" else found.counts
        return self._expected(call).counts if stayed else found.counts

    def fee(self, call: Call, usage: Usage | None, at: str) -> int:
        """Whole number of 10^-24 USD; 0 where no price is known."""
        if usage is None:
            return 0
        return self._amount(call.provider, call.model, tuple(sorted(usage.items())), at) * scaled(
            MARKUPS[call.account], 6
        )

    @cache  # noqa: B019 - one oracle a run
    def _amount(
        self, provider: str, model: str, usage: tuple[tuple[str, int], ...], at: str
    ) -> int:
        routed = {
            "provider": provider,
            "upstream_model": model,
            "price_at": at,
            "reference_setting": "same-provider-first",
        }
        used: Json = {
            "model": model,
            "usage": dict(usage),
            "context": {},
            "parts": [],
            "provider_cost": None,
        }
        rated = rate_request(self._book, routed, used)
        return rated.amount or 0


def now_text() -> str:
    """The instant by which all calls of a run are priced: no price of its models changes today."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
