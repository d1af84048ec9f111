"""`python -m pricing.sources`: tables about the price book, in Markdown.

    coverage --source NAME=PATH@DAY …   models priced, free and unpriced, beside the sources'
    free [--source …]                   whose price a free model is charged by, and why not
    names MODELS_DEV_JSON               how well the rules for canonical names do

`keytoll prices refresh` appends what the sources know and the book does not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from domain.clock import parse_instant
from pricing.load import shipped_book, shipped_names
from pricing.sources.gold import names_table
from pricing.sources.refresh import edition_of
from pricing.sources.tables import coverage_table, free_models, free_table


def main(arguments: list[str]) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(
        prog="python -m pricing.sources",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tables = parser.add_subparsers(dest="table", required=True)
    for name in ("coverage", "free"):
        table = tables.add_parser(name)
        table.add_argument("--source", action="append", type=edition_of, default=[])
        table.add_argument("--at", type=parse_instant, required=True, help="e.g. 2026-11-23")
    tables.add_parser("names").add_argument("path", type=Path)
    options = parser.parse_args(arguments)
    if options.table == "names":
        lines = names_table(options.path, shipped_names().key)
    else:
        book, sources = shipped_book(), [edition.read() for edition in options.source]
        if options.table == "coverage":
            lines = coverage_table(book, sources, options.at)
        else:
            lines = free_table(free_models(book, sources, options.at))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
