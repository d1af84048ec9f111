"""`keytoll backup`, `keytoll restore` and `keytoll migrate-store`."""

from __future__ import annotations

import argparse
from typing import Final

from domain.errors import BadValue
from keytoll.backup import back_up, go_on_in_databases
from keytoll.backup import restore as restored
from keytoll.commands.port import Bare, Command, Console, Inside
from keytoll.setting import postgres_urls
from keytoll.settings import Settings
from keytoll.wiring import Stores


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")


def backup(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Log, vault and labels in one file, without the master key."""
    path = console.folder / args.file
    size = back_up(stores, path)
    shown = {"file": str(path), "store_id": stores.log.home(None), "events": size}
    if args.json:
        console.answer(shown)
    else:
        store_id = stores.log.home(None)
        console.say(f"{size} events of {store_id} in {path}; keep the master key elsewhere")
    return 0


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help="what keytoll backup wrote")
    parser.add_argument(
        "--database",
        action="store_true",
        help="the databases of KEYTOLL_STORE were restored from a dump or a base backup: go on"
        " in them; no process of keytoll may be running",
    )


def restore(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Make the data folder from a backup, or go on in restored databases. Either way the log
    continues under a new store id."""
    if bool(settings.store) is not args.database or args.database is bool(args.file):
        raise BadValue("restore takes FILE; where KEYTOLL_STORE is given, --database instead")
    if args.database:
        return _go_on(settings, args, console)
    store_id = restored(settings, console.folder / args.file)
    if args.json:
        console.answer({"data": str(settings.data.resolve()), "store_id": store_id})
    else:
        console.say(f"restored into {settings.data.resolve()}; it continues as {store_id}")
        if not settings.master_key and not settings.master_key_file.exists():
            console.say(f"put the master key into {settings.master_key_file} before starting")
    return 0


def _go_on(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    store_ids = go_on_in_databases(settings)
    if args.json:
        console.answer({"store_ids": store_ids})
    else:
        console.say(f"the log continues as {', '.join(store_ids)}; start all processes anew")
    return 0


def _target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        metavar="DSN",
        required=True,
        help="an empty Postgres database; a password belongs into PGPASSWORD or ~/.pgpass, because"
        " everybody on the machine can read the words of a command",
    )


def migrate_store(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Move the data folder's stores into a database, where they go on as a new store."""
    # Only here: no other command of the embedded mode loads the driver.
    from keytoll.migrate_store import migrate_store as migrated  # noqa: PLC0415

    urls = postgres_urls(args.to)
    if len(urls) != 1:
        raise BadValue("--to takes one database", param="--to")
    moved = migrated(settings, urls[0].reveal())
    if args.json:
        console.answer(
            {
                "events": moved.report.events,
                "stores": [
                    {"store_id": each.store_id, "size": each.size, "root": each.root}
                    for each in moved.report.stores
                ],
                "store_id": moved.store_id,
                "files": str(moved.files.resolve()),
            }
        )
        return 0
    for each in moved.report.stores:
        console.say(f"{each.size} events of {each.store_id}, root {each.root}")
    console.say(f"it continues as {moved.store_id}; give KEYTOLL_STORE and start")
    console.say(f"the files lie in {moved.files.resolve()}: nothing reads them any more")
    return 0


COMMANDS: Final[tuple[Command, ...]] = (
    Inside("backup", "copy log and vault into one file", _file, backup),
    Bare("restore", "go on from a backup", _source, restore),
    Bare("migrate-store", "move the data folder's stores to Postgres", _target, migrate_store),
)
