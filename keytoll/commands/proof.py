"""`keytoll verify`, `recompute`, `drift`, `rebuild` and `status`: is all what it was, and level?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Final

from domain.errors import BadValue
from domain.eventlog.checkpoint import Checkpoint, read_checkpoints
from domain.eventlog.raw import verify_stored
from domain.invoice import parse_period
from keytoll.commands.port import Bare, Command, Console, Inside, no_arguments
from keytoll.comparison import compare
from keytoll.settings import Settings
from keytoll.status import status_of
from keytoll.wiring import Stores, kept_checkpoints
from keytoll.wiring.places import log_places
from projections.rebuild import rebuild as rebuild_tables
from projections.recompute import recompute as recomputed

SHOWN_MAX: Final = 50


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="checkpoints kept elsewhere; default: the file that this installation writes",
    )
    parser.add_argument(
        "--period", help="also recompute the invoices that were issued in YYYY-MM, or START/END"
    )
    parser.add_argument(
        "--drift", action="store_true", help="also compare the projections with the log"
    )


def verify(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Hash every line again and check every rule of the log. 1: something is wrong.

    Reads the log beside a running server, and also one that no server could open any more. What
    is asked for besides follows only where the log is whole; each check answers by itself.
    """
    if args.period:
        parse_period(args.period)
    report = verify_stored(*log_places(settings), checkpoints=_checkpoints(settings, args, console))
    if args.json:
        answer = {
            "ok": report.ok,
            "events": report.events,
            "stores": [
                {"store_id": s.store_id, "size": s.size, "root": s.root, "seals": s.seals}
                for s in report.stores
            ],
            "open_requests": report.open_requests,
            "checkpoints": report.checkpoints,
            "findings": [
                {"kind": f.kind, "store_id": f.store_id, "seq": f.seq, "message": f.message}
                for f in report.findings
            ],
        }
        console.answer(answer)
    else:
        for store in report.stores:
            console.say(f"{store.store_id}: {store.size} events, {store.seals} seals")
            console.say(f"  root {store.root}")
        console.say(
            f"{report.events} events, {report.checkpoints} checkpoints: "
            + ("everything is what it was" if report.ok else f"{report.findings_total} findings")
        )
    for finding in report.findings[:SHOWN_MAX]:
        console.complain(f"{finding.kind}: {finding.message}")
    if not report.ok:
        return 1
    more = [["recompute", "--period", args.period]] if args.period else []
    more += [["drift"]] if args.drift else []
    return max((_also(words, args) for words in more), default=0)


def _checkpoints(
    settings: Settings, args: argparse.Namespace, console: Console
) -> Sequence[Checkpoint]:
    if args.checkpoint is None:
        return kept_checkpoints(settings)
    path = console.folder / args.checkpoint
    if not path.is_file():
        raise BadValue(f"there is no checkpoint file {path}", param="--checkpoint")
    return read_checkpoints(path)


def _also(words: list[str], args: argparse.Namespace) -> int:
    from keytoll.__main__ import main  # noqa: PLC0415 - a command that runs another

    return main([*words, *(["--json"] if args.json else [])])


def _recompute_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--period", required=True, help="YYYY-MM, or START/END")
    parser.add_argument("--account", metavar="acc_…", help="default: every account")


def recompute(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Make the invoices of a period anew from the log and compare. 1: one says something else."""
    done = recomputed(
        stores.log,
        stores.books,
        stores.register,
        parse_period(args.period),
        account_id=args.account,
    )
    if args.json:
        answer = {
            "equal": not done.differences,
            "invoices": done.invoices,
            "differences": done.differences,
        }
        console.answer(answer)
    elif not done.differences:
        numbers = ", ".join(done.invoices) or "no invoice was issued in the period"
        console.say(f"the log gives every digit: {numbers}")
    for each in done.differences[:SHOWN_MAX]:
        console.complain(each)
    return 1 if done.differences else 0


def drift(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Compare topic, tables and served numbers with the log. 1: they differ."""
    compared = compare(stores)
    if args.json:
        answer = {
            "equal": not compared.found,
            "as_of": compared.as_of,
            "records": compared.records,
            "differences": compared.found,
        }
        console.answer(answer)
    elif not compared.found:
        who = "tables and served numbers"
        who = who if compared.records is None else f"topic ({compared.records} records), {who}"
        console.say(f"{who} say what the log says, up to {_shown(compared.as_of)}")
    for each in compared.found[:SHOWN_MAX]:
        console.complain(each)
    return 1 if compared.found else 0


def rebuild(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Make the projections anew from the log, compare, exchange. 1: the old ones differed."""
    rebuilt = rebuild_tables(stores.projections.projector(), locks=stores.locks)
    if args.json:
        answer = {"as_of": rebuilt.reached, "differences": list(rebuilt.differences)}
        console.answer(answer)
    else:
        console.say(f"rebuilt up to {_shown(rebuilt.reached)}, now in {rebuilt.database}")
    for each in rebuilt.differences[:SHOWN_MAX]:
        console.complain(f"the old tables differed: {each}")
    return 1 if rebuilt.differences else 0


def status(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Where everything stands."""
    answer = status_of(stores)
    if args.json:
        console.answer(answer)
        return 0
    for name, value in answer.items():
        if name != "stores":
            console.say(f"{name:<26} {_said(value)}")
    for store in answer["stores"]:
        said = ", ".join(
            f"{name} {_said(value)}" for name, value in store.items() if name != "store_id"
        )
        console.say(f"{store['store_id']:<26} {said}")
    return 0


def _said(value: object) -> str:
    """A value for people: `-` for what there is not, or what could not be asked."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items())
    return "-" if value is None else str(value)


def _shown(place: Mapping[str, int]) -> str:
    return ", ".join(f"seq {seq} of {store}" for store, seq in place.items())


COMMANDS: Final[tuple[Command, ...]] = (
    Bare("verify", "check every hash, seal and rule of the log", _verify_arguments, verify),
    Inside("recompute", "make issued invoices anew from the log", _recompute_arguments, recompute),
    Inside("drift", "compare topic, tables and served numbers with the log", no_arguments, drift),
    Inside("rebuild", "make the projections anew from the log", no_arguments, rebuild),
    Inside("status", "where everything stands", no_arguments, status),
)
