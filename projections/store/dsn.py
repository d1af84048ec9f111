"""The URL of a ClickHouse server: what it may say, and nothing of it in a message."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from domain.errors import UnsafeSetup
from projections.store.port import Site

DATABASE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a database of ours may be called."""

_SCHEMES: Final = {"http": False, "clickhouse": False, "https": True, "clickhouses": True}
_PORTS: Final = {False: 8123, True: 8443}
_OPTIONS: Final = frozenset({"ca_cert"})
_UNNAMED: Final = frozenset({"", "default"})
_FORM: Final = "http(s)://user:password@host:port/name"


@dataclass(frozen=True, slots=True)
class Server:
    """One ClickHouse server's HTTP port."""

    host: str
    port: int
    tls: bool
    user: str
    password: str = field(repr=False)
    name: str
    """What the databases of this installation are called."""
    ca_cert: str | None
    """File of the certificate authority; None for those that the system trusts."""

    @property
    def where(self) -> str:
        """For messages."""
        return f"ClickHouse at {self.host}:{self.port}"


def server_of(dsn: str) -> Server:
    """Read a DSN. Raises UnsafeSetup, which repeats nothing of it."""
    try:
        parts = urlsplit(dsn)
        tls = _SCHEMES[parts.scheme]
        port = parts.port or _PORTS[tls]
        options = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
    except (KeyError, ValueError):
        raise UnsafeSetup(f"the URL of ClickHouse is not of the form {_FORM}") from None
    if not parts.hostname or parts.fragment:
        raise UnsafeSetup(f"the URL of ClickHouse is not of the form {_FORM}")
    if options.keys() - _OPTIONS:
        raise UnsafeSetup("the URL of ClickHouse may only have the option ca_cert=<file>")
    name = unquote(parts.path).strip("/")
    if name in _UNNAMED:
        name = Site().name
    if not DATABASE.fullmatch(name):
        raise UnsafeSetup("the URL of ClickHouse must end in a name of lower case, digits and _")
    ca_cert = options.get("ca_cert")
    if ca_cert is not None and not (tls and Path(ca_cert).is_file()):
        raise UnsafeSetup("ca_cert of the URL of ClickHouse is a file, and needs https")
    return Server(
        host=parts.hostname,
        port=port,
        tls=tls,
        user=unquote(parts.username or "") or "default",
        password=unquote(parts.password or ""),
        name=name,
        ca_cert=ca_cert,
    )
