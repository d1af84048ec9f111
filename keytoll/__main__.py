"""The command line: runs a command here, or inside the server that owns the data folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from domain.clock import SystemClock
from domain.errors import DomainError
from domain.ids import new_id
from keytoll import control
from keytoll.commands.port import Bare, Console
from keytoll.commands.table import parser
from keytoll.logs import configure_logs
from keytoll.settings import Settings
from keytoll.wiring import open_existing


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 a check failed, 2 bad input or unusable state."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # models have names in any script; locales have not
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    console = Console(sys.stdout, sys.stderr, Path.cwd())
    try:
        args = parser().parse_args(words)
        settings = Settings.from_environment()
        command = args.command
        if isinstance(command, Bare):
            return command.run(settings, args, console)
        if not settings.scaled:
            code = control.forward(settings.data, words, out=console.out, err=console.err)
            if code is not None:
                return code
        configure_logs(settings)  # else what start-up says stands between the answer on stdout
        stores = open_existing(settings, SystemClock(), epoch=new_id().hex)
        try:
            return int(command.run(stores, args, console))
        finally:
            stores.close()
    except DomainError as error:
        console.complain(str(error))
        return 2
    except BrokenPipeError:  # whoever read our output has enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
