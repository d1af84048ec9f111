"""`keytoll invoice pay|void|credit|credit-note`: what becomes of an issued invoice."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, Final

from domain.errors import BadValue
from domain.events.base import JsonObject
from domain.money import Money
from keytoll.commands.port import Console, destination, write_out
from keytoll.wiring import Stores
from projections.credit_notes import CREDIT_NOTE_FORMS, CreditNotes


def add_actions(actions: Any) -> None:
    """The words that each action understands."""
    paid = actions.add_parser("pay", help="the money for an invoice has arrived")
    paid.add_argument("--reference", default="", help="of the payment")
    voided = actions.add_parser("void", help="an invoice holds no longer; its number stays taken")
    voided.add_argument("--reason", required=True)
    credited = actions.add_parser("credit", help="give money back on an invoice: a credit note")
    credited.add_argument("--reason", required=True, help="stands on the document")
    credited.add_argument(
        "--amount", help="before tax, from the largest lines first; default: all that is left"
    )
    credited.add_argument(
        "--line",
        action="append",
        metavar="N=AMOUNT",
        help="give back from line N of the invoice, counted from 1; may be repeated",
    )
    for parser in (paid, voided, credited):
        parser.add_argument("id", metavar="INVOICE", help="its id (inv_…) or its number")
    note = actions.add_parser("credit-note", help="one credit note as a file")
    note.add_argument("number", metavar="NUMBER")
    note.add_argument("--format", choices=tuple(CREDIT_NOTE_FORMS), default="json")
    note.add_argument("--out", metavar="FILE", help="default: standard output; a PDF needs one")


def _pay(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    invoice = stores.receivables.pay(args.id, reference=args.reference)
    _tell(console, args, {"invoice_id": invoice.invoice_id, "status": invoice.status})
    return 0


def _void(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    invoice = stores.receivables.void(args.id, reason=args.reason)
    _tell(console, args, {"invoice_id": invoice.invoice_id, "status": invoice.status})
    return 0


def _credit(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    if args.amount is not None and args.line:
        raise BadValue("name an amount or lines, not both", param="--amount")
    note = stores.receivables.credit(
        args.id,
        reason=args.reason,
        amount=None if args.amount is None else Money.parse(args.amount, what="--amount"),
        amounts=_amounts(args.line) if args.line else None,
    )
    shown = CreditNotes(stores.register).show(note.event.number)
    if args.json:
        console.answer(shown)
    else:
        console.say(f"{shown['number']}  gives back {shown['total']} {shown['currency']}")
    return 0


def _credit_note(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    if args.format == "pdf" and not args.out:
        raise BadValue("a PDF is no text: name a file with --out", param="--out")
    _, made = CREDIT_NOTE_FORMS[args.format]
    text = made(CreditNotes(stores.register).show(args.number))
    if args.out:
        write_out(destination(stores.settings, console, args.out), [text])
    else:
        console.out.write(text.decode())
    return 0


def _amounts(given: list[str]) -> dict[int, Money]:
    amounts: dict[int, Money] = {}
    for text in given:
        number, _, amount = text.partition("=")
        if not number.isdecimal() or int(number) in amounts:
            raise BadValue("--line is N=AMOUNT, each line once", param="--line")
        amounts[int(number)] = Money.parse(amount, what="--line")
    return amounts


def _tell(console: Console, args: argparse.Namespace, said: JsonObject) -> None:
    if args.json:
        console.answer(said)
    else:
        console.say(f"{said['invoice_id']}  {said['status']}")


ACTIONS: Final[Mapping[str, Callable[[Stores, argparse.Namespace, Console], int]]] = {
    "pay": _pay,
    "void": _void,
    "credit": _credit,
    "credit-note": _credit_note,
}
