"""`keytoll close`, `keytoll report` and `keytoll invoice`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from domain.clock import parse_instant
from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.invoice import Period, parse_period
from domain.invoice_register import IssuedInvoice
from keytoll.commands import settle
from keytoll.commands.port import (
    Command,
    Console,
    Inside,
    answer_in_json,
    check_account,
    destination,
    write_out,
)
from keytoll.wiring import Stores
from projections.credit_notes import CreditNotes
from projections.documents import FORMS
from projections.invoicing import CannotClose
from projections.queries.filters import Filters
from projections.queries.usage import UsageQuestion, groups_of, usage_csv, usage_report
from workers.close import Closed

_INVOICE_COLUMNS: Final = ("number", "account_id", "subtotal", "tax", "total", "id")
_FEE_GROUPS: Final = "month,provider,model"


def _close_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--period",
        required=True,
        help="YYYY-MM, START/END, or /END: from where each account was last closed; END may be now",
    )
    parser.add_argument("--account", metavar="acc_…", help="default: every account")
    parser.add_argument(
        "--grace",
        type=int,
        metavar="SECONDS",
        help="how long the period must be over; default: KEYTOLL_CLOSE_GRACE_S",
    )


def close(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Issue the invoices of a period. 1: some account's period could not be closed."""
    grace_s = stores.settings.close_grace_s if args.grace is None else args.grace
    if grace_s < 0:
        raise BadValue("--grace must not be negative", param="--grace")
    closer = stores.closer()
    invoices: list[IssuedInvoice] = []
    refused: dict[str, str] = {}
    for period, account_id in periods_to_close(stores, args.period, args.account):
        try:
            closed = closer.close(period, account_id=account_id, grace_s=grace_s)
        except CannotClose as error:
            if account_id in {None, args.account}:
                raise
            closed = Closed([], {str(account_id): str(error)})  # the others are closed
        invoices += closed.invoices
        refused |= closed.refused
    reader = stores.invoices(stores.projections.open())
    documents = [reader.show(invoice.invoice_id) for invoice in invoices]
    if args.json:
        answer = {"invoices": documents, "refused": refused}
        console.answer(answer)
    elif documents or not refused:
        _table(documents, console, none="no invoices: no call ended in the period")
    for account_id, reason in refused.items():
        console.complain(f"{account_id} stays open: {reason}")
    return 1 if refused else 0


def periods_to_close(
    stores: Stores, text: str, account_id: str | None
) -> Sequence[tuple[Period, str | None]]:
    """What to close, and for whom (None: for everybody)."""
    start, slash, end_text = text.partition("/")
    if not slash:
        return [(parse_period(text), account_id)]
    now = stores.clock.now()
    end = now if end_text == "now" else parse_instant(end_text, param="--period")
    if start:
        return [(Period(parse_instant(start, param="--period"), end), account_id)]
    check_account(stores, account_id)
    stores.register.catch_up()
    found: list[tuple[Period, str | None]] = []
    for account in stores.directory.accounts():
        if account_id in {None, account.account_id}:
            until = stores.register.closed_until(account.account_id)
            since = until or parse_instant(account.created_at)
            if since < end:
                found.append((Period(since, end), account.account_id))
    return found


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="usage|fees", choices=("usage", "fees"))
    parser.add_argument("--period", help="YYYY-MM, or START/END; default: the last 30 days")
    parser.add_argument("--group-by", metavar="FIELD,…", help="for example day,provider,tag:team")
    parser.add_argument("--account", metavar="acc_…")
    parser.add_argument("--csv", action="store_true", help="answer in CSV")


