"""The verdict: every promise of BILLING.md 5, from the books, the provider and the callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.e2e.plan import Json
from tests.e2e.upstream import Served
from tests.recompute.second_rating import plain, scaled
from tests.torture.books import Books, Entry
from tests.torture.callers import Seen
from tests.torture.calls import number_of
from tests.torture.oracle import FEE, Oracle, Settled, settled
from tests.torture.processes import Process

SLACK_S: Final = 1.0
"""Clocks of two threads, and the time from a process's death to its reader's notice of it."""
PROGRAM_SLACK_S: Final = 30.0
"""What a call may take after its caller has left: the provider's longest answer and its storing."""
SHOWN_MAX: Final = 12


@dataclass
class Verdict:
    """Findings by rule; none is the aim."""

    findings: dict[str, list[str]] = field(default_factory=dict)
    figures: Counter[str] = field(default_factory=Counter)

    def say(self, rule: str, text: str) -> None:
        self.findings.setdefault(rule, []).append(text)

    def check(self, rule: str, holds: bool, text: str) -> None:
        if not holds:
            self.say(rule, text)

    @property
    def good(self) -> bool:
        return not self.findings

    def lines(self) -> list[str]:
        found = []
        for rule, texts in sorted(self.findings.items()):
            found.append(f"BROKEN {rule}: {len(texts)} times")
            found += [f"    {text}" for text in texts[:SHOWN_MAX]]
        return found or ["everything holds"]


def check_completeness(books: Books, verdict: Verdict) -> None:
    """Dense in each book, and the same events with the same bytes in all of them."""
    store = set(books.store)
    seqs: dict[str, list[int]] = {}
    for entry in books.store:
        seqs.setdefault(entry.store_id, []).append(entry.seq)
    for store_id, found in seqs.items():
        dense = sorted(found) == list(range(1, len(found) + 1))
        verdict.check("dense in the store", dense, f"{store_id}: {_gaps(found)}")
    for name, book in (("topic", books.topic), ("tables", books.tables)):
        if book is None:
            continue
        others = set(book)
        for entry in sorted(store - others)[:SHOWN_MAX]:
            verdict.say(f"in the {name} too", f"missing: {entry}")
        for entry in sorted(others - store)[:SHOWN_MAX]:
            verdict.say(f"in the {name} too", f"not in the store: {entry}")
    if books.topic is not None:
        check_order(books.topic, verdict)
    verdict.check("one row a line", len(books.tables) == len(set(books.tables)), "rows twice")
    verdict.check("no dead letters", not books.dead_letters, str(books.dead_letters))
    verdict.check("no conflicts", not books.conflicts, str(books.conflicts))
    verdict.figures["events"] = len(books.store)
    verdict.figures["records in the topic"] = len(books.topic or ())


def check_order(topic: Sequence[Entry], verdict: Verdict) -> None:
    """Of the records of one partition, first appearances are in the order of their store.

    Not asked: old records that the harness itself put in again come after their first appearance.
    """
    verdict.figures["records more than once"] = len(topic) - len(set(topic))


def _gaps(seqs: Sequence[int]) -> str:
    found, whole = set(seqs), set(range(1, max(seqs) + 1))
    twice = [seq for seq, count in Counter(seqs).items() if count > 1]
    return f"missing {sorted(whole - found)[:SHOWN_MAX]}, twice {twice[:SHOWN_MAX]}"


@dataclass(frozen=True)
class Witness:
    """What is known from outside."""

    seen: Mapping[int, Seen]
    served: Sequence[Served]
    processes: Sequence[Process]

    def disturbed(self, seen: Seen, *, causes: set[str]) -> bool:
        """The process that served the call died so (or stood still) while the call was running."""
        # A call whose ending could not be stored yet is in flight until it is.
        over = seen.ending == "whole" and not seen.pending
        end = (seen.ended or seen.began) + (0.0 if over else PROGRAM_SLACK_S)
        for process in self.processes:
            if process.name != seen.proxy:
                continue
            for death in process.deaths:
                inside = seen.began - SLACK_S <= death.at <= end + SLACK_S
                if inside and death.cause in causes:
                    return True
        return False


def check_calls(
    books: Books, witness: Witness, oracle: Oracle, verdict: Verdict, *, at: str
) -> list[int]:
    """Each call against what the provider served and its caller saw; gives each account's fee."""
    streams: dict[str, list[list[Json]]] = {}
    for events in books.requests().values():
        first = events[0]
        name = first["data"].get("tags", {}).get("call", "?")
        verdict.check(
            "begins with its routing", first["topic"] == "request.routed", f"{name}: {first}"
        )
        streams.setdefault(name, []).append(events)
    served = {each.name for each in witness.served}
    for name in sorted(served - streams.keys()):
        verdict.say("a served call is in the books", name)
    fees = [0, 0, 0]
    for name, found in streams.items():
        seen = witness.seen.get(number_of(name))
        if seen is None:
            verdict.say("somebody called", name)
            continue
        verdict.check("recorded once", len(found) == 1, f"{name}: {len(found)} requests")
        _check_stream(name, found[0], verdict)
        end = settled(found[0])
        fees[seen.call.account] += _check_call(
            seen, end, name in served, witness, oracle, verdict, at=at
        )
    _check_refusals(witness, served, verdict)
    return fees


