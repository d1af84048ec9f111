"""A ClickHouse server by its URL: what is refused at the start, what is said, what is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

from domain.errors import UnsafeSetup
from projections.migrate import prepare
from projections.store import clickhouse
from projections.store.clickhouse import open_server
from projections.store.dsn import Server, server_of
from projections.store.port import ProjectionStore, ProjectionUnavailable

PASSWORD = "canary-s3cret"


def test_a_dsn_says_where_as_whom_and_under_which_name() -> None:
    assert server_of("https://me%40home:p%2Fw@db.example.com:9443/billing") == Server(
        host="db.example.com",
        port=9443,
        tls=True,
        user="me@home",
        password="p/w",
        name="billing",
        ca_cert=None,
    )


@pytest.mark.parametrize(
    ("dsn", "port", "tls", "name"),
    [
        ("http://h", 8123, False, "keytoll"),
        ("http://h/", 8123, False, "keytoll"),
        ("http://h/default", 8123, False, "keytoll"),
        ("clickhouse://u@h/kt", 8123, False, "kt"),
        ("https://h", 8443, True, "keytoll"),
        ("clickhouses://h:1/kt_2", 1, True, "kt_2"),
    ],
)
def test_what_a_dsn_leaves_out_has_a_default(dsn: str, port: int, tls: bool, name: str) -> None:
    server = server_of(dsn)
    assert (server.port, server.tls, server.name) == (port, tls, name)
    assert server.user in {"default", "u"}


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "h:8123",
        "postgresql://h/x",
        "http://",
        "http://:8123/x",
        "http://u:{}@h:port/x",
        "http://u:{}@h:99999/x",
        "http://u:{}@h/Name",
        "http://u:{}@h/a-b",
        "http://u:{}@h/a/b",
        "http://u:{}@h/x?compress=1",
        "http://u:{}@h/x?ca_cert=/nowhere",
        "https://u:{}@h/x?ca_cert=/nowhere",
        "https://u:{}@h/x?nonsense",
        "http://u:{}@h/x#fragment",
    ],
)
def test_a_dsn_that_makes_no_sense_is_refused_without_repeating_it(dsn: str) -> None:
    with pytest.raises(UnsafeSetup) as refused:
        open_server(dsn.format(PASSWORD))
    assert PASSWORD not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_certificate_authority_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    assert server_of(f"https://h/x?ca_cert={file}").ca_cert == str(file)


def test_the_password_is_not_shown() -> None:
    assert PASSWORD not in repr(server_of(f"http://u:{PASSWORD}@h/x"))


def test_a_server_that_is_away_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(ProjectionUnavailable, match="refused") as away:
        open_server(f"http://u:{PASSWORD}@127.0.0.1:{port}/x")
    assert PASSWORD not in str(away.value)


def test_a_server_that_says_nothing_is_unavailable_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clickhouse, "SILENCE_S_MAX", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ProjectionUnavailable, match="timed out"):
            open_server(f"http://u:{PASSWORD}@127.0.0.1:{port}/x")


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(2)
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")

        def listen() -> None:
            try:
                proxy.accept()[0].close()
                asked.append("asked")
            except TimeoutError:
                pass

        listener = Thread(target=listen)
        listener.start()
        with pytest.raises(ProjectionUnavailable):
            open_server(f"http://u:{PASSWORD}@127.0.0.1:1/x")
        listener.join()
    assert not asked


def test_a_server_that_is_away_is_told_by_us_alone(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ProjectionUnavailable):
        open_server("http://127.0.0.1:1/x")
    assert not caplog.records


@pytest.fixture
def server(clickhouse_dsn: str) -> Iterator[ProjectionStore]:
    store = open_server(clickhouse_dsn)
    yield store
    store.close()


@pytest.mark.services
def test_another_password_is_refused(clickhouse_dsn: str) -> None:
    right = urlsplit(clickhouse_dsn).password
    assert right
    with pytest.raises(UnsafeSetup, match="516") as refused:
        open_server(clickhouse_dsn.replace(right, PASSWORD))
    assert PASSWORD not in str(refused.value)


@pytest.mark.services
def test_a_server_that_is_too_old_is_refused(
    clickhouse_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clickhouse, "VERSION_MIN", (99, 1))
    with pytest.raises(UnsafeSetup, match=r"must be 99\.1 or newer"):
        open_server(clickhouse_dsn)


@pytest.mark.services
def test_a_server_that_runs_with_other_settings_is_refused(
    clickhouse_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clickhouse, "SETTINGS", {**clickhouse.SETTINGS, "no_such_setting": "1"})
    with pytest.raises((UnsafeSetup, ProjectionUnavailable), match="no_such_setting"):
        open_server(clickhouse_dsn)


@pytest.mark.services
def test_installations_on_one_server_are_apart(clickhouse_dsn: str) -> None:
    first, second = open_server(clickhouse_dsn), open_server(f"{clickhouse_dsn}_b")
    try:
        prepare(first)
        prepare(second)
        name = first.site.name
        assert (first.database, second.database) == (f"{name}_g1", f"{name}_b_g1")
    finally:
        first.close()
        second.close()


@pytest.mark.services
def test_two_processes_prepare_at_once(clickhouse_dsn: str) -> None:
    stores = [open_server(clickhouse_dsn) for _ in range(3)]
    try:
        threads = [Thread(target=prepare, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {store.database for store in stores} == {f"{stores[0].site.name}_g1"}
    finally:
        for store in stores:
            store.close()


@pytest.mark.services
def test_a_statement_that_fails_is_an_error_though_its_answer_has_begun(
    server: ProjectionStore,
) -> None:
    with pytest.raises(ProjectionUnavailable, match="too late"):
        server.query("SELECT throwIf(number = 900000, 'too late') FROM numbers(1000000)")
