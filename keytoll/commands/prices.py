"""`keytoll prices`: the price list of this installation, and what other prices would change."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from api.providers.catalogue import PROVIDERS
from domain.clock import instant_text, parse_instant
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.events.codec import canonical
from domain.invoice import Period, parse_period
from keytoll.commands import price_tables
from keytoll.commands.port import Bare, Command, Console, Inside, answer_in_json, check_account
from keytoll.settings import Settings
from keytoll.wiring import Stores
from pricing.additions import json_object, read_entries
from pricing.book import Entries, PriceBook
from pricing.difference import differences
from pricing.explain import USAGE, explain
from pricing.load import shipped_lines, shipped_names
from pricing.paid_version import setting_of
from pricing.sources.refresh import append, edition_of, propose
from projections.what_if import (
    Compared,
    Group,
    Rate,
    as_rated,
    by_book,
    compared,
    settled_within,
    total,
)

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
RECENT: Final = timedelta(days=30)
CURRENT: Final = "current"
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")

Run = Callable[[Stores, argparse.Namespace, Console], int]


def _arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    added = actions.add_parser("add", help="append rows to the price list, and rate what waited")
    added.add_argument("file", metavar="FILE", help="JSON lines: rows, or entries of an export")
    actions.add_parser("rerate", help="rate what has no price yet by the book in force, now")
    _explain_arguments(actions.add_parser("explain", help="why a model costs what it costs"))
    diff = actions.add_parser("diff", help="what one book says that another does not")
    for name in ("old", "new"):
        diff.add_argument(name, metavar=name.upper(), help="a book's hash, `current`, or a file")
    diff.add_argument("--at", metavar="INSTANT", help="compare what is in force then; default: now")
    _usage_arguments(diff, "default: the last 30 days")
    what_if = actions.add_parser("what-if", help="a period by another book; nothing is changed")
    what_if.add_argument("book", metavar="BOOK", help="a book's hash, `current`, or a file")
    _usage_arguments(what_if, None)
    refresh = actions.add_parser("refresh", help="what the sources say that the program lacks")
    refresh.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="NAME=PATH@DAY",
        help="a file of a source and the day on which it was up to date; may be repeated",
    )
    refresh.add_argument("--at", metavar="DAY", required=True, help="instant to record")
    refresh.add_argument("--write", action="store_true", help="append to the program's own files")
    refresh.set_defaults(command=REFRESH)
    answer_in_json(*actions.choices.values())


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("provider", metavar="PROVIDER")
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--at", metavar="INSTANT", help="default: now")
    parser.add_argument(
        "--usage", metavar="JSON", help="units of the call; default: 1000 in and out"
    )
    parser.add_argument("--context", metavar="JSON", help='such as {"service_tier": "flex"}')
    parser.add_argument("--book", metavar="BOOK", default=CURRENT, help="default: the one in force")
    parser.add_argument(
        "--reference",
        choices=("same-provider-first", "lowest"),
        default="same-provider-first",
        help="whose paid price a free model takes",
    )


def _usage_arguments(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--period",
        required=default is None,
        help="YYYY-MM, or START/END" + (f"; {default}" if default else ""),
    )
    parser.add_argument("--account", metavar="acc_…", help="default: every account")


def prices(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Carry out one of the actions."""
    return _ACTIONS[args.action](stores, args, console)


