"""`keytoll init` and `keytoll serve`."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from domain.clock import SystemClock
from domain.directory import Directory
from domain.errors import DomainError, UnsafeSetup
from domain.eventlog.sqlite_file import is_blank
from domain.ids import new_id
from domain.installation import Installation, open_installation
from keytoll.commands.port import Bare, Command, Console, no_arguments
from keytoll.control import RunCommand
from keytoll.logs import configure_logs
from keytoll.settings import Settings
from keytoll.wiring import EVENTS_FILE, Stores, open_stores

if TYPE_CHECKING:
    from api.web.session import Sessions

FIRST_CALL: Final = """
Store a provider key (the sandbox takes any), then call:

  curl -s {base_url}/api/user/provider-keys \\
    -H 'Authorization: Bearer {owner}' -H 'Content-Type: application/json' \\
    -d '{{"provider": "sandbox", "key": "play-money-0001"}}'

  curl -s {base_url}/api/v1/chat/completions \\
    -H 'Authorization: Bearer {owner}' -H 'Content-Type: application/json' \\
    -d '{{"model": "sandbox/echo", "messages": [{{"role": "user", "content": "Hello, gate"}}]}}'

The same call with the OpenAI SDK (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="{base_url}/api/v1", api_key="{owner}")
  answer = client.chat.completions.create(
      model="sandbox/echo", messages=[{{"role": "user", "content": "Hello, toll gate"}}])
  print(answer.choices[0].message.content, answer.x_keytoll)
"""
PAGE_ROLES: Final = ("owner", "operator")
"""Who is given a link into the pages when the server starts."""


def init(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Create the data folder and its first account. Raises UnsafeSetup when there is one."""
    if not is_blank(settings.data / EVENTS_FILE):
        raise UnsafeSetup(f"{settings.data} is initialised already; nothing was changed")
    configure_logs(settings)
    stores = open_stores(settings, SystemClock(), epoch=new_id().hex)
    try:
        first = open_installation(stores.ledger, stores.directory)
    finally:
        stores.close()
    if args.json:
        keys = {role: key.reveal() for role, key in first.api_keys.items()}
        data = str(settings.data.resolve())
        shown = {"data": data, "account_id": first.account_id, "api_keys": keys}
        console.answer(shown)
    else:
        _show_keys(first, console)
    return 0


def serve(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Serve until told to stop; an empty folder is initialised first."""
    # Only here: a command that asks a question does not wait for the web application.
    import uvloop  # noqa: PLC0415

    from keytoll.server import Server, listen  # noqa: PLC0415

    configure_logs(settings)
    listener = listen(settings.listen)
    try:
        stores = open_stores(settings, SystemClock(), epoch=new_id().hex)
        try:
            first = None
            if stores.directory.first_account_id() is None:
                first = open_installation(stores.ledger, stores.directory)
            base_url = base_url_of(listener)

            async def run() -> None:
                server = Server(stores, run_command=command_runner(stores))
                await server.run(
                    listener,
                    started=lambda sessions: _greet(base_url, first, stores, sessions, console),
                )

            uvloop.run(run())
        finally:
            stores.close()
    finally:
        listener.close()
    return 0


def base_url_of(listener: socket.socket) -> str:
    """The URL that a listening socket answers on."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def command_runner(stores: Stores) -> RunCommand:
    """How the server carries out a command that came through the control socket."""

    def run(argv: list[str], folder: Path, out: TextIO, err: TextIO) -> int:
        from keytoll.commands.table import parser  # noqa: PLC0415 - the table names this file

        console = Console(out, err, folder)
        try:
            args = parser().parse_args(argv)
            return int(args.command.run(stores, args, console))
        except DomainError as error:
            console.complain(str(error))
            return 2
        except SystemExit:  # `--help`: it would end the server, not the command
            console.complain("the server carries out commands only")
            return 2

    return run


def _greet(
    base_url: str,
    first: Installation | None,
    stores: Stores,
    sessions: Sessions,
    console: Console,
) -> None:
    """What a newcomer needs next."""
    console.say(f"keytoll serves on {base_url}, data in {stores.settings.data.resolve()}")
    if first is not None:
        _show_keys(first, console)
        if stores.settings.sandbox:
            owner = first.api_keys["owner"].reveal()
            console.say(FIRST_CALL.format(base_url=base_url, owner=owner))
    else:
        console.say("Lost every API key? A new one: keytoll api-key issue --role owner")
    _show_links(stores.settings.public_url or base_url, stores.directory, sessions, console)
    console.out.flush()


def _show_links(base_url: str, directory: Directory, sessions: Sessions, console: Console) -> None:
    """A way into the pages for each role that has one, without pasting a key."""
    account_id = directory.first_account_id()
    keys = directory.api_keys(account_id) if account_id is not None else ()
    of_role = {key.role: key.key_id for key in keys if not key.revoked}
    for role in PAGE_ROLES:
        if role in of_role:
            link = f"{base_url}/sign-in/{sessions.ticket(of_role[role])}"
            console.say(f"pages as {role}: {link}")
    console.say("Each link signs in once, within 15 minutes.")


def _show_keys(first: Installation, console: Console) -> None:
    console.say(f"account   {first.account_id}")
    for role, key in first.api_keys.items():
        console.say(f"{role:<9} {key.reveal()}")
    console.say("These keys are shown once. Keep them.")


COMMANDS: Final[tuple[Command, ...]] = (
    Bare("init", "create the data folder and the first account", no_arguments, init),
    Bare("serve", "serve calls until told to stop", no_arguments, serve),
)