def _check_stream(name: str, events: Sequence[Json], verdict: Verdict) -> None:
    versions = [event["originator_version"] for event in events]
    dense = versions == list(range(1, len(versions) + 1))
    verdict.check("versions are dense", dense, f"{name}: {versions}")
    ends = [e for e in events if e["topic"] in _TERMINAL]
    verdict.check("one terminal event", len(ends) == 1, f"{name}: {[e['topic'] for e in events]}")


_TERMINAL: Final = {"request.usage-reported", "request.usage-estimated", "request.failed"}


def _check_call(
    seen: Seen,
    end: Settled,
    served: bool,
    witness: Witness,
    oracle: Oracle,
    verdict: Verdict,
    *,
    at: str,
) -> int:
    """One call; gives its fee as the oracle reckons it."""
    name, figures = seen.call.name, verdict.figures
    figures[f"ended as {end.failure or end.topic}"] += 1
    figures[f"seen {seen.ending}"] += 1
    pending = seen.pending
    if end.failure == "process_lost":
        figures["lost"] += 1
        died = witness.disturbed(seen, causes={"kill", "point", "own"})
        verdict.check("lost only where a process died", died, f"{name}: {_shown(seen)}")
        whole = seen.ending == "whole" and not pending
        verdict.check("what was seen whole is not lost", not whole, f"{name}: {_shown(seen)}")
        return 0
    if not served:
        verdict.check("unserved is unbilled", end.usage is None, f"{name}: {end}")
        return 0
    stopped = witness.disturbed(seen, causes={"stop"})
    stayed = not stopped and seen.ending in {"whole", "error"}
    objection = oracle.objection(seen.call, end, stayed=stayed)
    verdict.check("billed as served", objection is None, f"{name}: {objection} {_shown(seen)}")
    if seen.ending == "whole" and seen.receipt is not None and not pending:
        _check_receipt(seen, end, verdict)
    usage = oracle.usage(seen.call, end, stayed=stayed)
    fee = oracle.fee(seen.call, usage, at)
    figures["billed"] += end.usage is not None
    return fee


def _check_receipt(seen: Seen, end: Settled, verdict: Verdict) -> None:
    receipt = seen.receipt or {}
    shown = {unit: n for unit, n in (receipt.get("usage") or {}).items() if n}
    verdict.check(
        "the receipt says what is billed", shown == (end.counts or {}), f"{seen.call.name}: {shown}"
    )


def _check_refusals(witness: Witness, served: set[str], verdict: Verdict) -> None:
    """Who was told that nothing was sent must not find it in the provider's book."""
    for seen in witness.seen.values():
        code = seen.code or seen.status
        verdict.figures[f"answered {code}"] += seen.ending == "error"
        refused = seen.ending == "refused" or seen.code == "store_unavailable"
        verdict.check(
            "refused before the provider", not (refused and seen.call.name in served), _shown(seen)
        )
        if seen.ending == "error" and seen.code is None:
            verdict.say("errors have a code", _shown(seen))
        if seen.code == "internal_error":
            verdict.say("no internal error", _shown(seen))


def check_money(
    books: Books, fees: Sequence[int], accounts: Sequence[str], verdict: Verdict
) -> None:
    """Invoices and tables against the oracle's fees, digit by digit."""
    for account, fee in zip(accounts, fees, strict=True):
        invoices = [e["data"] for e in books.invoices() if e["data"]["account_id"] == account]
        billed = sum(scaled(each["fee_usd_exact"], FEE) for each in invoices)
        verdict.check(
            "invoices give every digit",
            billed == fee,
            f"{account}: invoices {plain(billed, FEE)}, the oracle {plain(fee, FEE)}",
        )
        rows = scaled(books.fees.get(account, "0"), FEE)
        verdict.check(
            "tables give every digit",
            rows == fee,
            f"{account}: tables {plain(rows, FEE)}, the oracle {plain(fee, FEE)}",
        )
    verdict.figures["invoices"] = len(books.invoices())
    numbers = [event["data"]["number"] for event in books.invoices()]
    expected = [f"{n:06d}" for n in range(1, len(numbers) + 1)]
    found = sorted(number.rpartition("-")[2] for number in numbers)
    verdict.check("numbers without a gap", found == expected, str(numbers))
    periods = Counter(
        (e["data"]["account_id"], e["data"]["start"], e["data"]["end"]) for e in books.invoices()
    )
    twice = [key for key, count in periods.items() if count > 1]
    verdict.check("one invoice a period", not twice, str(twice))


def check_tail(books: Books, tail: Sequence[tuple[str, int, str]], verdict: Verdict) -> None:
    """A reader that followed all the while has seen each event once, in order."""
    found = list(tail)
    expected = [(each.store_id, each.seq, each.hash) for each in books.store]
    verdict.check(
        "a reader missed nothing", found == expected[: len(found)], _difference(found, expected)
    )
    verdict.check(
        "a reader missed nothing",
        len(found) >= len(expected),
        f"{len(found)} of {len(expected)} were read",
    )


def _difference(
    found: Sequence[tuple[str, int, str]], expected: Sequence[tuple[str, int, str]]
) -> str:
    for position, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return f"event {position + 1}: read {one}, recorded {other}"
    return "more was read than recorded"


def _shown(seen: Seen) -> str:
    ended = "?" if seen.ended is None else f"{seen.ended - seen.began:.2f} s"
    return (
        f"{seen.call.name} {seen.call.kind} at {seen.proxy}: {seen.ending} {seen.status}"
        f" {seen.code} after {ended}, began {seen.began:.2f}"
    )
