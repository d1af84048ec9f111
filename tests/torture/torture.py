"""One run: load, chaos, quiet, verdict."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.torture.books import Books
from tests.torture.callers import Callers
from tests.torture.calls import call_of, number_of, rehearsed
from tests.torture.chaos import Chaos, Step, hits, steps_of
from tests.torture.checks import (
    Verdict,
    Witness,
    check_calls,
    check_completeness,
    check_money,
    check_tail,
)
from tests.torture.closers import Closer, Periods, Tail
from tests.torture.oracle import Oracle, now_text, settled
from tests.torture.provider import TorturedProvider
from tests.torture.site import Site, Tenants

CLOSERS: Final = 2
CLOSED_AGAIN: Final = 6
"""Periods that are closed once more at the end, to see the same documents."""


@dataclass(frozen=True)
class Order:
    """How a run goes."""

    seed: int
    kills: int | None = None
    """End after so many deaths by our hand."""
    seconds: float | None = None
    callers: int = 8
    pause_s: float = 0.15
    """A caller's rest between two calls."""
    wait_s: float = 0.8
    """Mean time between two steps."""
    period_s: float = 20.0
    quiet_s: float = 120.0
    """How long all may take to come to rest."""
    steps: tuple[Step, ...] | None = None
    """To replay these and no others."""


@dataclass
class Report:
    """What a run gave."""

    order: Order
    verdict: Verdict
    hits: Counter[tuple[str, str]]
    steps: list[str]
    took_s: float
    complaints: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        """The table, the figures and the verdict."""
        rows = [
            f"{what:<12} {how:<40} {count:>6}" for (what, how), count in sorted(self.hits.items())
        ]
        figures = [f"{name:<42} {n:>8}" for name, n in sorted(self.verdict.figures.items()) if n]
        refused = [f"{n:>5} × {text}" for text, n in self.complaints.most_common(8)]
        return "\n".join(
            [
                f"seed {self.order.seed}, {self.took_s:.0f} s",
                *("", "what was hit, how, how often", *rows),
                *("", "what was found", *figures),
                *("", "why closers had to come again", *refused),
                *("", *self.verdict.lines()),
            ]
        )


Plot = Callable[[Chaos, Callers], None]


