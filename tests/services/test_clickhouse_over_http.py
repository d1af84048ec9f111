"""An unmodified clickhouse-connect finds in the stand-in what it would find in a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.services.clickhouse import ClickHouse
from tests.services.fixtures import in_database

pytestmark = pytest.mark.services


@pytest.fixture
def client(clickhouse_dsn: str) -> Iterator[Any]:
    client = clickhouse_connect.get_client(dsn=clickhouse_dsn)
    yield client
    client.close()


def numbers(client: Any) -> None:
    client.command("CREATE TABLE numbers (n UInt64, x Decimal(38, 18)) ENGINE MergeTree ORDER BY n")


def test_values_come_back_as_they_are_and_parameters_are_not_text(client: Any) -> None:
    odd = "a'b\\c\tä\n{x:String}"
    rows = client.query(
        "SELECT {odd:String}, {many:Array(UInt64)}, {exact:Decimal(38, 18)}",
        parameters={"odd": odd, "many": [1, 2], "exact": Decimal("0.000000000000000001")},
    ).result_rows
    assert rows == [(odd, [1, 2], Decimal("0.000000000000000001"))]


def test_parameters_too_long_for_an_address_are_sent_as_a_form(client: Any) -> None:
    many = list(range(20_000))
    rows = client.query(
        "SELECT count(), sum(n) FROM (SELECT arrayJoin({many:Array(UInt64)}) AS n)",
        parameters={"many": many},
    ).result_rows
    assert rows == [(20_000, sum(many))]


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_rows_go_in_and_come_out_in_every_compression(
    clickhouse_dsn: str, compress: str | bool
) -> None:
    client = clickhouse_connect.get_client(dsn=clickhouse_dsn, compress=compress)
    numbers(client)
    rows = [[n, Decimal(n) / 8] for n in range(50_000)]
    summary = client.insert("numbers", rows, column_names=["n", "x"])
    assert summary.written_rows == 50_000
    found = client.query("SELECT n, x FROM numbers ORDER BY n").result_rows
    assert [list(row) for row in found] == rows
    client.close()


def test_an_insert_with_the_same_token_counts_once(client: Any) -> None:
    client.command(
        "CREATE TABLE once (n UInt64) ENGINE MergeTree ORDER BY n"
        " SETTINGS non_replicated_deduplication_window = 10"
    )
    for token in ("a", "a", "b"):
        client.insert(
            "once", [[1]], column_names=["n"], settings={"insert_deduplication_token": token}
        )
    assert client.query("SELECT count() FROM once").result_rows == [(2,)]


def test_rows_may_stand_in_the_statement(client: Any) -> None:
    numbers(client)
    client.command("INSERT INTO numbers VALUES (1, 1.5), (2, 2.5)")
    client.raw_insert("numbers", ["n", "x"], "3\t3.5\n", fmt="TabSeparated")
    client.command("INSERT INTO numbers SELECT n + 10, x FROM numbers")
    assert client.command("SELECT sum(n) FROM numbers") == 42
    assert client.raw_query("SELECT 1", fmt="JSONEachRow") == b'{"1":1}\n'


def test_settings_hold_for_their_statement_only(clickhouse_dsn: str) -> None:
    limited = clickhouse_connect.get_client(dsn=clickhouse_dsn, settings={"max_threads": 1})
    plain = clickhouse_connect.get_client(dsn=clickhouse_dsn)
    asked = "SELECT getSetting('max_threads'), getSetting('max_block_size')"
    default = plain.query(asked).result_rows
    assert limited.query(asked, settings={"max_block_size": 77}).result_rows == [(1, 77)]
    assert limited.query(asked).result_rows == [(1, default[0][1])]
    plain.command("SET max_threads = 1")
    assert plain.query(asked).result_rows == default
    limited.close()
    plain.close()


def test_each_database_has_its_own_tables(clickhouse_server: str, client: Any) -> None:
    numbers(client)
    elsewhere = clickhouse_connect.get_client(dsn=clickhouse_server)
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        elsewhere.query("SELECT * FROM numbers")
    assert elsewhere.query(f"SELECT count() FROM {client.database}.numbers").result_rows == [(0,)]
    elsewhere.close()


@pytest.mark.parametrize(
    ("statement", "code", "name"),
    [
        ("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT throwIf(1, 'so')", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_errors_carry_the_engine_s_code(client: Any, statement: str, code: int, name: str) -> None:
    with pytest.raises(DatabaseError) as raised:
        client.query(statement)
    assert raised.value.code == code
    assert raised.value.name == name
    assert client.command("SELECT 1") == 1


def test_a_wrong_password_opens_nothing(clickhouse_server: str) -> None:
    with pytest.raises(DatabaseError) as raised:
        clickhouse_connect.get_client(dsn=clickhouse_server.replace("@", "x@"))
    assert raised.value.code == 516


def test_many_clients_insert_and_read_at_once(clickhouse_dsn: str, client: Any) -> None:
    numbers(client)
    together = threading.Barrier(6)

    def work(worker: int) -> int:
        own = clickhouse_connect.get_client(dsn=clickhouse_dsn, autogenerate_session_id=False)
        together.wait()
        for turn in range(10):
            rows = [[worker * 1000 + turn * 10 + n, Decimal(1)] for n in range(10)]
            own.insert("numbers", rows, column_names=["n", "x"])
        (found,) = own.query(
            "SELECT count() FROM numbers WHERE intDiv(n, 1000) = {worker:UInt64}",
            parameters={"worker": worker},
        ).result_rows
        own.close()
        return int(found[0])

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(work, range(6))) == [100] * 6


def test_what_was_acknowledged_survives_a_kill_and_an_orderly_end() -> None:
    server = ClickHouse()
    server.start()
    for ending in (server.kill, server.stop):
        client = clickhouse_connect.get_client(dsn=server.dsn)
        client.command("CREATE DATABASE IF NOT EXISTS kept")
        client.command(
            "CREATE TABLE IF NOT EXISTS kept.t (n UInt64) ENGINE MergeTree ORDER BY n"
            " SETTINGS fsync_after_insert = 1"
        )
        client.insert("kept.t", [[n] for n in range(10_000)], column_names=["n"])
        client.close()
        ending()
        server.start()
    client = clickhouse_connect.get_client(dsn=in_database(server.dsn, "kept"))
    assert client.query("SELECT count() FROM t").result_rows == [(20_000,)]
    client.close()
    server.remove()


def test_an_orderly_end_waits_for_the_statement_that_runs() -> None:
    server = ClickHouse()
    server.start()
    client = clickhouse_connect.get_client(dsn=server.dsn)
    found: list[object] = []
    asked = threading.Event()

    def ask() -> None:
        asked.set()
        found.append(client.command("SELECT sum(sleepEachRow(0.1)) + 5 FROM numbers(10)"))

    thread = threading.Thread(target=ask)
    thread.start()
    asked.wait()
    thread.join(0.3)
    server.stop()
    thread.join()
    assert found == [5]
    client.close()
    server.remove()
