"""A verdict that cannot fail is worth nothing: books with one fault each, and its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.e2e.plan import Json
from tests.e2e.upstream import Served
from tests.torture.books import Books, Entry
from tests.torture.callers import Seen
from tests.torture.calls import Call, call_of
from tests.torture.checks import (
    Verdict,
    Witness,
    check_calls,
    check_completeness,
    check_money,
    check_tail,
)
from tests.torture.oracle import Oracle, reported
from tests.torture.processes import Death, Process

SEED: Final = 1
AT: Final = "2026-11-23T12:00:00.000000Z"
PRICES: Final = (
    (
        b'{"n":1,"row":{"canonical":"m","id":"openai/m~1","model":"m","prices":{"cached_input":"1",'
        b'"input":"2","output":"3"},"provider":"openai",'
        b'"recorded_at":"2026-11-01T00:00:00.000000Z"}}'
    ),
)


def a_call() -> Call:
    """1000 tokens in, 400 of them cached, 100 out."""
    found = next(call for n in range(200, 9999) if (call := call_of(SEED, n)).behaviour == "whole")
    counts = replace(found.counts, input_tokens=1000, cached_input_tokens=400, output_tokens=100)
    counts = replace(counts, reasoning_tokens=0)
    return replace(found, provider="openai", model="m", account=0, counts=counts)


CALL: Final = a_call()
# (600 × 2 + 400 × 1 + 100 × 3) per million = 0.0019 USD, of which 5 % are the fee.
FEE: Final = "0.000095"


def event(version: int, topic: str, **data: Any) -> Json:
    return {
        "originator_id": "r",
        "originator_version": version,
        "topic": f"request.{topic}",
        "data": data,
    }


class Case:
    """One call that everybody agrees about."""

    def __init__(self) -> None:
        self.routed = event(1, "routed", tags={"call": CALL.name})
        self.used = event(2, "usage-reported", usage=reported(CALL.counts))
        invoice = {
            "topic": "invoice.issued",
            "data": {
                "account_id": "a",
                "fee_usd_exact": FEE,
                "number": "KT-2026-000001",
                "start": "1",
                "end": "2",
            },
        }
        entries = [Entry("s", seq, f"e{seq}", f"h{seq}") for seq in (1, 2, 3)]
        self.books = Books(
            list(entries),
            [self.routed, self.used, invoice],
            list(entries),
            list(entries),
            {"a": FEE, "b": "0", "c": "0"},
        )
        receipt = {"status": "priced", "usage": reported(CALL.counts)}
        self.seen = Seen(CALL, "p", 100.0, 101.0, "whole", 200, None, receipt)
        self.served = [Served("up", CALL.name, "openai", "m", True, 1000, 100, "whole")]
        self.deaths: list[Death] = []
        self.tail = [(each.store_id, each.seq, each.hash) for each in entries]

    def broken(self) -> set[str]:
        """The rules that the verdict names."""
        process = object.__new__(Process)
        process.name, process.deaths, process.stops = "p", self.deaths, []
        verdict = Verdict()
        witness = Witness({CALL.number: self.seen}, self.served, [process])
        check_completeness(self.books, verdict)
        oracle = Oracle({CALL.kind: _nothing()}, PRICES)
        fees = check_calls(self.books, witness, oracle, verdict, at=AT)
        check_money(self.books, fees, ["a", "b", "c"], verdict)
        check_tail(self.books, self.tail, verdict)
        return set(verdict.findings)


def _nothing() -> Any:
    return None


def test_books_that_agree_are_good() -> None:
    assert Case().broken() == set()


def lost(case: Case) -> None:
    case.books.events[1] = event(2, "failed", failure="process_lost")


def another_count(case: Case) -> None:
    case.used["data"]["usage"]["output_tokens"] += 1


def two_endings(case: Case) -> None:
    case.books.events.append(event(3, "failed", failure="timeout"))


def one_digit(case: Case) -> None:
    case.books.events[2]["data"]["fee_usd_exact"] = "0.000096"


def recorded_twice(case: Case) -> None:
    again = [{**each, "originator_id": "r2"} for each in (case.routed, case.used)]
    case.books.events += again


def refused_yet_served(case: Case) -> None:
    case.seen = replace(
        case.seen, ending="error", status=503, code="store_unavailable", receipt=None
    )


FAULTS: Final[dict[str, tuple[Callable[[Case], Any], str]]] = {
    "gap": (lambda case: case.books.store.pop(1), "dense in the store"),
    "relay skips": (lambda case: (case.books.topic or []).pop(), "in the topic too"),
    "projector skips": (lambda case: case.books.tables.pop(), "in the tables too"),
    "made up": (
        lambda case: case.books.tables.append(Entry("s", 4, "e4", "h4")),
        "in the tables too",
    ),
    "another payload": (
        lambda case: case.books.tables.append(Entry("s", 3, "e3", "other")),
        "in the tables too",
    ),
    "a row twice": (lambda case: case.books.tables.append(case.books.store[0]), "one row a line"),
    "lost for nothing": (lost, "lost only where a process died"),
    "seen whole and lost": (lost, "what was seen whole is not lost"),
    "another count": (another_count, "billed as served"),
    "another receipt": (another_count, "the receipt says what is billed"),
    "two endings": (two_endings, "one terminal event"),
    "recorded twice": (recorded_twice, "recorded once"),
    "forgotten": (lambda case: case.books.events.pop(1), "one terminal event"),
    "sent first": (lambda case: case.books.events.clear(), "a served call is in the books"),
    "one digit": (one_digit, "invoices give every digit"),
    "one digit of a row": (
        lambda case: case.books.fees.__setitem__("a", "0.000094"),
        "tables give every digit",
    ),
    "refused yet served": (refused_yet_served, "refused before the provider"),
    "a number missing": (
        lambda case: case.books.events[2]["data"].__setitem__("number", "KT-2026-000002"),
        "numbers without a gap",
    ),
    "a reader passed over": (lambda case: case.tail.pop(1), "a reader missed nothing"),
    "a reader behind": (lambda case: case.tail.pop(), "a reader missed nothing"),
    "dead letters": (lambda case: setattr(case.books, "dead_letters", 1), "no dead letters"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str) -> None:
    case = Case()
    plant, rule = FAULTS[fault]
    plant(case)
    assert rule in case.broken()


def test_what_waited_for_the_store_may_be_lost_with_its_process() -> None:
    case = Case()
    lost(case)
    case.books.fees = {}
    case.books.events[2]["data"]["fee_usd_exact"] = "0"
    # Postgres was away, the answer was given with a pending receipt, the proxy died 18 s later.
    case.seen = replace(case.seen, receipt={"status": "pending"})
    case.deaths = [Death("p", case.seen.began + 19.0, "kill")]
    assert case.broken() == set()


def test_what_died_with_its_process_may_be_lost() -> None:
    case = Case()
    lost(case)
    case.seen = replace(case.seen, ending="torn", receipt=None, status=None)
    case.books.fees = {}
    case.books.events[2]["data"]["fee_usd_exact"] = "0"
    case.deaths = [Death("p", 100.5, "kill")]
    assert case.broken() == set()
    case.deaths = [Death("p", 90.0, "kill")]
    assert case.broken() == {"lost only where a process died"}
