"""Each driver, each clock and the environment have one home."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from tests.architecture.source import LAYERS, ROOT, sources

DRIVERS: Final[dict[str, tuple[str, ...]]] = {
    "aiohttp": ("api/providers/http.py", "api/providers/pool.py"),
    "botocore": ("api/providers/converse/wire.py",),
    "chdb": ("projections/store/clickhouse.py",),
    "clickhouse_connect": ("projections/store/clickhouse.py",),
    "crc32c": ("domain/eventlog/kafka_connection.py",),
    "cryptography": ("domain/vault/envelope.py",),
    "eventsourcing": ("domain/",),
    "eventsourcing.postgres": ("domain/eventlog/postgres_recorder.py",),
    "eventsourcing.sqlite": ("domain/eventlog/sqlite.py",),
    "fastapi": ("api/",),
    "httpx": ("api/providers/http.py", "api/providers/pool.py"),
    "httpx_aiohttp": ("api/providers/pool.py",),
    "jinja2": ("api/web/pages.py",),
    "kafka": ("domain/eventlog/kafka",),
    "prometheus_client": ("api/metrics.py",),
    "pydantic": ("api/routes/",),
    "psycopg": ("domain/postgres.py",),
    "pyarrow": ("projections/",),
    "reportlab": ("projections/paper.py",),
    "sqlite3": ("domain/sqlite.py",),
    "starlette": ("api/",),
    "tiktoken": ("api/chat/estimate.py",),
    "uvicorn": ("keytoll/",),
    "uvloop": ("keytoll/",),
    "yarl": ("api/providers/pool.py",),
}
"""Module → the files, or folders, that may import it."""

CLOCKS: Final = {
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.localtime",
    "time.gmtime",
}
CLOCK_HOMES: Final = ("domain/clock.py",)
ENVIRONMENT: Final = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"}
ENVIRONMENT_HOMES: Final = ("keytoll/settings.py",)
IDS: Final = {"uuid.uuid1", "uuid.uuid3", "uuid.uuid4", "uuid.uuid5"}
ID_HOMES: Final = ("domain/ids.py",)


def driver_of(module: str) -> str | None:
    """The most exact entry of the table that covers the module."""
    covering = [name for name in DRIVERS if module == name or module.startswith(f"{name}.")]
    return max(covering, key=len, default=None)


def test_each_driver_is_imported_in_its_home_only() -> None:
    strays = [
        f"{source.at(node)}: {module} may be imported in {', '.join(DRIVERS[driver])} only"
        for source in sources(*LAYERS)
        for module, node in source.imports()
        if (driver := driver_of(module)) and not source.name.startswith(DRIVERS[driver])
    ]
    assert not strays, "\n".join(strays)


def test_every_dependency_that_is_imported_has_a_home() -> None:
    own = {*LAYERS, "__future__", *sys.stdlib_module_names}
    everywhere = {"orjson", "structlog"}
    homeless = [
        f"{source.at(node)}: {module} is not in the table of drivers; give it a home there"
        for source in sources(*LAYERS)
        for module, node in source.imports()
        if module.partition(".")[0] not in own | everywhere | set(DRIVERS)
    ]
    assert not homeless, "\n".join(homeless)


def stray_references(names: set[str], homes: tuple[str, ...], advice: str) -> list[str]:
    return [
        f"{source.at(node)}: {name}: {advice}"
        for source in sources(*LAYERS)
        if not source.name.startswith(homes)
        for name, node in source.references()
        if name in names
    ]


def test_nothing_reads_a_clock_outside_its_home() -> None:
    strays = stray_references(CLOCKS, CLOCK_HOMES, "take a domain.clock.Clock as an argument")
    assert not strays, "\n".join(strays)


def test_nothing_reads_the_environment_outside_the_settings() -> None:
    strays = stray_references(
        ENVIRONMENT, ENVIRONMENT_HOMES, "make it a setting of keytoll/settings.py"
    )
    assert not strays, "\n".join(strays)


def test_ids_are_made_in_one_place() -> None:
    strays = stray_references(IDS, ID_HOMES, "use domain/ids.py, where derived ids are derived")
    assert not strays, "\n".join(strays)


def test_imports_point_inward() -> None:
    linted = subprocess.run(
        [f"{sys.prefix}/bin/lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
