"""`python -m pricing.sources`: append to the price book what it lacks, from files at hand.

Offline and by hand; docs/pricing.md says where the files come from. Run again with the same
files it appends nothing.
"""

from __future__ import annotations

import argparse
import sys

from pricing.load import shipped_lines
from pricing.sources.refresh import append, edition_of, propose


def main(arguments: list[str]) -> int:
    """Append rows, names, sightings and deprecations; print what a person must decide."""
    parser = argparse.ArgumentParser(prog="python -m pricing.sources", description=__doc__)
    parser.add_argument("--source", action="append", type=edition_of, default=[], required=True)
    parser.add_argument("--at", required=True, help="instant to record, e.g. 2026-11-23")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    proposal = propose(options.source, at=options.at, lines=shipped_lines())
    if not options.dry_run:
        append(proposal)
    for provider, lines in proposal.appended.items():
        sys.stdout.write(f"{provider}: {len(lines)} lines\n")
    for title, items in (("left out", proposal.conflicts), ("settled", proposal.settled)):
        sys.stdout.write(f"\n{title}: {len(items)}\n" + "".join(f"- {item}\n" for item in items))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
