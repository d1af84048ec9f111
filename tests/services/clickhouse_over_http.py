"""A stand-in for a ClickHouse server: ClickHouse's HTTP protocol in front of in-process chDB.

The engine behind it is the real one (chDB is ClickHouse as a library), so statements, types,
settings, errors and what is on the disk are ClickHouse's own. The protocol is imitated, as far as
an unmodified clickhouse-connect speaks it: statements in the body, the address or a form,
parameters, settings, databases, inserts in any format, compression both ways, a password, error
codes, the summary of a statement. A statement's answer is built whole before it is sent.

Not imitated: sessions (their names are accepted and mean nothing), users and grants (there is one
user, who may do everything), TLS, streaming, progress, `KILL QUERY` by query id, external data,
replication and clusters.

`python -m tests.services.clickhouse_over_http PORT FOLDER`; the user and the password stand in
CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.
"""

from __future__ import annotations

import asyncio
import base64
import email.parser
import gzip
import hmac
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import chdb
import lz4.frame
import uvicorn
from backports import zstd

STATEMENTS_MAX: Final = 8
"""Statements that run at once; more wait."""

Scope = Mapping[str, Any]
Codec = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]
CODECS: Final[Mapping[str, Codec]] = {
    "lz4": (lz4.frame.compress, lz4.frame.decompress),
    "zstd": (zstd.compress, zstd.decompress),
    "gzip": (lambda data: gzip.compress(data, 1), gzip.decompress),
}
TRANSPORT: Final = frozenset(
    {
        "query",
        "database",
        "default_format",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "quota_key",
        "role",
        "buffer_size",
        "wait_end_of_query",
        "compress",
        "decompress",
        "client_protocol_version",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
    }
)
"""Words of the address that are about the transport, not settings of the engine."""
STATUSES: Final[Mapping[int, int]] = {60: 404, 62: 400, 81: 404, 115: 404, 159: 408, 516: 403}
"""Error code → status, where ClickHouse answers another one than 500."""

_FORMAT: Final = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_INSERT: Final = re.compile(rb"\s*INSERT\s+INTO\b[^\n]*?\bFORMAT\s+\w+[^\S\n]*\n", re.IGNORECASE)
_OF_A_SESSION: Final = re.compile(r"\s*(?:SET|USE)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """One request: the statement, and the rows of an insert in the format that it names."""

    sql: str
    rows: bytes | None
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    database: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a statement gave; `read` and `written` count rows."""

    data: bytes
    read: int
    written: int
    seconds: float


class Refused(Exception):
    """The engine's own error; `code` is ClickHouse's."""

    def __init__(self, text: str) -> None:
        super().__init__(text[max(text.find("Code: "), 0) :].strip())
        found = re.search(r"Code: (\d+)", text)
        self.code = int(found[1]) if found else 1002


class Connection:
    """One handle of the engine, which keeps its settings from one statement to the next."""

    def __init__(self, folder: Path) -> None:
        self._handle = chdb.connect(str(folder))  # type: ignore[no-untyped-call]
        self._settings: Mapping[str, str] = {}
        self._database = "default"

    def close(self) -> None:
        self._handle.close()

    def run(self, statement: Statement) -> Answer:
        """Raises Refused."""
        try:
            self._adjust(statement)
            if statement.rows is None:
                return self._query(statement.sql, statement.parameters)
            with _as_file(statement.rows) as path:
                answer = self._query(_insert_from(path, statement.sql), statement.parameters)
            return Answer(data=b"", read=0, written=answer.read, seconds=answer.seconds)
        except RuntimeError as error:
            raise Refused(str(error)) from error

    def _adjust(self, statement: Statement) -> None:
        """Change only what differs from the statement before: clients repeat their settings."""
        if statement.database != self._database:
            self._query(f"USE `{statement.database.replace('`', '')}`")
            self._database = statement.database
        for name in self._settings.keys() - statement.settings.keys():
            self._query(f"SET {name} = DEFAULT")
        for name, value in statement.settings.items():
            if self._settings.get(name) != value:
                self._query(f"SET {name} = {_quoted(value)}")
        self._settings = statement.settings

    def _query(self, sql: str, parameters: Mapping[str, str] | None = None) -> Answer:
        found = self._handle.query(sql, "TabSeparated", params=dict(parameters or {}))
        return Answer(
            data=found.bytes() or b"", read=found.rows_read(), written=0, seconds=found.elapsed()
        )


class Engine:
    """A folder of tables, and connections to it that are used by one statement at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(STATEMENTS_MAX)
        self._idle = [Connection(folder)]

    async def run(self, statement: Statement) -> Answer:
        """Raises Refused."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, statement)

    def _run(self, statement: Statement) -> Answer:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self._folder)
        keep = False
        try:
            answer = connection.run(statement)
            # What a statement sets for its session must not reach the next one.
            keep = not _OF_A_SESSION.match(statement.sql)
            return answer
        finally:
            # Nor must what an error may have left half done.
            self._idle.append(connection) if keep else connection.close()

    def close(self) -> None:
        """Wait for running statements: the engine crashes if the process ends during one."""
        self._threads.shutdown()
        for connection in self._idle:
            connection.close()


