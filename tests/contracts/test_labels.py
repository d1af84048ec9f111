from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.errors import BadValue
from domain.labels.memory import MemoryLabels
from domain.labels.port import (
    LABEL,
    Labels,
    checked_label,
    default_tags,
    set_default_tags,
)
from domain.labels.postgres import PostgresLabels
from domain.labels.sqlite import SqliteLabels
from domain.tags import checked_tags

LABELS = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.services)]


@pytest.fixture(params=LABELS)
def labels(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Labels]:
    made: Labels
    if request.param == "memory":
        made = MemoryLabels()
    elif request.param == "sqlite":
        made = SqliteLabels(tmp_path / "labels.sqlite")
    else:
        made = PostgresLabels(request.getfixturevalue("postgres_dsn"))
    yield made
    made.close()


def test_fields_are_written_read_and_taken_back(labels: Labels) -> None:
    assert labels.get("cred_1") == {}
    labels.set("cred_1", "label", "work")
    labels.set("cred_1", "note", "x")
    labels.set("cred_2", "label", "home")
    labels.set("cred_1", "label", "Büro")
    assert labels.get("cred_1") == {"label": "Büro", "note": "x"}
    labels.set("cred_1", "note", None)
    labels.set("cred_1", "never", None)
    assert labels.get("cred_1") == {"label": "Büro"}
    labels.set("cred_1", "label", None)
    assert labels.get("cred_1") == {}
    assert labels.get("cred_2") == {"label": "home"}
    assert labels.rows() == [("cred_2", "label", "home")]


def test_what_was_read_does_not_change_under_the_reader(labels: Labels) -> None:
    labels.set("cred_1", "label", "a")
    seen = labels.get("cred_1")
    labels.set("cred_1", "label", "b")
    assert seen == {"label": "a"}


def test_of_many_takers_one_gets_it(labels: Labels) -> None:
    labels.set("tickets", "a", "once")
    labels.set("tickets", "b", "stays")
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda _: labels.take("tickets", "a"), range(8)))
    assert sorted(each or "" for each in taken) == [""] * 7 + ["once"]
    assert labels.take("tickets", "never") is None
    assert labels.get("tickets") == {"b": "stays"}


def test_default_tags_are_replaced_as_a_whole(labels: Labels) -> None:
    assert default_tags(labels, "acc_1") == {}
    set_default_tags(labels, "acc_1", {"team": "a", "env": "prod"})
    set_default_tags(labels, "acc_1", {"team": "b"})
    assert default_tags(labels, "acc_1") == {"team": "b"}
    set_default_tags(labels, "acc_1", {})
    assert labels.get("acc_1") == {}


def test_a_label_that_is_taken_back_leaves_the_file(tmp_path: Path) -> None:
    labels = SqliteLabels(tmp_path / "labels.sqlite")
    labels.set("acc_1", LABEL, "Erika Mustermann")
    labels.set("acc_1", LABEL, None)
    raw = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"Mustermann" not in raw
    labels.close()


def test_labels_survive(tmp_path: Path) -> None:
    first = SqliteLabels(tmp_path / "labels.sqlite")
    first.set("acc_1", LABEL, "a")
    first.close()
    assert (tmp_path / "labels.sqlite").stat().st_mode & 0o077 == 0
    again = SqliteLabels(tmp_path / "labels.sqlite")
    assert again.get("acc_1") == {LABEL: "a"}
    again.close()


@pytest.mark.services
def test_what_one_process_writes_another_reads_when_it_has_caught_up(postgres_dsn: str) -> None:
    one, other = PostgresLabels(postgres_dsn), PostgresLabels(postgres_dsn)
    one.set("acc_1", LABEL, "a")
    one.set("acc_2", LABEL, "b")
    assert other.get("acc_1") == {}
    other.catch_up()
    assert (other.get("acc_1"), other.get("acc_2")) == ({LABEL: "a"}, {LABEL: "b"})
    other.set("acc_1", LABEL, None)
    one.set("acc_2", LABEL, "c")
    one.catch_up()
    other.catch_up()
    for each in (one, other, PostgresLabels(postgres_dsn)):
        assert (each.get("acc_1"), each.get("acc_2")) == ({}, {LABEL: "c"})
        each.close()


@pytest.mark.services
def test_a_ticket_is_taken_before_it_was_ever_read(postgres_dsn: str) -> None:
    one, other = PostgresLabels(postgres_dsn), PostgresLabels(postgres_dsn)
    one.set("tickets", "a", "once")
    assert other.take("tickets", "a") == "once"
    assert one.get("tickets") == {"a": "once"}
    assert one.take("tickets", "a") is None
    assert one.get("tickets") == {}
    one.close()
    other.close()


@pytest.mark.services
def test_no_follower_misses_a_change_of_many_writers(postgres_dsn: str) -> None:
    follower = PostgresLabels(postgres_dsn)

    def write(number: int) -> None:
        labels = PostgresLabels(postgres_dsn)
        for turn in range(25):
            labels.set(f"acc_{number}", f"f{turn}", "x")
        labels.close()

    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write, number) for number in range(4)]
        while not all(each.done() for each in writing):
            follower.catch_up()
    follower.catch_up()
    assert [len(follower.get(f"acc_{number}")) for number in range(4)] == [25] * 4
    follower.close()


@pytest.mark.parametrize("text", ["x" * 101, "two\nlines", "a\ttab", "\ud800", "bell\x07"])
def test_a_label_is_one_short_line(text: str) -> None:
    with pytest.raises(BadValue) as raised:
        checked_label(text, param="label")
    assert raised.value.param == "label"


@pytest.mark.parametrize(
    ("text", "kept"), [(None, None), ("  ", None), (" a ", "a"), ("x" * 100, "x" * 100)]
)
def test_an_empty_label_is_none(text: str | None, kept: str | None) -> None:
    assert checked_label(text, param="label") == kept


@pytest.mark.parametrize(
    "tags",
    [
        {f"t{number}": "v" for number in range(9)},
        {"": "v"},
        {"a b": "v"},
        {"a": "x" * 65},
        {"a": "ü"},
        {"a\n": "v"},
    ],
)
def test_tags_are_those_that_a_call_may_carry(tags: dict[str, str]) -> None:
    with pytest.raises(BadValue):
        checked_tags(tags, param="default_tags")


def test_the_largest_tags_pass() -> None:
    tags = {f"{number}" + "k" * 63: "v" * 64 for number in range(8)}
    assert checked_tags(tags, param="default_tags") == tags
