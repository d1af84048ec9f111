"""The operator's pages over real stores: every form, right and wrong, and who is turned away."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import httpx
import pytest

from domain.clock import instant_text
from domain.eventlog.port import heads_of
from projections.projector import Projector
from projections.store.port import ProjectionStore
from tests.keytoll.conftest import Install, Installation

PAGES = (
    "/operator",
    "/operator/drift",
    "/operator/accounts",
    "/operator/api-keys",
    "/operator/prices",
    "/operator/prices/model",
    "/operator/prices/compare",
    "/operator/unrated",
    "/operator/dead-letters",
)
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def installed(install: Install) -> Installation:
    made = install()
    made.open_account()
    made.stores.prices.publish()
    return made


@pytest.fixture
def projected(
    installed: Installation, tables: ProjectionStore, monkeypatch: pytest.MonkeyPatch
) -> Installation:
    """The same with its tables, in the one engine that a process can have."""
    stores = installed.stores
    projector = Projector(
        log=stores.log,
        store=tables,
        books=stores.books,
        on_dead_letter=lambda _recorded, reason: pytest.fail(reason),
    )
    projector.catch_up()
    # Taken back before the installation is closed, which must not close the engine.
    monkeypatch.setattr(stores.projections, "_projected", projector)
    return installed


class Operator:
    """Somebody with a browser and no script in it."""

    def __init__(self, installed: Installation) -> None:
        self._installed = installed
        self._client = installed.signed_in("operator")
        session = installed.sessions.open(self._client.cookies["kt-session"])
        assert session is not None
        self._csrf = session.csrf

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self._client.get(path, params=query or None)

    async def send(self, path: str, **fields: str) -> httpx.Response:
        return await self._client.post(path, data={"csrf": self._csrf, **fields})

    async def quickly(self, path: str, **fields: str) -> httpx.Response:
        """As htmx sends it."""
        headers = {"hx-request": "true", "x-csrf-token": self._csrf}
        return await self._client.post(path, data=fields, headers=headers)


@pytest.fixture
def operator(installed: Installation) -> Operator:
    return Operator(installed)


def complaint(answer: httpx.Response, field: str) -> str:
    """The sentence that a field is said to be wrong by."""
    inputs = re.findall(r"<(?:input|select|textarea) [^>]*>", answer.text)
    (tag,) = [
        each for each in inputs if f'name="{field}"' in each and 'aria-invalid="true"' in each
    ]
    described = re.search(r'aria-describedby="([^"]+)"', tag)
    assert described is not None
    (place,) = [name for name in described[1].split() if name.endswith("problem")]
    said = re.search(rf'id="{place}"[^>]*>([^<]+)<', answer.text)
    assert said is not None
    return unescape(said[1])


@pytest.mark.parametrize("role", ["owner", "caller", "finance", "auditor"])
async def test_other_roles_are_turned_away(installed: Installation, role: str) -> None:
    client = installed.signed_in(role)
    account = f"/operator/accounts/{installed.account_id}"
    for path in (*PAGES, account):
        answer = await client.get(path)
        assert answer.status_code == 403, path
        assert installed.account_id not in answer.text
    before = heads_of(installed.stores.log)
    for path in ("/operator/accounts", "/operator/api-keys", f"{account}/suspended"):
        answer = await client.post(path, data={"csrf": "x", "suspended": "true"})
        assert answer.status_code == 403, path
    assert heads_of(installed.stores.log) == before


async def test_every_page_opens(projected: Installation, operator: Operator) -> None:
    for path in PAGES:
        answer = await operator.get(path)
        assert answer.status_code == (400 if path.endswith("/model") else 200), answer.text


async def test_pages_that_need_the_tables_say_that_they_are_not_open(operator: Operator) -> None:
    answer = await operator.get("/operator")
    assert answer.status_code == 200
    assert "not open" in answer.text
    assert (await operator.get("/operator/unrated")).status_code == 503


async def test_an_account_is_opened_and_its_secret_shown_once(
    installed: Installation, operator: Operator
) -> None:
    answer = await operator.send("/operator/accounts", name=HOSTILE, default_tags="team=a")
    assert answer.status_code == 201
    assert "<script>alert" not in answer.text
    secret = re.search(r">(kt_[\w-]+)<", answer.text)
    assert secret is not None
    holder = installed.sessions.open(installed.sessions.sign_in(secret[1]))
    assert holder is not None
    assert holder.caller.role == "owner"
    path = f"/operator/accounts/{holder.caller.account_id}"
    for shown in (await operator.get(path), await operator.get("/operator/accounts")):
        assert secret[1] not in shown.text
        assert "<script>alert" not in shown.text
    assert "team=a" in (await operator.get(path)).text


@pytest.mark.parametrize(
    ("form", "fields", "field"),
    [
        ("", {"default_tags": "no equals sign"}, "default_tags"),
        ("", {"default_tags": "a b=c"}, "default_tags"),
        ("", {"name": "x" * 101}, "name"),
        ("/markup", {"rate": "many"}, "rate"),
        ("/markup", {"rate": "101"}, "rate"),
        ("/markup", {"rate": "5.12345"}, "rate"),
        ("/markup", {"rate": "5", "from": "soon"}, "from"),
        ("/tax", {"rate": "-1"}, "rate"),
        ("/tax", {"rate": "19", "note": "two\nlines"}, "note"),
        ("/labels", {"name": "two\nlines"}, "name"),
        ("/labels", {"default_tags": "team"}, "default_tags"),
    ],
)
async def test_a_wrong_field_of_an_account_is_named_and_nothing_is_done(
    installed: Installation, operator: Operator, form: str, fields: dict[str, str], field: str
) -> None:
    before = heads_of(installed.stores.log)
    path = f"/operator/accounts/{installed.account_id}{form}" if form else "/operator/accounts"
    for send in (operator.send, operator.quickly):
        answer = await send(path, **fields)
        assert answer.status_code == 400
        assert complaint(answer, field)
    assert heads_of(installed.stores.log) == before


async def test_a_refused_form_shows_what_was_typed_but_no_key(operator: Operator) -> None:
    key = "sk-proj-" + "a1B2" * 8
    answer = await operator.send("/operator/accounts", name=key, default_tags="team")
    assert key not in answer.text
    answer = await operator.send("/operator/accounts", name="My team", default_tags="team")
    assert 'value="My team"' in answer.text


async def test_markups_are_agreed_and_kept_as_history(
    installed: Installation, operator: Operator
) -> None:
    path = f"/operator/accounts/{installed.account_id}"
    later = installed.stores.clock.now() + timedelta(days=2)
    assert (await operator.send(f"{path}/markup", rate="7.5")).status_code == 303
    soon = instant_text(later)[:16]
    assert (
        "is agreed" in (await operator.quickly(f"{path}/markup", rate="3", **{"from": soon})).text
    )
    view = installed.stores.directory.account(installed.account_id)
    assert view is not None
    assert [each.rate for each in view.markups] == ["0.075", "0.03"]
    text = (await operator.get(path)).text
    assert re.findall(r"(\d[\d.]*) %</td>", text) == ["3", "7.5"]
    assert re.findall(r'state[^"]*">(in force|to come|over)<', text) == ["to come", "in force"]
    answer = await operator.send(f"{path}/markup", rate="1", **{"from": "2020-01-01T00:00"})
    assert "past" in complaint(answer, "from")


async def test_an_account_is_suspended_and_resumed(
    installed: Installation, operator: Operator
) -> None:
    path = f"/operator/accounts/{installed.account_id}/suspended"
    for wanted in (True, False):
        answer = await operator.send(path, suspended=str(wanted).lower())
        assert answer.status_code == 303
        view = installed.stores.directory.account(installed.account_id)
        assert view is not None
        assert view.suspended is wanted


async def test_a_provider_key_is_disabled_but_not_read(
    installed: Installation, operator: Operator
) -> None:
    view = installed.stores.ledger.add_credential(
        installed.account_id,
        provider="openai",
        fields={"apiKey": "sk-proj-verySecretIndeed1234"},
        key_suffix="1234",
        models=None,
    )
    path = f"/operator/accounts/{installed.account_id}"
    shown = (await operator.get(path)).text
    assert "…1234" in shown
    assert "verySecret" not in shown
    fields = {"credential": view.credential_id, "disabled": "true"}
    assert (await operator.quickly(f"{path}/credential", **fields)).status_code == 200
    now = installed.stores.directory.credential(view.credential_id)
    assert now is not None
    assert now.disabled
    lost = await operator.send(f"{path}/credential", credential="cred_none", disabled="true")
    assert lost.status_code == 404


async def test_an_api_key_of_any_role_is_issued_once_and_revoked(
    installed: Installation, operator: Operator
) -> None:
    answer = await operator.send(
        "/operator/api-keys",
        account=installed.account_id,
        role="auditor",
        name="For the audit",
        requests_per_minute="60",
        models="gpt-4o\ngpt-4o-mini",
        expires_at="2099-01-01T00:00",
    )
    assert answer.status_code == 201
    secret = re.search(r">(kt_[\w-]+)<", answer.text)
    assert secret is not None
    holder = installed.sessions.open(installed.sessions.sign_in(secret[1]))
    assert holder is not None
    caller = holder.caller
    assert (caller.role, caller.requests_per_minute, caller.receipt) == ("auditor", 60, False)
    assert caller.models == frozenset({"gpt-4o", "gpt-4o-mini"})
    shown = await operator.get("/operator/api-keys", q="for the AUDIT")
    assert caller.key_id in shown.text
    assert secret[1] not in shown.text
    assert caller.key_id not in (await operator.get("/operator/api-keys", role="owner")).text
    done = await operator.send(f"/operator/api-keys/{caller.key_id}/revoke", back="keys")
    assert done.headers["location"] == "/operator/api-keys"
    with pytest.raises(Exception, match="revoked"):
        installed.sessions.sign_in(secret[1])
    again = await operator.send(f"/operator/api-keys/{caller.key_id}/revoke")
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"account": "acc_none"}, "account"),
        ({"role": "king"}, "role"),
        ({"name": "x" * 101}, "name"),
        ({"requests_per_minute": "many"}, "requests_per_minute"),
        ({"requests_per_minute": "0"}, "requests_per_minute"),
        ({"models": "m" * 201}, "models"),
        ({"expires_at": "2020-01-01T00:00"}, "expires_at"),
        ({"expires_at": "never"}, "expires_at"),
    ],
)
async def test_a_wrong_field_of_an_api_key_is_named_and_none_is_issued(
    installed: Installation, operator: Operator, fields: dict[str, str], field: str
) -> None:
    before = heads_of(installed.stores.log)
    right = {"account": installed.account_id, "role": "caller"}
    answer = await operator.send("/operator/api-keys", **{**right, **fields})
    assert answer.status_code in {400, 404}
    assert complaint(answer, field)
    assert "kt_" not in answer.text.replace("kt_…", "")
    assert heads_of(installed.stores.log) == before


async def test_a_price_is_added_and_explained(installed: Installation, operator: Operator) -> None:
    old = installed.stores.books.current.hash
    fields = {"provider": "openai", "model": "my-own-model", "input": "1.5", "output": "2"}
    answer = await operator.quickly("/operator/prices", **fields)
    assert "Added: 1 entry" in answer.text
    again = await operator.quickly("/operator/prices", **fields)
    assert "Nothing to add" in again.text
    lines = '{"provider": "groq", "model": "another", "prices": {"input": "3"}}\n'
    assert (await operator.send("/operator/prices", lines=lines)).status_code == 303
    assert installed.stores.books.current.hash != old
    found = (await operator.get("/operator/prices", q="MY-OWN")).text
    assert "1 found" in found
    said = await operator.get("/operator/prices/model", provider="openai", model="my-own-model")
    # 1000 × 1.5 / 1e6 + 1000 × 2 / 1e6, and five per cent of it
    assert "$0.0035<" in said.text
    assert "$0.000175<" in said.text
    changed = await operator.get("/operator/prices/compare", old=old, new="current")
    assert changed.text.count(">added<") == 2
    assert "my-own-model" in changed.text


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"provider": "nobody"}, "provider"),
        ({"model": ""}, "model"),
        ({"input": "cheap"}, "input"),
        ({"input": "-1"}, "input"),
        ({"input": ""}, "input"),
        ({"effective_from": "soon"}, "effective_from"),
    ],
)
async def test_a_wrong_field_of_a_price_is_named_and_no_book_is_made(
    installed: Installation, operator: Operator, fields: dict[str, str], field: str
) -> None:
    old = installed.stores.books.current.hash
    right = {"provider": "openai", "model": "m", "input": "1"}
    answer = await operator.send("/operator/prices", **{**right, **fields})
    assert answer.status_code == 400
    assert complaint(answer, field)
    assert installed.stores.books.current.hash == old


@pytest.mark.parametrize(
    "lines",
    [
        "{",
        "[]",
        '{"provider": "openai"}',
        '{"provider": "x", "model": "m", "prices": {}}',
    ],
)
async def test_wrong_lines_of_prices_come_back_with_the_reason(
    operator: Operator, lines: str
) -> None:
    answer = await operator.send("/operator/prices", lines=lines)
    assert answer.status_code == 400
    assert complaint(answer, "lines")
    assert unescape(answer.text).count(lines) >= 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"provider": "nobody"}, "provider"),
        ({"model": ""}, "model"),
        ({"at": "soon"}, "at"),
        ({"book": "sha256:0"}, "book"),
        ({"usage": "{"}, "usage"),
        ({"usage": '{"input_tokens": -1}'}, "usage"),
        ({"context": "[]"}, "context"),
    ],
)
async def test_a_wrong_question_about_a_model_is_named(
    operator: Operator, query: dict[str, str], field: str
) -> None:
    right = {"provider": "openai", "model": "gpt-4o-mini"}
    answer = await operator.get("/operator/prices/model", **{**right, **query})
    assert answer.status_code == 400
    assert complaint(answer, field)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"old": "sha256:0"}, "old"),
        ({"new": "latest"}, "new"),
        ({"at": "soon"}, "at"),
        ({"period": "November"}, "period"),
    ],
)
async def test_a_wrong_comparison_is_named(
    operator: Operator, query: dict[str, str], field: str
) -> None:
    right = {"old": "current", "new": "current"}
    answer = await operator.get("/operator/prices/compare", **{**right, **query})
    assert answer.status_code == 400
    assert complaint(answer, field)


async def test_the_same_book_twice_has_no_difference(
    projected: Installation, operator: Operator
) -> None:
    query: dict[str, Any] = {"old": "current", "new": "current", "period": "2026-10"}
    answer = await operator.get("/operator/prices/compare", **query)
    assert "the same prices in force" in answer.text
    assert "None of its 0 calls" in answer.text
