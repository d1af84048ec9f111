"""`python -m tests.torture.outages broker --seconds 600`: what an outage does, and how it ends.

broker, clickhouse: the service is killed, and comes back after so many seconds. disk, disk-sqlite:
the disk of the store is full for so many seconds. Callers call all the while.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.torture.callers import Callers, Seen
from tests.torture.chaos import Chaos
from tests.torture.disk import Disk
from tests.torture.embedded import Embedded
from tests.torture.provider import TorturedProvider
from tests.torture.scaled import Scaled
from tests.torture.torture import Order, Report, Torture

OUTAGES: Final = ("broker", "clickhouse", "disk", "disk-sqlite")
CALM_S: Final = 10.0
"""Under load, before and after."""
DRAIN_S: Final = 300.0
LEVEL: Final = 40
"""Events that are under way while calls go on."""
DISK_MB: Final = 400
OURS: Final = {"store_unavailable", "internal_error", "projection_unavailable", None}
"""Codes of errors that are not the provider's."""


@dataclass(frozen=True)
class Sample:
    """One look at the backlog, in seconds since the outage began."""

    at_s: float
    stored: int
    relayed: int
    projected: int

    @property
    def behind(self) -> int:
        """Events that are in the log and not in the tables."""
        return self.stored - max(0, self.projected)


@dataclass
class Outage:
    """What happens under load."""

    what: str
    seconds: float
    site: Scaled | Embedded
    disk: Disk | None = None
    samples: list[Sample] = field(default_factory=list)
    offsets: list[dict[int, int]] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0
    drained: float | None = None
    seen: dict[int, Seen] = field(default_factory=dict)

    def plot(self, chaos: Chaos, callers: Callers) -> None:
        """Calm, outage, drain, calm."""
        self.seen = callers.seen
        chaos.rest(CALM_S)
        self.began = time.time()
        self._begin()
        self._watch(chaos, until=self.began + self.seconds)
        self._end()
        self.ended = time.time()
        self._watch(chaos, until=self.ended + DRAIN_S, until_drained=True)
        chaos.rest(CALM_S)
        # Already now: the verdict over all books comes minutes later.
        sys.stderr.write("\n".join(["", self.text(), *self.findings(), ""]))

    def _begin(self) -> None:
        if self.disk is not None:
            self.disk.fill()
        else:
            assert isinstance(self.site, Scaled)
            name = "kafka" if self.what == "broker" else "clickhouse"
            self.site.process(name).kill(down_s=self.seconds)

    def _end(self) -> None:
        if self.disk is not None:
            self.disk.free()

    def _watch(self, chaos: Chaos, *, until: float, until_drained: bool = False) -> None:
        step_s = max(0.5, self.seconds / 60)
        while time.time() < until:
            chaos.rest(min(step_s, max(0.1, until - time.time())))
            if self.disk is not None and not until_drained and not self.disk.full:
                self.disk.fill()  # something gave room back
            sample = self._sample()
            if sample is None:
                if until_drained and isinstance(self.site, Embedded):
                    return
                continue
            self.samples.append(sample)
            if self.what == "clickhouse" and not until_drained and isinstance(self.site, Scaled):
                self.offsets.append(self.site.committed())
            level = sample.behind <= LEVEL and sample.projected >= 0
            if until_drained and level:
                self.drained = time.time()
                return

    def _sample(self) -> Sample | None:
        if not isinstance(self.site, Scaled):
            return None
        try:
            return Sample(time.time() - self.began, *self.site.backlog())
        except Exception:
            return None  # the database is the one that is away

    def inside(self) -> list[Seen]:
        """Calls that began and ended within the outage."""
        return [
            seen
            for seen in list(self.seen.values())  # callers still add to it
            if seen.began >= self.began and seen.ended is not None and seen.ended <= self.ended
        ]

    def findings(self) -> list[str]:
        """What must not be."""
        found = []
        if self.what in {"broker", "clickhouse"}:
            bad = [s for s in self.inside() if s.ending in {"torn", "refused"} or _ours(s)]
            found += [
                f"a caller was refused or cut off: {s.call.name} {s.ending} {s.code}" for s in bad
            ]
            if self.drained is None:
                found.append("the backlog did not drain")
        # The first look may still see a commit of what had been inserted before.
        later = self.offsets[2:]
        if later and any(each != later[0] for each in later):
            found.append(f"offsets advanced without tables: {later[0]} to {later[-1]}")
        return found

    def text(self) -> str:
        """What callers saw, and the curve."""
        counts = Counter(_word(seen) for seen in self.inside())
        lines = [f"{self.what} away for {self.ended - self.began:.0f} s; calls inside the outage:"]
        lines += [f"{n:>7}  {word}" for word, n in counts.most_common()]
        if self.samples:
            lines += ["", "   at s   stored  relayed  projected   behind"]
            lines += [
                f"{s.at_s:7.1f}  {s.stored:7}  {s.relayed:7}  {s.projected:9}  {s.behind:7}"
                for s in _thinned(self.samples, self.ended - self.began)
            ]
        if self.drained is not None and self.samples:
            behind = max(sample.behind for sample in self.samples)
            took = self.drained - self.ended
            lines.append(f"drained {behind} events in {took:.1f} s after its end")
        return "\n".join(lines)


def _thinned(samples: Sequence[Sample], end_s: float) -> list[Sample]:
    inside = [sample for sample in samples if sample.at_s <= end_s]
    step = max(1, len(inside) // 12)
    return inside[::step] + [sample for sample in samples if sample.at_s > end_s]


def _ours(seen: Seen) -> bool:
    return seen.ending == "error" and seen.code in OURS


def _word(seen: Seen) -> str:
    if seen.ending == "error":
        return f"error: {seen.code}"
    if seen.ending == "whole" and (seen.receipt or {}).get("status") == "pending":
        return "whole, receipt pending"
    return {"whole": "whole, with a receipt", "left": "left by the caller"}.get(
        seen.ending, seen.ending
    )


def endure(
    what: str, *, seconds: float, seed: int, folder: Path, callers: int
) -> tuple[Outage, Report]:
    """One outage."""
    with TorturedProvider(seed) as upstream:
        disk = Disk(DISK_MB) if what.startswith("disk") else None
        site: Scaled | Embedded
        if what == "disk-sqlite":
            site = Embedded(folder, upstream, seed=seed, disk=disk)
        else:
            site = Scaled(folder, upstream, seed=seed, disk=disk)
        outage = Outage(what, seconds, site, disk)
        order = Order(seed, callers=callers, period_s=max(30.0, seconds / 4))
        report = Torture(site, upstream, order, folder, plot=outage.plot).run()
        for text in outage.findings():
            report.verdict.say(f"without {what}", text)
        return outage, report


def main() -> int:
    """Endure what is named; exit code 1 if a promise broke."""
    parser = argparse.ArgumentParser(prog="make outages", description=__doc__)
    parser.add_argument("what", nargs="+", choices=OUTAGES)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--callers", type=int, default=6)
    args = parser.parse_args()
    good = True
    for what in args.what:
        folder = Path(tempfile.mkdtemp(prefix=f"outage-{what}-"))
        outage, report = endure(
            what, seconds=args.seconds, seed=args.seed, folder=folder, callers=args.callers
        )
        text = f"{outage.text()}\n\n{report.text()}\n\nlogs: {folder}\n"
        (folder / "report.txt").write_text(text)
        print(text)
        good = good and report.verdict.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
