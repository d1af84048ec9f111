"""`keytoll rate`: what a call costs, for people and for checks."""

from __future__ import annotations

import argparse
import sys
from typing import Final

import orjson

from api.providers.catalogue import NORMALISERS
from domain.clock import SystemClock
from domain.errors import DomainError
from keytoll.commands.port import Bare, Command, Console
from keytoll.settings import Settings
from pricing.load import shipped_book, shipped_names
from pricing.records import rate_record


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reference",
        choices=("same-provider-first", "lowest"),
        default="same-provider-first",
        help="whose paid price a free model takes",
    )


def rate(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """JSON lines in, JSON lines out. A bad record is named by its line; the others are answered."""
    book, names, now = shipped_book(), shipped_names(), SystemClock().now()
    code = 0
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            rated = rate_record(
                orjson.loads(line),
                book,
                names=names,
                normalise=NORMALISERS,
                reference=args.reference,
                at=now,
            )
        except orjson.JSONDecodeError as error:
            console.complain(f"line {number}: not JSON: {error}")
            code = 2
        except DomainError as error:
            console.complain(f"line {number}: {error}")
            code = 2
        else:
            console.answer(rated)
            console.out.flush()  # whoever asks one record at a time is waiting for it
    return code


COMMANDS: Final[tuple[Command, ...]] = (
    Bare("rate", "rate records: JSON lines in, JSON lines out", _arguments, rate),
)
