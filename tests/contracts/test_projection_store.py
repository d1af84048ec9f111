"""What the column store promises, and the oddities of the engine that the adapter hides."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from projections.store.clickhouse import EMBEDDED, SETTINGS, open_embedded, open_server
from projections.store.port import Columns, OutOfRange, ProjectionStore, ProjectionUnavailable

ROOT = Path(__file__).parents[2]
IDENTITY = UUID("7a1c1d5e-0000-4000-8000-00000000000a")


@pytest.fixture(params=["embedded", pytest.param("server", marks=pytest.mark.services)])
def made(request: pytest.FixtureRequest) -> Iterator[ProjectionStore]:
    """A database of the test's own, in the engine of this process or over HTTP."""
    if request.param == "embedded":
        yield request.getfixturevalue("tables")
        return
    server = open_server(request.getfixturevalue("clickhouse_dsn"))
    yield server.at(server.site.name)
    server.close()


@pytest.fixture
def store(made: ProjectionStore) -> ProjectionStore:
    made.command(
        "CREATE TABLE $db.things (n UInt64, amount Nullable(Decimal(38, 24)), at DateTime64(6,"
        " 'UTC'), hash FixedString(32), id UUID, tags Map(String, String), names Array(String))"
        " ENGINE = ReplacingMergeTree(n) ORDER BY id"
        " SETTINGS non_replicated_deduplication_window = 100"
    )
    return made


def things(*amounts: Decimal | float | None, at: int = 0) -> Columns:
    count = len(amounts)
    return Columns(
        ("n", "amount", "at", "hash", "id", "tags", "names"),
        (
            range(count),
            amounts,
            [at] * count,
            [bytes(range(32))] * count,
            [UUID(int=number) for number in range(count)],
            [{"team": "größer"}] * count,
            [["a", "b'c\\"]] * count,
        ),
    )


def amounts_of(store: ProjectionStore) -> list[Decimal | None]:
    return [amount for (amount,) in store.query("SELECT amount FROM $db.things ORDER BY n")]


def test_rows_come_back_as_they_were(store: ProjectionStore) -> None:
    store.insert("things", things(Decimal("0.5"), at=1_700_000_000_123_456), token="a")
    assert store.query(
        "SELECT n, toUnixTimestamp64Micro(at), hash, id, tags, names FROM $db.things"
    ) == [
        (
            0,
            1_700_000_000_123_456,
            bytes(range(32)),
            UUID(int=0),
            {"team": "größer"},
            ["a", "b'c\\"],
        )
    ]


def test_decimals_keep_all_their_digits(store: ProjectionStore) -> None:
    kept = [
        Decimal("99999999999999.999999999999999999999999"),
        Decimal("-99999999999999.999999999999999999999999"),
        Decimal("1e-24"),
        Decimal("0"),
        None,
        Decimal("1e13"),
    ]
    store.insert("things", things(*kept), token="a")
    assert amounts_of(store) == kept


@pytest.mark.parametrize(
    "amount",
    [
        Decimal("1e-25"),
        Decimal("0.1234567890123456789012345"),
        Decimal("1e14"),
        Decimal("-1e14"),
        Decimal("NaN"),
        Decimal("Infinity"),
        0.5,
    ],
)
def test_an_amount_that_the_engine_would_cut_is_refused(
    store: ProjectionStore, amount: Decimal | float
) -> None:
    with pytest.raises(OutOfRange, match=r"things\.amount"):
        store.insert("things", things(Decimal(1), amount), token="a")
    assert amounts_of(store) == []


def test_the_engine_would_have_cut_it(store: ProjectionStore) -> None:
    """Why the check is ours: the day this fails, it may go."""
    store.command("INSERT INTO $db.things (n, amount) VALUES (1, '0.1234567890123456789012349')")
    assert amounts_of(store) == [Decimal("0.123456789012345678901234")]


