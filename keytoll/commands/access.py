"""`keytoll account` and `keytoll api-key`: also the way back in when every key is lost."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Final, cast, get_args

from domain.account import Role
from domain.clock import parse_instant
from domain.errors import BadValue
from domain.labels.port import LABEL, checked_label
from keytoll.commands.port import Command, Console, Inside, answer_in_json
from keytoll.wiring import Stores


def _account_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    opened = actions.add_parser("open", help="open an account and issue its owner key")
    opened.add_argument("--name", help="what people call it")
    actions.add_parser("list", help="all accounts")
    for verb in ("suspend", "resume"):
        chosen = actions.add_parser(verb, help=f"{verb} an account")
        chosen.add_argument("--account", required=True, metavar="acc_…")
    markup = actions.add_parser("markup", help="agree on a markup rate")
    markup.add_argument("--account", required=True, metavar="acc_…")
    markup.add_argument("--rate", required=True, help='for example "0.05"')
    markup.add_argument("--from", dest="start", metavar="INSTANT", help="default: now")
    answer_in_json(*actions.choices.values())


def account(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Open, list, suspend, resume; agree on a markup."""
    ledger = stores.ledger
    if args.action == "open":
        name = checked_label(args.name, param="--name")
        account_id, keys = ledger.open_account(api_keys=("owner",))
        if name is not None:
            stores.labels.set(account_id, LABEL, name)
        owner = keys["owner"]
        shown = {
            "account_id": account_id,
            "api_keys": {"owner": owner.secret.reveal()},
        }
        return _show(shown, args, console)
    if args.action == "list":
        return _list_accounts(stores, args, console)
    if args.action == "suspend":
        ledger.suspend_account(args.account)
    elif args.action == "resume":
        ledger.resume_account(args.account)
    else:
        start = parse_instant(args.start, param="--from") if args.start else None
        ledger.agree_markup(args.account, rate=args.rate, effective_from=start)
    return _show({"account_id": args.account, "done": args.action}, args, console)


def _list_accounts(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    now = stores.clock.now()
    rows = [
        {
            "account_id": view.account_id,
            "name": stores.labels.get(view.account_id).get(LABEL),
            "suspended": view.suspended,
            "markup_rate": view.markup_rate_at(now),
            "created_at": view.created_at,
        }
        for view in stores.directory.accounts()
    ]
    if args.json:
        console.answer({"accounts": rows})
        return 0
    console.say(f"{'account':<36}  {'state':<9}  {'markup':<8}  name")
    for row in rows:
        state = "suspended" if row["suspended"] else "active"
        console.say(
            f"{row['account_id']}  {state:<9}  {row['markup_rate']:<8}  {row['name'] or '-'}"
        )
    return 0


def _api_key_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    issue = actions.add_parser("issue", help="issue an API key; its secret is shown once")
    issue.add_argument("--account", metavar="acc_…", help="default: the first account")
    issue.add_argument("--role", required=True, choices=get_args(Role))
    issue.add_argument("--name", help="what people call it")
    revoke = actions.add_parser("revoke", help="revoke an API key")
    revoke.add_argument("--account", metavar="acc_…", help="default: the first account")
    revoke.add_argument(
        "--key", required=True, metavar="key_…", help="its id; keytoll replay lists all of them"
    )
    answer_in_json(*actions.choices.values())


def api_key(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Issue or revoke an API key of ours."""
    account_id = args.account or stores.directory.first_account_id()
    if account_id is None:
        raise BadValue("there is no account yet: run keytoll init")
    if args.action == "revoke":
        stores.ledger.revoke_api_key(account_id, args.key)
        return _show({"key_id": args.key, "done": "revoke"}, args, console)
    name = checked_label(args.name, param="--name")
    issued = stores.ledger.issue_api_key(account_id, cast(Role, args.role))
    if name is not None:
        stores.labels.set(issued.key_id, LABEL, name)
    shown = {
        "account_id": account_id,
        "key_id": issued.key_id,
        "role": args.role,
        "key": issued.secret.reveal(),
    }
    return _show(shown, args, console)


def _show(values: Mapping[str, object], args: argparse.Namespace, console: Console) -> int:
    if args.json:
        console.answer(values)
        return 0
    for name, value in values.items():
        lines = value.items() if isinstance(value, dict) else [(name, value)]
        for label, text in lines:
            console.say(f"{label:<12} {text}")
    return 0


COMMANDS: Final[tuple[Command, ...]] = (
    Inside("account", "open, list and suspend accounts", _account_arguments, account),
    Inside("api-key", "issue and revoke API keys", _api_key_arguments, api_key),
)
