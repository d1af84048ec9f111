"""`keytoll export`, `replay`, `verify`, `status`: for those who check."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Final

from domain.clock import parse_instant
from domain.errors import BadValue
from domain.eventlog.export import export_events
from domain.eventlog.past import PastLog, places_at
from domain.eventlog.port import heads_of, written_heads_of
from domain.events.codec import canonical
from domain.invoice import parse_period
from keytoll.commands.port import Command, Console, Inside, check_account, destination, write_out
from keytoll.wiring import Stores
from projections.agreements import unagreed_rates
from projections.calls import exported_calls
from projections.documents import json_bytes
from projections.replay import differences, live_state, replayed_state

SHOWN_MAX: Final = 20


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = ("events", "prices", "calls")
    parser.add_argument("what", metavar="|".join(kinds), choices=kinds)
    parser.add_argument("--account", metavar="acc_…")
    parser.add_argument("--period", help="YYYY-MM, or START/END")
    parser.add_argument("--out", metavar="FILE", help="default: standard output")


def export(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """JSON lines in a stable order: the same bytes every time."""
    check_account(stores, args.account)
    period = parse_period(args.period) if args.period else None
    lines: Iterable[bytes]
    if args.what == "prices":
        lines = (line + b"\n" for line in stores.books.current.lines())
    elif args.what == "events":
        lines = export_events(stores.log, account_id=args.account, period=period)
    else:
        calls = exported_calls(
            stores.log, stores.books, stores.directory, account_id=args.account, period=period
        )
        lines = (canonical(call) + b"\n" for call in calls)
    if args.out:
        count = write_out(destination(stores.settings, console, args.out), lines)
        if args.json:
            console.answer({"file": args.out, "lines": count})
        else:
            console.say(f"{count} lines in {args.out}")
    else:
        for line in lines:
            console.out.write(line.decode())
    return 0


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    until = parser.add_mutually_exclusive_group()
    until.add_argument(
        "--until", metavar="STORE:SEQ", nargs="+", help="as of this event, in each store"
    )
    until.add_argument("--at", metavar="INSTANT", help="as of this instant")
    parser.add_argument("--account", metavar="acc_…")
    parser.add_argument("--check", action="store_true", help="compare with the live state")


def replay(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """State rebuilt from the log alone. 1: --check found a difference."""
    check_account(stores, args.account)
    if args.check:
        if args.until or args.at:
            raise BadValue("--check compares the present: leave --until and --at out")
        return _check(stores, args, console)
    past = PastLog(stores.log, until=_places(stores, args))
    state = replayed_state(past, stores.books, account_id=args.account)
    shown = {"as_of": written_heads_of(past), **state}
    if args.json:
        console.answer(shown)
    else:
        console.out.write(json_bytes(shown).decode())
    return 0


def _places(stores: Stores, args: argparse.Namespace) -> dict[str, int]:
    """Store → the seq in it up to which to replay."""
    log = stores.log
    if args.at:
        return places_at(log, parse_instant(args.at, param="--at"))
    if not args.until:
        return written_heads_of(log)
    heads, places = heads_of(log), {}
    for place in args.until:
        store_id, _, seq = place.rpartition(":")
        if store_id not in heads or not seq.isdecimal():
            raise BadValue(f"--until must look like {[*heads][-1]}:42", param="--until")
        if int(seq) > heads[store_id]:
            raise BadValue(f"{store_id} ends at {heads[store_id]}", param="--until")
        places[store_id] = int(seq)
    return places


def _check(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    reached, live = live_state(
        stores.log,
        stores.projections.open(),
        stores.directory,
        stores.register,
        account_id=args.account,
    )
    past = PastLog(stores.log, until=reached)
    replayed = replayed_state(past, stores.books, account_id=args.account)
    found = [*differences(replayed, live), *unagreed_rates(past, account_id=args.account)]
    if args.json:
        answer = {
            "as_of": reached,
            "equal": not found,
            "differences": [
                {"place": place, "replayed": ours, "live": theirs} for place, ours, theirs in found
            ],
        }
        console.answer(answer)
    elif not found:
        requests = sum(total["requests"] for total in replayed["totals"].values())
        console.say(
            f"replayed {requests} calls, {len(replayed['credentials'])} credentials,"
            f" {len(replayed['invoices'])} invoices; equal to the live state"
        )
    for place, ours, theirs in found[:SHOWN_MAX]:
        console.complain(f"{place}: the log says {ours!r}, the live state {theirs!r}")
    return 1 if found else 0


COMMANDS: Final[tuple[Command, ...]] = (
    Inside("export", "events, prices or calls as JSON lines", _export_arguments, export),
    Inside("replay", "state rebuilt from the log alone", _replay_arguments, replay),
)