def test_a_token_is_accepted_once(store: ProjectionStore) -> None:
    store.insert("things", things(Decimal(1)), token="a")
    store.insert("things", things(Decimal(1)), token="a")
    assert len(amounts_of(store)) == 1
    # Another token is another insert: it is the reading that collapses equal rows.
    store.insert("things", things(Decimal(1)), token="b")
    assert len(store.query("SELECT n FROM $db.things FINAL")) == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n", -1),
        ("n", 2**64),
        ("n", 1.0),
        ("n", "1"),
        ("n", True),
        ("n", None),
        ("at", 0.5),
        ("at", 2**63),
        ("at", None),
        ("hash", bytes(31)),
        ("hash", None),
        ("id", b"short"),
        ("id", "7a1c1d5e-0000-4000-8000-00000000000a"),
        ("tags", {"a": None}),
        ("tags", {"a": 1}),
        ("tags", None),
        ("names", [None]),
        ("names", None),
    ],
)
def test_what_does_not_fit_its_column_is_refused(
    store: ProjectionStore, column: str, value: object
) -> None:
    rows = things(Decimal(1), Decimal(2))
    values = dict(zip(rows.names, rows.values, strict=True))
    values[column] = [values[column][0], value]
    with pytest.raises(OutOfRange, match=rf"things\.{column}"):
        store.insert("things", Columns(rows.names, tuple(values.values())), token="a")
    assert amounts_of(store) == []


def test_extreme_values_come_back(store: ProjectionStore) -> None:
    texts = ["", "\0", "\\N", "'\t\n\\", "größer 🚂", "x" * 100_000]
    rows = Columns(
        ("n", "amount", "at", "hash", "id", "tags", "names"),
        (
            [0, 2**63, 2**64 - 1],
            [None, Decimal(0), Decimal("-0.000000000000000000000001")],
            [0, -1, 253_402_300_799_999_999],
            [bytes(32), b"\xff" * 32, bytes(range(32))],
            [UUID(int=0), UUID(int=2**128 - 1), IDENTITY.bytes],
            [{}, {"": ""}, dict(zip(texts, reversed(texts), strict=True))],
            [[], texts, [""]],
        ),
    )
    store.insert("things", rows, token="a")
    assert store.query(
        "SELECT n, amount, toUnixTimestamp64Micro(at), hash, id, tags, names"
        " FROM $db.things ORDER BY n"
    ) == [
        (0, None, 0, bytes(32), UUID(int=0), {}, []),
        (2**63, Decimal(0), -1, b"\xff" * 32, UUID(int=2**128 - 1), {"": ""}, texts),
        (
            2**64 - 1,
            Decimal("-0.000000000000000000000001"),
            253_402_300_799_999_999,
            bytes(range(32)),
            IDENTITY,
            dict(zip(texts, reversed(texts), strict=True)),
            [""],
        ),
    ]


def test_sums_are_exact_and_wide(store: ProjectionStore) -> None:
    large = Decimal("99999999999999.999999999999999999999999")
    store.insert("things", things(large, large, large), token="a")
    total = store.query("SELECT sum(toDecimal256(ifNull(amount, 0), 24)) FROM $db.things")[0][0]
    assert total == Decimal("299999999999999.999999999999999999999997")


def test_parameters_are_values_never_text(store: ProjectionStore) -> None:
    nasty = "a' OR 1=1 -- \\ \\n \t \n \0 ü {x:String} $db"
    assert store.query("SELECT {given:String}", {"given": nasty}) == [(nasty,)]
    assert store.query("SELECT {given:Array(String)}", {"given": [nasty, ""]}) == [([nasty, ""],)]


def test_a_broken_statement_says_why(store: ProjectionStore) -> None:
    with pytest.raises(ProjectionUnavailable, match="no_such_column"):
        store.query("SELECT no_such_column FROM $db.things")
    with pytest.raises(ProjectionUnavailable):
        store.command("CREATE TABLE $db.things (n UInt8) ENGINE = Memory")
    assert store.query("SELECT 1") == [(1,)]


