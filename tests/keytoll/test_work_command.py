"""What `keytoll work`, `serve --workers` and `restore` refuse before they touch anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from keytoll.__main__ import main
from keytoll.commands.work import PARTS

STORE = {"KEYTOLL_STORE": "postgresql://u:horse@127.0.0.1:9/d"}
CLICKHOUSE = {"KEYTOLL_CLICKHOUSE": "http://u:horse@127.0.0.1:9/d"}


def refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    settings: dict[str, str],
) -> str:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert main(words.split()) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.count("\n") == 1
    assert "horse" not in said.err
    return said.err


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("settings", [{}, STORE, CLICKHOUSE], ids=["none", "store", "clickhouse"])
def test_no_part_runs_apart_where_the_server_does_it(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    settings: dict[str, str],
    somewhere: Path,
) -> None:
    said = refused(capsys, monkeypatch, f"work {part}", settings)
    assert "KEYTOLL_STORE and KEYTOLL_CLICKHOUSE" in said
    assert not list(somewhere.iterdir())


def test_a_relay_needs_somewhere_to_relay_to(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "KEYTOLL_KAFKA" in refused(capsys, monkeypatch, "work relay", {**STORE, **CLICKHOUSE})


def test_the_master_key_must_be_given_where_a_vault_is_shared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, somewhere: Path
) -> None:
    for words in ("init", "work sweep", "status"):
        said = refused(capsys, monkeypatch, words, {**STORE, **CLICKHOUSE})
        assert "KEYTOLL_MASTER_KEY" in said
    assert not (somewhere / "data.key").exists()


def test_a_database_that_is_away_is_told_in_one_line_without_its_url(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"KEYTOLL_MASTER_KEY": "a2V5dG9sbCdzIHNjYWxlZCB0ZXN0cywgMzIgYnl0ZXM="}
    said = refused(capsys, monkeypatch, "work project", {**STORE, **CLICKHOUSE, **key})
    assert "database" in said


def test_several_processes_do_not_share_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYTOLL_LISTEN", "127.0.0.1:0")
    assert "--workers" in refused(capsys, monkeypatch, "serve --workers 2", {})


def test_sandboxes_of_several_processes_do_not_share_a_port(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        **STORE,
        **CLICKHOUSE,
        "KEYTOLL_SANDBOX": "on",
        "KEYTOLL_SANDBOX_LISTEN": "127.0.0.1:4711",
    }
    said = refused(capsys, monkeypatch, "serve --workers 2", settings)
    assert "KEYTOLL_SANDBOX_LISTEN" in said


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("restore", {}),
        ("restore --database", {}),
        ("restore file", STORE),
        ("restore file --database", STORE),
    ],
)
def test_restore_takes_a_file_or_databases_as_the_store_is(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    settings: dict[str, str],
) -> None:
    assert "--database" in refused(capsys, monkeypatch, words, settings)
