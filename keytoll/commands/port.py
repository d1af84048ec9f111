"""What a command is, and where it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

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

    def complain(self, text: str) -> None:
        """A line about bad input or a failed check."""
        print(f"keytoll: {text}", file=self.err)


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


def no_arguments(_parser: argparse.ArgumentParser) -> None:
    """For commands without arguments of their own."""
