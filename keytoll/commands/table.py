"""All commands, and the parser over them."""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

from domain.errors import BadValue
from keytoll import PROGRAM
from keytoll.commands import (
    access,
    audit,
    billing,
    demo,
    prices,
    proof,
    rating,
    safekeeping,
    serve,
    work,
)
from keytoll.commands.port import Command, answer_in_json

COMMANDS: Final[tuple[Command, ...]] = (
    *serve.COMMANDS,
    *work.COMMANDS,
    *demo.COMMANDS,
    *access.COMMANDS,
    *billing.COMMANDS,
    *audit.COMMANDS,
    *proof.COMMANDS,
    *safekeeping.COMMANDS,
    *rating.COMMANDS,
    *prices.COMMANDS,
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the words in one line, as an error of ours (exit code 2)."""

    def error(self, message: str) -> NoReturn:
        raise BadValue(f"{message} (see {self.prog} --help)")


def parser() -> Parser:
    """The command line. Each command understands --json."""
    top = Parser(
        prog="keytoll", description="Bring your own provider keys; every call is billed once."
    )
    top.add_argument("--version", action="version", version=PROGRAM)
    names = top.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        words = names.add_parser(
            command.name, help=command.meaning, description=command.meaning, allow_abbrev=False
        )
        answer_in_json(words)
        command.arguments(words)
        words.set_defaults(command=command, json=False)
    return top
