"""What `keytoll work`, `serve --workers` and `restore` refuse before they touch anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FREE = {"KEYTOLL_LISTEN": "127.0.0.1:0"}
STORE = {"KEYTOLL_STORE": "postgresql://u:horse@127.0.0.1:9/d"}
CLICKHOUSE = {"KEYTOLL_CLICKHOUSE": "http://u:horse@127.0.0.1:9/d"}


def refused(words: str, settings: dict[str, str], folder: Path) -> str:
    """What the one line says, of a process of its own: logs are set up once in each."""
    done = subprocess.run(
        [sys.executable, "-m", "keytoll", *words.split()],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert "horse" not in done.stderr
    assert [each.name for each in folder.iterdir()] in ([], ["data"])
    return done.stderr


@pytest.mark.parametrize(
    ("part", "settings"), [("project", {}), ("sweep", STORE), ("close", CLICKHOUSE)]
)
def test_no_part_runs_apart_where_the_server_does_it(
    part: str,
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    said = refused(f"work {part}", settings, tmp_path)
    assert "KEYTOLL_STORE and KEYTOLL_CLICKHOUSE" in said


def test_a_relay_needs_somewhere_to_relay_to(tmp_path: Path) -> None:
    assert "KEYTOLL_KAFKA" in refused("work relay", {**STORE, **CLICKHOUSE}, tmp_path)


def test_the_master_key_must_be_given_where_a_vault_is_shared(tmp_path: Path) -> None:
    for words in ("init", "work sweep"):
        said = refused(words, {**STORE, **CLICKHOUSE}, tmp_path)
        assert "KEYTOLL_MASTER_KEY" in said


def test_a_database_that_is_away_is_told_in_one_line_without_its_url(tmp_path: Path) -> None:
    key = {"KEYTOLL_MASTER_KEY": "a2V5dG9sbCdzIHNjYWxlZCB0ZXN0cywgMzIgYnl0ZXM="}
    said = refused("work project", {**STORE, **CLICKHOUSE, **key}, tmp_path)
    assert "database" in said


def test_several_processes_do_not_share_files(tmp_path: Path) -> None:
    assert "--workers" in refused("serve --workers 2", FREE, tmp_path)


def test_sandboxes_of_several_processes_do_not_share_a_port(tmp_path: Path) -> None:
    settings = {
        **FREE,
        **STORE,
        **CLICKHOUSE,
        "KEYTOLL_SANDBOX": "on",
        "KEYTOLL_SANDBOX_LISTEN": "127.0.0.1:4711",
    }
    said = refused("serve --workers 2", settings, tmp_path)
    assert "KEYTOLL_SANDBOX_LISTEN" in said


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("restore --database", {}),
        ("restore file", STORE),
    ],
)
def test_restore_takes_a_file_or_databases_as_the_store_is(
    words: str,
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    assert "--database" in refused(words, settings, tmp_path)
