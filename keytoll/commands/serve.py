"""`keytoll init` and `keytoll serve`."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from domain.clock import SystemClock
from domain.directory import Directory
from domain.errors import DomainError, UnsafeSetup
from domain.eventlog.port import StoreUnavailable
from domain.eventlog.sqlite_file import is_blank
from domain.ids import new_id
from domain.installation import Installation
from keytoll.commands.port import Bare, Command, Console, no_arguments
from keytoll.control import RunCommand
from keytoll.listener import listen
from keytoll.logs import configure_logs
from keytoll.prefork import Inherited, Prefork
from keytoll.setting import Address
from keytoll.settings import Settings
from keytoll.wiring import EVENTS_FILE, Stores, first_start, open_stores

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
WORKERS_MAX: Final = 64
PAGE_ROLES: Final = ("owner", "operator")
"""Who is given a link into the pages when the server starts."""


def init(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Create the first account, and what holds it. Raises UnsafeSetup when there is one."""
    if not settings.store and not is_blank(settings.data / EVENTS_FILE):
        raise UnsafeSetup(f"{settings.data} is initialised already; nothing was changed")
    configure_logs(settings)
    with _opened(settings) as stores:
        first = first_start(stores)
    if first is None:
        raise UnsafeSetup("the database is initialised already; nothing was changed")
    if args.json:
        keys = {role: key.reveal() for role, key in first.api_keys.items()}
        data = str(settings.data.resolve())
        shown = {"data": data, "account_id": first.account_id, "api_keys": keys}
        console.answer(shown)
    else:
        _show_keys(first, console)
    return 0


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        default=1,
        help="processes that serve on the one port (scaled mode)",
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {WORKERS_MAX}")
    return int(text)


def serve(settings: Settings, args: argparse.Namespace, console: Console) -> int:
    """Serve until told to stop; an empty installation is initialised first."""
    configure_logs(settings)
    if args.child is not None:
        return _serve_child(settings, Inherited.of(args.child))
    if args.workers > 1:
        return _serve_by_children(settings, args.workers, console)
    with closing(listen(settings.listen)) as listener, _opened(settings) as stores:
        first = first_start(stores)
        _run(
            stores,
            listener,
            started=lambda sessions: _greet(
                base_url_of(listener), first, stores, sessions, console
            ),
        )
    return 0


def _serve_by_children(settings: Settings, count: int, console: Console) -> int:
    """Hold the socket, and start and watch the processes that serve on it."""
    if not settings.scaled:
        raise UnsafeSetup(
            "--workers: several processes share neither SQLite nor the tables of a data folder;"
            " set KEYTOLL_STORE and KEYTOLL_CLICKHOUSE"
        )
    if settings.sandbox and settings.sandbox_listen.port:
        raise UnsafeSetup("KEYTOLL_SANDBOX_LISTEN: the sandboxes of --workers cannot share a port")
    clock = SystemClock()
    with closing(listen(settings.listen)) as listener:
        with _opened(settings) as stores:
            first = first_start(stores)
        base_url = base_url_of(listener)
        console.say(f"keytoll serves on {base_url} by {count} processes")
        if first is not None:
            _show_keys(first, console)
        console.say(f"pages: {settings.public_url or base_url}, sign in with an API key")
        console.out.flush()
        Prefork(
            listener, count=count, clock=clock, stop_timeout_s=settings.shutdown_timeout_s
        ).run()
    return 0


def _serve_child(settings: Settings, inherited: Inherited) -> int:
    """Serve on the parent's socket, until a signal or the parent's end."""
    at = settings.metrics_listen
    if at is not None and at.port:
        settings = replace(settings, metrics_listen=Address(at.host, at.port + inherited.number))
    with closing(inherited.listener) as listener, _opened(settings) as stores:
        _run(stores, listener, started=lambda _: None, life=inherited.life)
    return 0


def _opened(settings: Settings) -> closing[Stores]:
    return closing(open_stores(settings, SystemClock(), epoch=new_id().hex))


def _run(
    stores: Stores,
    listener: socket.socket,
    *,
    started: Callable[[Sessions], None],
    life: int | None = None,
) -> None:
    # Only here: a command that asks a question does not wait for the web application.
    import uvloop  # noqa: PLC0415

    from keytoll.server import Server  # noqa: PLC0415

    async def run() -> None:
        server = Server(stores, run_command=command_runner(stores), life=life)
        await server.run(listener, started=started)

    uvloop.run(run())


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
    settings = stores.settings
    data = "" if settings.scaled else f", data in {settings.data.resolve()}"
    console.say(f"keytoll serves on {base_url}{data}")
    if first is not None:
        _show_keys(first, console)
        if settings.sandbox:
            owner = first.api_keys["owner"].reveal()
            console.say(FIRST_CALL.format(base_url=base_url, owner=owner))
    else:
        console.say("Lost every API key? A new one: keytoll api-key issue --role owner")
    try:
        _show_links(settings.public_url or base_url, stores.directory, sessions, console)
    except StoreUnavailable:
        # It serves already, and waits for the database; a greeting must not end it.
        console.say("No sign-in links now: the database is away.")
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
    Bare("serve", "serve calls until told to stop", _serve_arguments, serve),
)
