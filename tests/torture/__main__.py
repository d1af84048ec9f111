"""`python -m tests.torture --seed 7 --kills 300`: exit code 1 if a promise broke."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.embedded import Embedded
from tests.torture.provider import TorturedProvider
from tests.torture.scaled import Scaled
from tests.torture.site import Site
from tests.torture.torture import Order, Report, Torture


def main() -> int:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--topology", choices=("embedded", "scaled"), default="embedded")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--kills", type=int, help="end after so many kills (default 40)")
    parser.add_argument("--seconds", type=float, help="or after so many seconds")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--wait", type=float, default=0.8, help="mean seconds between two steps")
    parser.add_argument("--period", type=float, default=20.0, help="seconds of a billing period")
    parser.add_argument("--quiet", type=float, default=120.0, help="seconds to come to rest")
    parser.add_argument("--fault", default="", help="plant this fault (tests/torture/planted.py)")
    args = parser.parse_args()
    kills = args.kills if args.kills or args.seconds else 40
    order = Order(
        args.seed,
        kills=kills,
        seconds=args.seconds,
        callers=args.callers,
        wait_s=args.wait,
        period_s=args.period,
        quiet_s=args.quiet,
    )
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    report = run(order, folder, topology=args.topology, fault=args.fault)
    sys.stderr.write("\n")
    print(report.text())
    (folder / "report.txt").write_text(report.text() + "\n")
    (folder / "figures.json").write_text(json.dumps(report.verdict.figures, sort_keys=True))
    print(f"\nlogs, data and the list of steps: {folder}")
    if not report.verdict.good:
        print(f"replay: make torture ARGS='--topology {args.topology} --seed {order.seed} …'")
    return 0 if report.verdict.good else 1


def run(order: Order, folder: Path, *, topology: str, fault: str = "") -> Report:
    """One run in a folder."""
    with TorturedProvider(order.seed) as upstream:
        site = site_of(topology, folder, upstream, seed=order.seed, fault=fault)
        return Torture(site, upstream, order, folder).run()


def site_of(
    topology: str, folder: Path, upstream: TorturedProvider, *, seed: int, fault: str = ""
) -> Site:
    """`fault`: of the server, or `role=fault` in the scaled topology."""
    if topology == "embedded":
        return Embedded(folder, upstream, seed=seed, fault=fault)
    role, _, planted = fault.partition("=")
    return Scaled(folder, upstream, seed=seed, faults={role: planted} if planted else {})


if __name__ == "__main__":
    sys.exit(main())