class Torture:
    """A run over one site."""

    def __init__(
        self,
        site: Site,
        upstream: TorturedProvider,
        order: Order,
        folder: Path,
        *,
        plot: Plot | None = None,
    ) -> None:
        """`plot` is what happens under load instead of the steps of the seed."""
        self._plot = plot
        self._site = site
        self._upstream = upstream
        self._order = order
        self._folder = folder
        self._log = folder / "steps.txt"

    def run(self) -> Report:
        """All of it. The site must not be open yet; it is closed at the end."""
        began = time.time()
        try:
            return self._run(began)
        finally:
            self._site.close()

    def _run(self, began: float) -> Report:
        site, order = self._site, self._order
        site.prepare()
        tenants = Tenants.settle_in(site)
        site.open()
        tenants.add_accounts(site)
        at = now_text()
        second = datetime.now(UTC).replace(microsecond=0)
        periods = Periods(second - timedelta(seconds=1), order.period_s)
        callers = Callers(
            order.seed,
            doors=site.doors,
            keys=tenants.keys,
            callers=order.callers,
            pause_s=order.pause_s,
        )
        callers.rehearse(len(rehearsed()))
        tail = Tail(site, tenants.roles["auditor"])
        closers = [Closer(site, periods) for _ in range(CLOSERS)]
        chaos = Chaos(site, self._steps(), self._say)
        callers.start()
        tail.start()
        for closer in closers:
            closer.start()
        started = time.time()
        site.tormented = True
        if self._plot is None:
            chaos.run(enough=lambda: self._enough(started))
        else:
            self._plot(chaos, callers)
        callers.stop()
        site.tormented = False
        chaos.heal()
        for closer in closers:
            closer.stop()
        verdict = Verdict()
        self._quiet(verdict)
        self._close_all(closers[0], periods, verdict)
        self._commands(closers, periods, verdict)
        prices = site.command("export", "prices").stdout.encode().splitlines()
        site.hush()
        self._quiet(verdict)
        tail.stop()
        tail.catch_up()
        books = site.books()
        self._judge(books, callers, prices, tenants, tail, verdict, at=at)
        return Report(
            order,
            verdict,
            hits(chaos.done, site),
            [str(each.step) for each in chaos.done],
            time.time() - began,
            sum((Counter(closer.complaints) for closer in closers), Counter()),
        )

    def _steps(self) -> Iterator[Step]:
        if self._order.steps is not None:
            return iter(self._order.steps)
        return steps_of(self._order.seed, wait_s=self._order.wait_s)

    def _enough(self, started: float) -> bool:
        order = self._order
        if order.seconds is not None and time.time() - started >= order.seconds:
            return True
        return order.kills is not None and self._kills() >= order.kills

    def _kills(self) -> int:
        deaths = [death for process in self._site.processes for death in process.deaths]
        deaths += self._site.deaths
        return sum(death.cause in {"kill", "point"} for death in deaths)

    def _say(self, text: str) -> None:
        with self._log.open("a") as file:
            file.write(f"{time.time():.2f} {text}\n")
        sys.stderr.write(f"\r{self._kills():5d} kills  {text:<90}"[:120])
        sys.stderr.flush()

    def _quiet(self, verdict: Verdict) -> None:
        """Until every call has ended and the books are level."""
        began = time.time()
        while (late := self._site.level()) is not None:
            if time.time() - began > self._order.quiet_s:
                verdict.say("comes to rest", late)
                return
            time.sleep(0.5)
        verdict.figures["seconds until all was level"] = round(time.time() - began)

    def _close_all(self, closer: Closer, periods: Periods, verdict: Verdict) -> None:
        """Every period up to now, so that each call is on an invoice."""
        deadline = time.time() + periods.length_s + self._order.quiet_s
        last = len(periods.over())
        while len(periods.over()) <= last:
            time.sleep(0.5)
        for number in range(last + 1):
            if periods.text(number) in closer.closed:
                continue
            while not closer.close(periods.text(number)):
                if time.time() > deadline:
                    verdict.say("periods can be closed", f"{periods.text(number)}")
                    break
                time.sleep(0.5)

    def _commands(self, closers: list[Closer], periods: Periods, verdict: Verdict) -> None:
        """What the program says of itself; and what it gave twice must be the same."""
        for words in (("verify", "--json"), ("drift", "--json"), ("replay", "--check", "--json")):
            done = self._site.command(*words)
            verdict.check(
                f"keytoll {words[0]}",
                done.returncode == 0,
                f"{done.stdout[-600:]}{done.stderr[-600:]}",
            )
        documents: dict[str, str] = {}
        for closer in closers:
            for identity, document in closer.documents.items():
                text = json.dumps(document, sort_keys=True)
                same = documents.setdefault(identity, text) == text
                verdict.check("regenerated bytes are the same", same, identity)
        again = Closer(self._site, periods)
        count = len(periods.over()) - 1
        for number in range(0, count, max(1, count // CLOSED_AGAIN)):
            again.close(periods.text(number))
        for identity, document in again.documents.items():
            text = json.dumps(document, sort_keys=True)
            same = documents.get(identity, text) == text
            verdict.check("regenerated bytes are the same", same, identity)

    def _judge(
        self,
        books: Books,
        callers: Callers,
        prices: Iterable[bytes],
        tenants: Tenants,
        tail: Tail,
        verdict: Verdict,
        *,
        at: str,
    ) -> None:
        seed = self._order.seed
        rehearsal = {}
        for events in books.requests().values():
            number = number_of(events[0]["data"]["tags"]["call"])
            if number < len(rehearsed()):
                rehearsal[call_of(seed, number).kind] = settled(events)
        witness = Witness(callers.seen, self._upstream.served, self._site.processes)
        verdict.figures["calls"] = len(callers.seen)
        verdict.figures["served"] = len({each.name for each in self._upstream.served})
        check_completeness(books, verdict)
        oracle = Oracle(rehearsal, list(prices))
        fees = check_calls(books, witness, oracle, verdict, at=at)
        check_money(books, fees, tenants.accounts, verdict)
        check_tail(books, tail.read, verdict)
        for process in self._site.processes:
            for death in process.deaths:
                verdict.check(
                    "nobody ends by itself",
                    death.cause != "own",
                    f"{process.name} {death.detail}",
                )
