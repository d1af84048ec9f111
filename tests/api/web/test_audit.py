"""The pages of the trail: who sees which events, and what is checked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from api.web.audit import LIMIT, TITLES
from domain.eventlog.checkpoint import checkpoint_of, read_checkpoints
from domain.eventlog.port import Recorded
from domain.events.registry import EVENTS
from domain.ids import public_id
from domain.ledger import Ledger
from domain.vault.envelope import LocalMasterKey
from domain.vault.memory import memory_vault
from projections.store.port import ProjectionStore
from tests.api.routes.reports import Reports
from tests.api.web.papers import Papers, words_of


@pytest.fixture
def papers(tables: ProjectionStore) -> Papers:
    reports = Reports(tables)
    for _ in range(2):
        reports.world.call(reports.account)
        reports.world.call(reports.other)
    return Papers(reports)


def places(page: str) -> list[int]:
    """The seqs of the events that a page lists."""
    return [int(seq) for seq in re.findall(r'hx-get="/audit/events/store-1/(\d+)"', page)]


def test_every_kind_of_event_has_words() -> None:
    assert TITLES.keys() == EVENTS.keys()


async def test_an_owner_sees_the_own_account_only(papers: Papers) -> None:
    log = papers.reports.world.log
    events = log.read(after=0, limit=1000)
    own = [each.seq for each in events if each.account_id == papers.reports.account]
    for query in ("", f"?account={papers.reports.other}"):
        page = (await papers.get("owner", f"/audit{query}")).text
        assert places(page) == sorted(own, reverse=True)
    for each in events:
        answer = await papers.get("owner", f"/audit/events/store-1/{each.seq}")
        assert answer.status_code == (200 if each.seq in own else 404)
        line = await papers.get("owner", f"/audit/events/store-1/{each.seq}/line")
        assert line.status_code == (200 if each.seq in own else 404)


@pytest.mark.parametrize("role", ["auditor", "operator"])
async def test_those_of_the_installation_see_all_of_it(papers: Papers, role: str) -> None:
    page = (await papers.get(role, "/audit")).text
    head = papers.reports.world.log.head()
    assert places(page) == list(range(head, 0, -1))


@pytest.mark.parametrize("role", ["caller", "finance"])
async def test_others_do_not(papers: Papers, role: str) -> None:
    for path in ("/audit", "/audit/proof", "/audit/events/store-1/1", "/audit/checkpoints"):
        assert (await papers.get(role, path)).status_code == 403
    assert (await papers.get(None, "/audit")).status_code == 303


async def test_pages_lead_through_all_events_both_ways(papers: Papers) -> None:
    world = papers.reports.world
    for _ in range(LIMIT):
        world.call(papers.reports.other)
    everything = list(range(1, world.log.head() + 1))
    for first, word in (("/audit", "Older"), ("/audit?after=store-1:0", "Later")):
        found: list[int] = []
        path = first
        while True:
            page = (await papers.get("auditor", path)).text
            found += places(page)
            following = re.search(rf'href="([^"]+)">{word}', page)
            if following is None:
                break
            path = following[1].replace("&amp;", "&")
        assert found == (everything if word == "Later" else everything[::-1])


async def test_filters_are_kept_on_the_way(papers: Papers) -> None:
    world = papers.reports.world
    for _ in range(LIMIT + 1):
        world.call(papers.reports.other)
    page = (await papers.get("auditor", "/audit?topic=request.routed")).text
    assert len(places(page)) == LIMIT
    assert re.search(r'href="/audit\?topic=request.routed[^"]*before=store-1[^"]+">Older', page)
    request = world.call(papers.reports.account)
    page = (await papers.get("auditor", f"/audit?stream={public_id('req', request)}")).text
    assert places(page) == [world.log.head(), world.log.head() - 1]
    assert (
        places((await papers.get("other", f"/audit?stream={public_id('req', request)}")).text) == []
    )


@pytest.mark.parametrize(
    ("query", "field"), [("stream=%3Cb%3Ereq_1", "stream"), ("topic=Nothing!", "topic")]
)
async def test_what_makes_no_sense_is_said_beside_the_field(
    papers: Papers, query: str, field: str
) -> None:
    answer = await papers.get("auditor", f"/audit?{query}")
    assert answer.status_code == 400
    assert f'id="{field}-problem"' in answer.text
    assert places(answer.text) == []
    assert "<b>" not in answer.text


@pytest.mark.parametrize("path", ["?before=store-9:1", "?after=x", "/events/store-1/0"])
async def test_places_that_are_not_there(papers: Papers, path: str) -> None:
    assert (await papers.get("auditor", f"/audit{path}")).status_code in {400, 404}


async def test_the_line_is_what_was_hashed(papers: Papers) -> None:
    recorded = papers.reports.world.log.read(after=0, limit=1)[0]
    page = await papers.text("auditor", "/audit/events/store-1/1")
    assert recorded.hash in page
    assert recorded.line.decode() in page
    saved = await papers.get("auditor", "/audit/events/store-1/1/line")
    assert saved.content == recorded.line
    assert hashlib.sha256(b"\0" + saved.content).hexdigest() == recorded.hash


async def test_the_history_of_a_key_is_for_its_account(papers: Papers) -> None:
    reports = papers.reports
    ledger = Ledger(
        log=reports.world.log,
        vault=memory_vault(LocalMasterKey(bytes(32))),
        clock=reports.world.clock,
        directory=reports.directory,
    )
    view = ledger.add_credential(
        reports.account, provider="openai", fields={"apiKey": "sk-secret-Zx9Q"}, key_suffix="Zx9Q"
    )
    ledger.remove_credential(reports.account, view.credential_id)
    reports.directory.catch_up()
    path = f"/audit/credentials/{view.credential_id}"
    for role in ("owner", "auditor", "operator"):
        page = await papers.get(role, path)
        said = words_of(page.text)
        assert said.index("Key stored") < said.index("Key removed, its secret destroyed")
        assert "sk-secret" not in page.text
        assert "Zx9Q" in said
    assert (await papers.get("other", path)).status_code == 404
    assert (await papers.get("auditor", f"/audit/credentials/cred_{'0' * 32}")).status_code == 404


async def test_checkpoints_are_saved_as_verify_reads_them(papers: Papers, tmp_path: Path) -> None:
    world = papers.reports.world
    seals: list[Recorded] = []
    for _ in range(3):
        world.call(papers.reports.account)
        seals.append(*world.log.seal().result())
    saved = await papers.get("auditor", "/audit/checkpoints")
    file = tmp_path / "kept"
    file.write_bytes(saved.content)
    assert read_checkpoints(file) == [checkpoint_of(each) for each in seals]
    page = await papers.text("operator", "/audit/proof")
    roots = [page.index(checkpoint_of(each).root) for each in seals]
    assert roots == sorted(roots, reverse=True)
    assert (await papers.get("owner", "/audit/checkpoints")).status_code == 403


async def test_verifying_is_begun_by_a_form_only(papers: Papers) -> None:
    path = "/audit/verification"
    assert (await papers.post("auditor", path, csrf="guessed")).status_code == 400
    assert (await papers.post("owner", path)).status_code == 403
    assert papers.verification.last is None
    answer = await papers.post("auditor", path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/audit/proof")
    assert papers.verification.last is not None
