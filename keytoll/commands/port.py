"""What a command is, and where it runs."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import orjson

from domain.account import AccountNotFound
from domain.errors import BadValue
from keytoll.settings import Settings
from keytoll.wiring import Stores


@dataclass(frozen=True, slots=True)
class Console:
    """Where a command's words go, and the folder that relative paths mean."""

    out: TextIO
    err: TextIO
    folder: Path

    def say(self, text: str = "") -> None:
        """A line of the result."""
        print(text, file=self.out)

    def answer(self, result: object) -> None:
        """The result as JSON on one line, for machines."""
        self.say(orjson.dumps(result).decode())

    def complain(self, text: str) -> None:
        """A line about bad input or a failed check."""
        print(f"keytoll: {text}", file=self.err)


def destination(settings: Settings, console: Console, given: str) -> Path:
    """The file that `--out` names. Raises BadValue for one of the installation's own."""
    path = console.folder / given
    where, data = path.resolve(), settings.data.resolve()
    own = {settings.master_key_file.resolve(), settings.checkpoints.resolve()}
    if where.is_relative_to(data) or where in own:
        raise BadValue(f"{path} belongs to the installation", param="--out")
    return path


def write_out(path: Path, lines: Iterable[bytes]) -> int:
    """Write beside the file and put it in place when whole: a cut result never looks finished.

    Returns how many lines there were. Raises BadValue when the path cannot be written.
    """
    count = 0
    try:
        descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as out:
                for line in lines:
                    out.write(line)
                    count += 1
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BadValue(f"{path} cannot be written: {error.strerror}", param="--out") from None
    return count


Arguments = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True, slots=True)
class Bare:
    """A command that opens what it needs by itself."""

    name: str
    meaning: str
    arguments: Arguments
    run: Callable[[Settings, argparse.Namespace, Console], int]


@dataclass(frozen=True, slots=True)
class Inside:
    """A command that works on the stores: inside the server if one runs, else on its own."""

    name: str
    meaning: str
    arguments: Arguments
    run: Callable[[Stores, argparse.Namespace, Console], int]


Command = Bare | Inside


def answer_in_json(*parsers: argparse.ArgumentParser) -> None:
    """`--json`, understood before and after the name of an action."""
    for each in parsers:
        each.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="answer in JSON"
        )


def check_account(stores: Stores, account_id: str | None) -> None:
    """A mistyped account must not look like one without usage. Raises AccountNotFound."""
    if account_id is not None and stores.directory.account(account_id) is None:
        raise AccountNotFound(f"there is no account {account_id[:40]}")


def no_arguments(_parser: argparse.ArgumentParser) -> None:
    """For commands without arguments of their own."""