def test_threads_share_the_store(store: ProjectionStore) -> None:
    store.command("CREATE TABLE $db.numbers (n UInt64) ENGINE = MergeTree ORDER BY n")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(5):
                rows = Columns(("n",), ([number],))
                store.insert("numbers", rows, token=f"{number}-{turn}")
                assert store.query("SELECT {n:UInt64}", {"n": number}) == [(number,)]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert store.query("SELECT count(), uniqExact(n) FROM $db.numbers") == [(40, 8)]


def test_settings_are_in_force(store: ProjectionStore) -> None:
    expected = SETTINGS if store.site.shared else EMBEDDED
    found: dict[str, str] = dict(
        store.query(
            "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}",
            {"names": list(expected)},
        )
    )
    assert found == expected


def test_views_of_one_store_have_databases_of_their_own(store: ProjectionStore) -> None:
    other = store.at("system")
    assert (store.database != "system", other.database) == (True, "system")
    assert other.query("SELECT count() > 0 FROM $db.tables") == [(1,)]
    with pytest.raises(ValueError, match="name of a database"):
        store.use("x; DROP DATABASE y")


ALONE = """
    import os, sys, threading
    from pathlib import Path
    from domain.errors import UnsafeSetup
    from projections.store.clickhouse import open_embedded
    from projections.store.port import ProjectionUnavailable

    folder = Path(sys.argv[1])
    store = open_embedded(folder)
    store.command("CREATE TABLE IF NOT EXISTS default.kept (n UInt64)"
                  " ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1")
"""


def alone(script: str, folder: Path) -> str:
    """Run in a process of its own, because an engine has one folder per process."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ALONE) + textwrap.dedent(script), str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout


def test_a_process_may_end_during_a_query(tmp_path: Path) -> None:
    script = """
        def slow():
            try:
                store.query("SELECT sum(sleepEachRow(0.05)) FROM numbers(10)")
            except ProjectionUnavailable:
                pass
        threading.Thread(target=slow, daemon=True).start()
        import time
        time.sleep(0.1)
        print("ending")
    """
    assert alone(script, tmp_path) == "ending\n"


def test_a_second_owner_is_refused_and_a_child_too(tmp_path: Path) -> None:
    script = """
        import subprocess
        second = ("import sys; from pathlib import Path\\n"
                  "from domain.errors import UnsafeSetup\\n"
                  "from projections.store.clickhouse import open_embedded\\n"
                  "try: open_embedded(Path(sys.argv[1]))\\n"
                  "except UnsafeSetup as error: print('refused')\\n")
        print(subprocess.run([sys.executable, "-c", second, str(folder)], capture_output=True,
                             text=True, check=True).stdout.strip())
        child = os.fork()
        if child == 0:
            try:
                store.query("SELECT 1")
            except ProjectionUnavailable:
                os._exit(7)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        store.close()
        store.close()
        try:
            store.query("SELECT 1")
        except ProjectionUnavailable as error:
            print(error)
        again = open_embedded(folder)
        print(again.query("SELECT 1"))
        again.close()
    """
    assert alone(script, tmp_path).splitlines() == [
        "refused",
        "7",
        "the projection store is closed",
        "[(1,)]",
    ]


def test_an_acknowledged_insert_survives_kill_9(tmp_path: Path) -> None:
    script = """
        from projections.store.port import Columns
        store.insert("kept", Columns(("n",), ([42],)), token="x")
        print("acknowledged", flush=True)
        os.kill(os.getpid(), 9)
    """
    with pytest.raises(AssertionError, match="-9"):
        alone(script, tmp_path)
    assert alone('print(store.query("SELECT n FROM default.kept"))', tmp_path) == "[(42,)]\n"


def test_the_driver_is_loaded_only_when_a_store_is_opened() -> None:
    script = (
        "import sys, projections.store.clickhouse, projections.projector, workers.close\n"
        "print([name for name in ('chdb', 'clickhouse_connect') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_opening_is_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name of a database"):
        open_embedded(tmp_path, database="no good")