def report(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Usage or fees, grouped; rows add up to totals."""
    check_account(stores, args.account)
    if args.period:
        period = parse_period(args.period)
    else:
        now = stores.clock.now()
        period = Period(now - timedelta(days=30), now + timedelta(seconds=1))
    groups = args.group_by or ("provider,model" if args.what == "usage" else _FEE_GROUPS)
    question = UsageQuestion(
        start=period.start,
        end=period.end,
        group_by=groups_of(groups),
        filters=Filters(account=args.account),
    )
    projector = stores.projections.open()
    answer = usage_report(projector.store, question, as_of=projector.catch_up())
    if args.json:
        console.answer(answer)
    elif args.csv:
        console.out.write(usage_csv(answer))
    else:
        _usage_table(answer, console)
    return 0


def _invoice_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="issued invoices, newest first")
    listed.add_argument("--account", metavar="acc_…")
    shown = actions.add_parser("show", help="one invoice")
    shown.add_argument("id", metavar="INVOICE", help="its id (inv_…) or its number")
    exported = actions.add_parser("export", help="one invoice as a file, the same bytes every time")
    exported.add_argument("id", metavar="INVOICE", help="its id (inv_…) or its number")
    exported.add_argument("--format", choices=tuple(FORMS), default="json")
    exported.add_argument("--out", metavar="FILE", help="default: standard output; a PDF needs one")
    settle.add_actions(actions)
    answer_in_json(*actions.choices.values())


def invoice(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """List, show or export invoices; pay, void or credit one."""
    if args.action in settle.ACTIONS:
        return settle.ACTIONS[args.action](stores, args, console)
    reader = stores.invoices(stores.projections.open())
    if args.action == "list":
        check_account(stores, args.account)
        documents = list(reader.list(account_id=args.account, limit=10_000))
        if args.json:
            console.answer({"invoices": documents})
        else:
            _table(documents, console, none="no invoices yet")
        return 0
    document = reader.show(args.id)
    if args.action == "export":
        if args.format == "pdf" and not args.out:
            raise BadValue("a PDF is no text: name a file with --out", param="--out")
        _, made = FORMS[args.format]
        text = made(document)
        if args.out:
            write_out(destination(stores.settings, console, args.out), [text])
        else:
            console.out.write(text.decode())
    elif args.json:
        console.answer(document)
    else:
        _show(document, CreditNotes(stores.register).of(args.id), console)
    return 0


def _table(documents: list[JsonObject], console: Console, *, none: str) -> None:
    if not documents:
        console.say(none)
        return
    rows: list[tuple[str, ...]] = [("period", *_INVOICE_COLUMNS)]
    for document in documents:
        start, end = (_short(document["period"][name]) for name in ("start", "end"))
        rows.append((f"{start}/{end}", *(str(document[name]) for name in _INVOICE_COLUMNS)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.say("  ".join(cells).rstrip())


def _short(instant: str) -> str:
    """A midnight as its day, a full second without its fraction."""
    return instant.removesuffix("T00:00:00.000000Z").replace(".000000Z", "Z")


def _show(document: JsonObject, notes: Sequence[JsonObject], console: Console) -> None:
    period = document["period"]
    console.say(f"{document['number'] or 'DRAFT'}  {document['status']}  {document['id']}")
    console.say(f"account  {document['account_id']}")
    console.say(f"period   {period['start']} to {period['end']}")
    for line in document["lines"]:
        counts = f"{_shown(line['input_tokens'])} in, {_shown(line['output_tokens'])} out"
        console.say(
            f"  {line['kind']:<10} {_prefixed(line)}"
            f"  {line['requests']} calls, {counts}"
            f"  at cost {_shown(line['at_cost_usd'])}  × {line['markup_rate']}"
            f"  = {_shown(line['fee_usd'])}  → {_shown(line['amount'])}"
        )
    for name in ("fee_usd_exact", "carried_in", "subtotal", "tax", "total", "carried_out"):
        console.say(f"{name:<14} {document[name]:>28}")
    for note in notes:
        console.say(f"{note['number']}  gives back {note['total']}: {note['reason']}")


def _prefixed(line: JsonObject) -> str:
    """`provider/model`, also of a model whose own id begins so."""
    provider, model = str(line["provider"]), str(line["model"])
    return model if model.startswith(f"{provider}/") else f"{provider}/{model}"


def _shown(value: object) -> str:
    """Unknown is not zero, for people too."""
    return "unknown" if value is None else str(value)


def _usage_table(answer: JsonObject, console: Console) -> None:
    columns = ("requests", "input_tokens", "output_tokens", "at_cost_usd", "fee_usd")
    groups = answer["group_by"]
    rows = [
        [
            *("-" if row[name] is None else str(row[name]) for name in groups),
            *(_shown(row[name]) for name in columns),
        ]
        for row in answer["rows"]
    ]
    totals = ["total", *[""] * (len(groups) - 1)] if groups else []
    rows.append([*totals, *(str(answer["totals"][name]) for name in columns)])
    heads = [*groups, *columns]
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        cells = [
            cell.ljust(width) if i < len(groups) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        console.say("  ".join(cells).rstrip())


COMMANDS: Final[tuple[Command, ...]] = (
    Inside("close", "close a period: issue its invoices", _close_arguments, close),
    Inside("report", "usage and fees, grouped", _report_arguments, report),
    Inside(
        "invoice", "list, show, export, pay, void and credit invoices", _invoice_arguments, invoice
    ),
)
