"""`keytoll backup` and `keytoll restore`."""

from __future__ import annotations

import argparse
from typing import Final

from keytoll.backup import back_up
from keytoll.backup import restore as restored
from keytoll.commands.port import Bare, Command, Console, Inside
from keytoll.settings import Settings
from keytoll.wiring import Stores


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")


def backup(stores: Stores, args: argparse.Namespace, console: Console) -> int:
    """Log, vault and labels in one file, without the master key."""
    path = console.folder / args.file
    size = back_up(stores, path)
    shown = {"file": str(path), "store_id": stores.log.store_id, "events": size}
    if args.json:
        console.answer(shown)
    else:
        store_id = stores.log.store_id
        console.say(f"{size} events of {store_id} in {path}; keep the master key elsewhere")
    return 0


def restore(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Make the data folder from a backup. It continues under a new store id."""
    store_id = restored(settings, console.folder / args.file)
    if args.json:
        console.answer({"data": str(settings.data.resolve()), "store_id": store_id})
    else:
        console.say(f"restored into {settings.data.resolve()}; it continues as {store_id}")
        if not settings.master_key and not settings.master_key_file.exists():
            console.say(f"put the master key into {settings.master_key_file} before starting")
    return 0


COMMANDS: Final[tuple[Command, ...]] = (
    Inside("backup", "copy log and vault into one file", _file, backup),
    Bare("restore", "make the data folder from a backup", _file, restore),
)
