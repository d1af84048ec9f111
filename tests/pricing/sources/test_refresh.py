"""From the sources' files to new lines: nothing is edited, nothing is written twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from domain.errors import BadValue
from pricing.book import Entries, PriceBook
from pricing.load import shipped_book, shipped_lines, shipped_names
from pricing.sources.decisions import Decision, Decisions
from pricing.sources.offer import Listed
from pricing.sources.refresh import (
    BOOKS,
    READERS,
    Edition,
    Proposal,
    append,
    edition_of,
    propose,
)

NO_RULINGS = Decisions([])


def listed(folder: Path, day: str = "2026-09-30", **costs: Any) -> Edition:
    """An edition of models.dev: models of Together, or of the host before `__`."""
    hosts: dict[str, Any] = {}
    for name, cost in costs.items():
        host, _, model = name.rpartition("__")
        models = hosts.setdefault(host or "togetherai", {"models": {}})["models"]
        modalities = {"input": ["text"], "output": ["text"]}
        models[model] = {"id": model, "cost": cost, "modalities": modalities}
    path = folder / f"models.dev-{day}.json"
    path.write_text(json.dumps(hosts))
    return Edition("models.dev", path, day)


def proposed(
    *editions: Edition,
    at: str = "2026-11-23",
    lines: list[bytes] | None = None,
    decisions: Decisions = NO_RULINGS,
) -> Proposal:
    nothing = Listed("hand-kept", [])
    return propose(
        editions,
        at=at,
        lines=lines or [],
        decisions=decisions,
        names=shipped_names(),
        kept=nothing,
    )


def entries(proposal: Proposal) -> list[dict[str, Any]]:
    lines = [line for group in proposal.appended.values() for line in group]
    return sorted(map(orjson.loads, lines), key=lambda entry: entry["n"])


def lines_of(proposal: Proposal) -> list[bytes]:
    return [orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in entries(proposal)]


CHEAP = {"input": 1, "output": 2}
DEAR = {"input": 3, "output": 4}


def test_rows_sightings_and_numbers(tmp_path: Path) -> None:
    row, seen = entries(proposed(listed(tmp_path, m=CHEAP)))
    assert row == {
        "n": 1,
        "row": {
            "id": "together/m~1",
            "provider": "together",
            "model": "m",
            "canonical": "m",
            "prices": {"input": "1", "output": "2"},
            "source": ["models.dev 2026-09-30"],
            "confidence": "medium",
            "recorded_at": "2026-11-23T00:00:00.000000Z",
        },
    }
    assert seen == {"n": 2, "seen": {"row": "together/m~1", "at": "2026-09-30T00:00:00.000000Z"}}


def test_the_same_files_again_append_nothing(tmp_path: Path) -> None:
    edition = listed(tmp_path, m=CHEAP, n={"input": 0, "output": 0}, chutes__o=DEAR)
    first = proposed(edition)
    assert proposed(edition, lines=lines_of(first)).appended == {}
    assert proposed(edition).appended == first.appended


def test_a_later_edition_with_the_same_price_is_a_sighting(tmp_path: Path) -> None:
    lines = lines_of(proposed(listed(tmp_path, m=CHEAP)))
    later = proposed(listed(tmp_path, "2026-12-01", m=CHEAP), at="2026-12-02", lines=lines)
    (entry,) = entries(later)
    assert entry == {"n": 3, "seen": {"row": "together/m~1", "at": "2026-12-01T00:00:00.000000Z"}}


def test_an_earlier_edition_is_no_sighting(tmp_path: Path) -> None:
    lines = lines_of(proposed(listed(tmp_path, m=CHEAP)))
    assert proposed(listed(tmp_path, "2026-09-01", m=CHEAP), lines=lines).appended == {}


def test_a_change_is_a_row_from_the_day_it_was_seen(tmp_path: Path) -> None:
    lines = lines_of(proposed(listed(tmp_path, m=CHEAP)))
    changed = proposed(listed(tmp_path, "2026-12-01", m=DEAR), at="2026-12-02", lines=lines)
    row = entries(changed)[0]["row"]
    assert (row["prices"]["input"], row["effective_from"], row["recorded_at"]) == (
        "3",
        "2026-12-01T00:00:00.000000Z",
        "2026-12-02T00:00:00.000000Z",
    )
    back = proposed(
        listed(tmp_path, "2027-01-01", m=CHEAP),
        at="2027-01-02",
        lines=[*lines, *lines_of(changed)],
    )
    assert entries(back)[0]["row"]["prices"]["input"] == "1"


def test_no_edition_is_newer_than_the_refresh(tmp_path: Path) -> None:
    with pytest.raises(BadValue):
        proposed(listed(tmp_path, "2026-11-24", m=CHEAP), at="2026-11-23")


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": 5}', '{"a": {"mode": "chat"}}', None])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, text: str | None) -> None:
    """Above all one that reads as empty: a refresh from it would call its source silent."""
    path = tmp_path / "file-1.2.3"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadValue, match=r"file-1\.2\.3 (cannot be read|lists no model)"):
        proposed(Edition(name, path, "2026-09-30"))


def test_every_earlier_book_stays_what_it_was(tmp_path: Path) -> None:
    lines = lines_of(proposed(listed(tmp_path, m=CHEAP)))
    later = listed(tmp_path, "2026-12-01", m=DEAR)
    changed = lines_of(proposed(later, at="2026-12-02", lines=lines))
    before, after = PriceBook(Entries(lines)), PriceBook(Entries([*lines, *changed]))
    assert after.open_book(before.hash).rows_of("together", "m") == before.rows_of("together", "m")


def test_lines_are_appended_behind_what_stands(tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    append(proposed(listed(tmp_path, m=CHEAP, chutes__o=CHEAP)), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    lines = shipped_lines(folder)
    later = listed(tmp_path, "2026-12-01", m=DEAR)
    append(proposed(later, at="2026-12-02", lines=lines), folder)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == after.keys() == {"together.jsonl", "chutes.jsonl", BOOKS}
    assert all(after[name].startswith(before[name]) for name in before)
    assert after["chutes.jsonl"] == before["chutes.jsonl"]
    assert len(shipped_lines(folder)) == len(lines) + 2
    book = shipped_book(folder)
    books = [f"{each.rows} {each.hash}" for each in (book.prefix(len(lines)), book)]
    assert after[BOOKS].decode().splitlines() == books


def test_where_prices_move_each_sighting_has_its_time(tmp_path: Path) -> None:
    moving = Decisions([Decision(provider="openrouter", newest=True, reason="they move")])
    found = proposed(listed(tmp_path, openrouter__m=CHEAP), decisions=moving)
    first, now, seen = entries(found)
    assert (first["row"].get("effective_from"), first["row"]["effective_to"]) == (
        None,
        "2026-09-30T00:00:00.000000Z",
    )
    assert now["row"]["effective_from"] == "2026-09-30T00:00:00.000000Z"
    assert seen["seen"]["row"] == now["row"]["id"]
    later = listed(tmp_path, "2026-12-01", openrouter__m=CHEAP)
    again = proposed(later, at="2026-12-02", lines=lines_of(found), decisions=moving)
    assert [list(entry) for entry in entries(again)] == [["n", "seen"]]


def test_the_end_of_a_model_is_noted_once_it_came(tmp_path: Path) -> None:
    edition = litellm(tmp_path, deprecation_date="2026-12-01")
    first = proposed(edition)
    assert not [entry for entry in entries(first) if "deprecated" in entry]
    lines = lines_of(first)
    ended = proposed(edition, at="2026-12-01", lines=lines)
    (entry,) = entries(ended)
    assert entry["deprecated"] == {"row": "novita/m~1", "at": "2026-12-01T00:00:00.000000Z"}
    assert proposed(edition, at="2026-12-02", lines=[*lines, *lines_of(ended)]).appended == {}


def litellm(folder: Path, **fields: Any) -> Edition:
    price = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "mode": "chat"}
    entry = {"litellm_provider": "novita", **price, **fields}
    path = folder / "litellm-1.2.3-py3.json"
    path.write_text(json.dumps({"novita/m": entry}))
    return Edition("litellm", path, "2026-11-11")


def test_another_spelling_resolves_by_a_name(tmp_path: Path) -> None:
    path = "fireworks_ai/accounts/fireworks/models/x"
    price = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "mode": "chat"}
    file = tmp_path / "map.json"
    models = {
        key: {"litellm_provider": "fireworks_ai", **price} for key in ("fireworks_ai/x", path)
    }
    file.write_text(json.dumps(models))
    found = entries(proposed(Edition("litellm", file, "2026-11-11")))
    names = [entry["name"] for entry in found if "name" in entry]
    assert names == [{"provider": "fireworks", "model": "x", "canonical": "x"}]


def test_what_one_source_calls_an_embedding_no_other_makes_a_chat_model(tmp_path: Path) -> None:
    embedding = litellm(tmp_path, mode="embedding")
    (entry,) = json.loads(embedding.path.read_text()).values()
    known = {"novita/m": entry, "novita/chats": {**entry, "mode": "chat"}}
    embedding.path.write_text(json.dumps(known))
    found = proposed(listed(tmp_path, "2026-09-30", **{"novita-ai__m": CHEAP}), embedding)
    assert {e["row"]["model"] for e in entries(found) if "row" in e} == {"chats"}


def test_a_contradiction_is_left_to_a_person(tmp_path: Path) -> None:
    editions = (listed(tmp_path, "2026-09-30", **{"novita-ai__m": DEAR}), litellm(tmp_path))
    found = proposed(*editions)
    assert found.appended == {}
    assert found.conflicts == [
        "novita m: models.dev 2026-09-30: input 3, output 4; litellm 1.2.3: input 1, output 2"
    ]
    ruling = Decision(provider="novita", choose=("litellm",), reason="its own page")
    (row, _) = entries(proposed(*editions, decisions=Decisions([ruling])))
    assert row["row"]["prices"]["input"] == "1"


def test_models_dev_names_a_model_but_not_its_variants_of_price(tmp_path: Path) -> None:
    path = tmp_path / "api.json"
    record = {"cost": CHEAP, "modalities": {"output": ["text"]}, "canonical_model_id": "z/glm-5"}
    models = {model: {"id": model, **record} for model in ("z/glm-v5-big", "z/glm-5-fast")}
    path.write_text(json.dumps({"togetherai": {"models": models}}))
    found = entries(proposed(Edition("models.dev", path, "2026-09-30")))
    names = {entry["row"]["model"]: entry["row"]["canonical"] for entry in found if "row" in entry}
    assert names == {"z/glm-v5-big": "glm-5", "z/glm-5-fast": "glm-5-fast"}


def test_prices_of_our_own_are_seen_at_each_refresh() -> None:
    own = [line for line in shipped_lines() if b'"sandbox/echo~' in line and b'"row":{' in line]
    row = orjson.loads(own[0])["row"]
    lines = [orjson.dumps({"n": 1, "row": row}, option=orjson.OPT_SORT_KEYS)]
    (entry,) = entries(proposed(at="2027-03-01", lines=lines))
    assert entry["seen"] == {"row": row["id"], "at": "2027-03-01T00:00:00.000000Z"}


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("wheels/genai_prices-0.2.3-py3-none-any.whl", "litellm 0.2.3"),
        ("earendil-works-pi-ai-1.5.2.tgz", "litellm 1.5.2"),
        ("api.json", "litellm 2026-11-11"),
        ("models.dev-2026-09-30.json", "litellm 2026-11-11"),
    ],
)
def test_an_edition_is_named_by_its_version_or_day(file: str, label: str) -> None:
    edition = edition_of(f"litellm={file}@2026-11-11")
    assert (edition.path, edition.as_of, edition.label) == (Path(file), "2026-11-11", label)


@pytest.mark.parametrize("text", ["litellm=x", "x@2026-11-11", "other=x@2026-11-11", "litellm=@1"])
def test_what_is_no_edition(text: str) -> None:
    with pytest.raises(BadValue):
        edition_of(text)