class Application:
    """The protocol, as an ASGI application."""

    def __init__(self, engine: Engine, *, user: str, password: str) -> None:
        self._engine = engine
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._authorization = f"Basic {login}"

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self._engine.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Any, send: Any) -> None:
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        body = await _body(receive)
        if scope["path"] == "/ping":
            await _reply(send, 200, b"Ok.\n", {})
            return
        try:
            if not hmac.compare_digest(headers.get("authorization", ""), self._authorization):
                raise Refused(
                    "Code: 516. DB::Exception: Authentication failed: password is"
                    " incorrect, or there is no user with such name."
                    " (AUTHENTICATION_FAILED)"
                )
            address = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
            statement = _statement(headers, address, body)
            answer = await self._engine.run(statement)
        except Refused as refused:
            code = {"x-clickhouse-exception-code": str(refused.code)}
            status = STATUSES.get(refused.code, 500)
            await _reply(send, status, f"{refused}\n".encode(), code)
            return
        data, encoding = _compressed(answer.data, headers, address)
        await _reply(send, 200, data, {**_about(statement, answer, address), **encoding})


async def _body(receive: Any) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _reply(send: Any, status: int, data: bytes, headers: Mapping[str, str]) -> None:
    named = {
        "content-type": "application/octet-stream",
        "content-length": str(len(data)),
        "x-clickhouse-timezone": "UTC",
        **headers,
    }
    lines = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": data})


def _statement(headers: Mapping[str, str], address: Mapping[str, str], body: bytes) -> Statement:
    encoding = headers.get("content-encoding", "")
    if encoding in CODECS:
        body = CODECS[encoding][1](body)
    if headers.get("content-type", "").startswith("multipart/form-data"):
        address, body = {**address, **_form(headers["content-type"], body)}, b""
    sql, rows = _split(address.get("query", ""), body)
    return Statement(
        sql=sql,
        rows=rows,
        parameters={
            name.removeprefix("param_"): value
            for name, value in address.items()
            if name.startswith("param_")
        },
        settings={
            name: value
            for name, value in address.items()
            if not name.startswith("param_") and name not in TRANSPORT and name.isidentifier()
        },
        database=address.get("database") or "default",
    )


def _split(query: str, body: bytes) -> tuple[str, bytes | None]:
    """The statement, and the rows behind it if it is an insert that names their format."""
    if not query:
        head = _INSERT.match(body)
        if head is None:
            return body.decode(), None
        return head[0].decode(), body[head.end() :]
    if body and _INSERT.match(query.encode() + b"\n"):
        return query, body
    return (f"{query}\n{body.decode()}" if body else query), None


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a multipart form: how statements with long parameters are sent."""
    message = email.parser.BytesParser().parsebytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + body
    )
    fields: dict[str, str] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            fields[name] = value.decode()
    return fields


@contextmanager
def _as_file(rows: bytes) -> Iterator[str]:
    """chDB takes rows from a file only."""
    with tempfile.NamedTemporaryFile(suffix=".rows") as file:
        file.write(rows)
        file.flush()
        yield file.name


def _insert_from(path: str, sql: str) -> str:
    found = _FORMAT.search(sql)
    assert found is not None
    return f"{sql[: found.start()]} FROM INFILE {_quoted(path)} FORMAT {found[1]}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _compressed(
    data: bytes, headers: Mapping[str, str], address: Mapping[str, str]
) -> tuple[bytes, dict[str, str]]:
    if data and address.get("enable_http_compression") == "1":
        for encoding in re.split(r"\s*,\s*", headers.get("accept-encoding", "")):
            if encoding in CODECS:
                return CODECS[encoding][0](data), {"content-encoding": encoding}
    return data, {}


def _about(statement: Statement, answer: Answer, address: Mapping[str, str]) -> dict[str, str]:
    summary = {
        "read_rows": answer.read,
        "written_rows": answer.written,
        "elapsed_ns": int(answer.seconds * 1e9),
    }
    about = {
        "x-clickhouse-query-id": address.get("query_id", ""),
        "x-clickhouse-summary": json.dumps({name: str(n) for name, n in summary.items()}),
    }
    if answer.data:
        found = _FORMAT.search(statement.sql)
        about["x-clickhouse-format"] = found[1] if found else "TabSeparated"
    return about


def main() -> None:
    """Serve until SIGTERM; then finish what runs and close the tables."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    user, password = os.environ["CLICKHOUSE_USER"], os.environ["CLICKHOUSE_PASSWORD"]
    application = Application(Engine(folder), user=user, password=password)
    uvicorn.run(
        application,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=20,
    )


if __name__ == "__main__":
    main()