def _add(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Rows of the operator's own come into force; what waited for them is rated."""
    given = _read_lines(console.folder / args.file)
    added = stores.prices.add(lambda book: stores.additions(given, book))
    book = stores.books.current
    answer = {"added": len(added), "price_book": book.hash, "entries": book.rows}
    if not args.json:
        console.say(
            f"added: {len(added)}; in force: {book.hash} of {book.rows} entries"
            if added
            else f"nothing to add: {book.hash} says all of it"
        )
    return _rate_waiting(stores, args, console, answer)


def _rerate(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Rate what waits for a price, without waiting for the server to do it."""
    stores.prices.publish()
    return _rate_waiting(stores, args, console, {"price_book": stores.books.current.hash})


def _rate_waiting(
    stores: Stores, args: argparse.Namespace, console: Console, answer: JsonObject
) -> int:
    done = stores.rerater().run()
    if args.json:
        counts = {"rated": done.rated, "written_off": done.written_off, "left": done.left}
        console.answer({**answer, **counts})
    else:
        console.say(
            f"calls without a price: {done.rated} rated, {done.written_off} written off,"
            f" {done.left} wait on"
        )
    return 0


def _explain(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Every row of a model, the one that holds, and what a call costs by it."""
    if args.provider not in PROVIDERS:
        raise BadValue(f"there is no provider {args.provider[:40]!r}", param="PROVIDER")
    answer = explain(
        _book(stores, args.book, console),
        provider=args.provider,
        model=args.model,
        at=_instant(stores, args.at),
        usage=json_object(args.usage, "--usage") if args.usage else USAGE,
        context=json_object(args.context, "--context") if args.context else {},
        reference=setting_of(args.reference),
        names=shipped_names(),
    )
    if args.json:
        console.answer(answer)
    else:
        price_tables.explanation(answer, console)
    return 0


def _diff(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Rows that are others, and the calls of a period that would have cost something else."""
    at = _instant(stores, args.at)
    old, new = (_book(stores, text, console) for text in (args.old, args.new))
    changes = differences(old, new, at=at)
    period = _period(stores, args.period)
    groups = _compared(stores, period, args.account, by_book(old), by_book(new))
    moved = {name: group for name, group in groups.items() if group.changed}
    if args.json:
        answer = {
            "old": old.hash,
            "new": new.hash,
            "at": instant_text(at),
            "changes": [change.as_json() for change in changes],
            **_usage_answer(period, moved, first="old", second="new"),
        }
        console.answer(answer)
    else:
        price_tables.changes(changes, console)
        console.say()
        console.say(f"calls that ended in {period} and would have cost something else:")
        price_tables.comparison(moved, console, first="old", second="new")
    return 0


def _what_if(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """The calls of a period as they are billed, and as another book would bill them."""
    book, period = _book(stores, args.book, console), _period(stores, args.period)
    groups = _compared(stores, period, args.account, as_rated(stores.books), by_book(book))
    if args.json:
        answer = _usage_answer(period, groups, first="billed", second="what_if")
        console.answer({"price_book": book.hash, **answer})
    else:
        console.say(f"calls that ended in {period}, as billed and by {book.hash}")
        price_tables.comparison(groups, console, first="billed", second="what_if")
    return 0


def _compared(
    stores: Stores, period: Period, account_id: str | None, first: Rate, second: Rate
) -> Mapping[Group, Compared]:
    check_account(stores, account_id)
    projector = stores.projections.open()
    projector.catch_up()
    states = settled_within(stores.log, projector.store, period, account_id=account_id)
    return compared(states, first, second)


def _usage_answer(
    period: Period, groups: Mapping[Group, Compared], *, first: str, second: str
) -> JsonObject:
    return {
        "period": {"start": instant_text(period.start), "end": instant_text(period.end)},
        "rows": [
            {"provider": provider, "model": model, **group.as_json(first, second)}
            for (provider, model), group in groups.items()
        ],
        "totals": total(groups.values()).as_json(first, second),
    }


def refresh(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Read the sources' files; say what the program's own list lacks, or append it.

    1: the sources contradict each other, and nobody has decided.
    """
    editions = [
        replace(edition, path=console.folder / edition.path)
        for edition in map(edition_of, args.source)
    ]
    try:
        proposal = propose(editions, at=args.at, lines=shipped_lines())
    except (OSError, ValueError, KeyError) as error:
        raise BadValue(f"a source cannot be read: {error}", param="--source") from None
    if args.write:
        append(proposal)
    counts = {provider: len(lines) for provider, lines in sorted(proposal.appended.items())}
    if args.json:
        answer = {
            "written": args.write,
            "entries": counts,
            "left_out": proposal.conflicts,
            "settled": proposal.settled,
        }
        console.answer(answer)
        return 1 if proposal.conflicts else 0
    for provider, lines in sorted(proposal.appended.items()):
        console.say(f"{provider}: {len(lines)} lines {'appended' if args.write else 'to append'}")
        if not args.write:
            for line in lines:
                console.say(line.decode())
    for title, items in (("left out", proposal.conflicts), ("settled", proposal.settled)):
        console.say(f"{title}: {len(items)}")
        for item in items:
            console.say(f"- {item}")
    return 1 if proposal.conflicts else 0


def _book(stores: Stores, text: str, console: Console) -> PriceBook:
    """A published book by its hash, the one in force, or what a file makes of it."""
    if text == CURRENT:
        return stores.books.current
    if _HASH.fullmatch(text):
        return stores.books.open(text)
    path = console.folder / text
    if not path.is_file():
        raise BadValue(
            f"{text[:80]!r} is no hash of a book, not `current` and no file", param="BOOK"
        )
    given = _read_lines(path)
    if given and given[0].get("n") == 1:
        return PriceBook(Entries([line for line in path.read_bytes().splitlines() if line]))
    current = stores.books.current
    added = stores.additions(given, current)
    lines = [canonical({**entry, "n": n}) for n, entry in enumerate(added, current.rows + 1)]
    return PriceBook(Entries([*current.lines(), *lines]))


def _read_lines(path: Path) -> list[JsonObject]:
    """JSON lines. Raises BadValue, naming the line."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadValue(f"{path} is larger than {FILE_BYTES_MAX} bytes", param="FILE")
        data = path.read_bytes()
    except OSError as error:
        raise BadValue(f"{path} cannot be read: {error.strerror}", param="FILE") from None
    return read_entries(data, what=path.name)


def _instant(stores: Stores, text: str | None) -> datetime:
    return parse_instant(text, param="--at") if text else stores.clock.now()


def _period(stores: Stores, text: str | None) -> Period:
    if text:
        return parse_period(text)
    now = stores.clock.now()
    return Period(now - RECENT, now + timedelta(seconds=1))


_ACTIONS: Final[Mapping[str, Run]] = {
    "add": _add,
    "rerate": _rerate,
    "explain": _explain,
    "diff": _diff,
    "what-if": _what_if,
}
REFRESH: Final = Bare("refresh", "bring the program's own list up to date", _arguments, refresh)
COMMANDS: Final[tuple[Command, ...]] = (
    Inside("prices", "the price list, and what other prices would change", _arguments, prices),
)
