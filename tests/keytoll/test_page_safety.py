"""What others may try on the pages, tried on every one of them: forged forms, borrowed cookies,
other hosts, other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
import pytest

from api.app import Application
from api.web.pages import HEADERS
from domain.eventlog.port import heads_of
from domain.ids import new_id, public_id
from tests.keytoll.conftest import ROLES, Install, Installation

NOT_A_FORM_OF_A_SESSION: Final = {"/sign-in"}
FOREIGN: Final[tuple[Mapping[str, str], ...]] = (
    {"origin": "https://evil.example"},
    {"origin": "http://toll.test.evil.example"},
    {"origin": "http://evil.example:80@toll.test"},
    {"origin": "null"},
    {"origin": "http://["},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
)


@pytest.fixture
def installed(install: Install) -> Installation:
    made = install()
    made.open_account()
    return made


def routes_of(routes: Any) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from [route] if inner is None else routes_of(inner.routes)


def pages_of(application: Application, method: str) -> list[str]:
    """The paths of all pages that take this method."""
    return [
        route.path
        for route in routes_of(application.routes)
        if getattr(route.endpoint, "__module__", "").startswith("api.web.")
        and method in route.methods
        and not route.path.startswith("/static/")
    ]


def filled(path: str, installed: Installation) -> str:
    """A path with something in its places."""
    known = {
        "account_id": installed.account_id,
        "key_id": installed.key_ids["caller"],
        "slug": "openai",
        "request_id": public_id("req", new_id()),
        "ticket": "none",
        "form": "csv",
    }
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: known.get(found[1], "x"), path)


def csrf_of(installed: Installation, client: httpx.AsyncClient) -> str:
    session = installed.sessions.open(client.cookies["kt-session"])
    assert session is not None
    return session.csrf


async def test_no_form_is_taken_from_who_does_not_know_its_word(installed: Installation) -> None:
    other = installed.signed_in("owner")
    theirs = csrf_of(installed, other)
    before = heads_of(installed.stores.log)
    refused = set()
    for role in ROLES:
        client = installed.signed_in(role)
        for path in pages_of(installed.application, "POST"):
            if path in NOT_A_FORM_OF_A_SESSION:
                continue
            where = filled(path, installed)
            for fields, headers in (
                ({}, {}),
                ({"csrf": "wrong"}, {}),
                ({"csrf": theirs}, {}),
                ({}, {"x-csrf-token": theirs}),
                ({"csrf": "ü"}, {"hx-request": "true"}),
            ):
                answer = await client.post(where, data=fields, headers=headers)
                assert answer.status_code in {400, 403, 404}, (role, path, answer.text)
                if answer.status_code == 400:
                    assert "out of date" in answer.text, (role, path)
                    refused.add(path)
        assert installed.sessions.open(client.cookies["kt-session"]) is not None
    assert refused == set(pages_of(installed.application, "POST")) - NOT_A_FORM_OF_A_SESSION
    assert heads_of(installed.stores.log) == before


async def test_no_form_is_taken_from_another_site(installed: Installation) -> None:
    before = heads_of(installed.stores.log)
    refused = set()
    for role in ROLES:
        client = installed.signed_in(role)
        word = csrf_of(installed, client)
        for path in pages_of(installed.application, "POST"):
            for headers in FOREIGN:
                answer = await client.post(
                    filled(path, installed), data={"csrf": word}, headers=headers
                )
                assert answer.status_code in {400, 403, 404}, (role, path, headers)
                if answer.status_code == 400:
                    assert "came from another site" in answer.text, (role, path)
                    refused.add(path)
    assert refused == set(pages_of(installed.application, "POST"))
    assert heads_of(installed.stores.log) == before


async def test_pages_without_a_session_lead_to_the_sign_in(installed: Installation) -> None:
    client = installed.client()
    for method in ("GET", "POST"):
        for path in pages_of(installed.application, method):
            where = filled(path, installed)
            if where.startswith("/sign-in"):
                continue
            answer = await client.request(method, where)
            assert answer.status_code == 303, (method, path)
            assert answer.headers["location"].startswith("/sign-in"), (method, path)


@pytest.mark.parametrize("role", [*ROLES, None])
async def test_every_page_forbids_what_it_does_not_need(
    installed: Installation, role: str | None
) -> None:
    client = installed.client() if role is None else installed.signed_in(role)
    for path in [*pages_of(installed.application, "GET"), "/no/such/page"]:
        answer = await client.get(filled(path, installed))
        assert answer.status_code < 500 or answer.status_code == 503, (path, answer.text)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert "set-cookie" not in answer.headers, path


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    policy = dict(part.split(None, 1) for part in HEADERS["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    allowed = {word for words in policy.values() for word in words.split()}
    assert allowed == {"'none'", "'self'"}
    assert HEADERS["x-frame-options"] == "DENY"
    assert HEADERS["cache-control"] == "no-store"


async def test_the_session_s_cookie_opens_no_route_of_the_api(installed: Installation) -> None:
    client = installed.signed_in("operator")
    described = installed.application.openapi()["paths"]
    open_to_all = {"/healthz", "/readyz", "/metrics"}
    for path, methods in described.items():
        for method in set(methods) - {"parameters"}:
            if path not in open_to_all:
                answer = await client.request(method, filled(path, installed), json={})
                assert answer.status_code == 401, (method, path, answer.status_code)
    assert len(described) > 15


async def test_a_cookie_that_was_there_before_the_sign_in_is_worth_nothing(
    installed: Installation,
) -> None:
    planted = installed.sessions.sign_in(installed.secrets["caller"])
    client = installed.client(planted)
    answer = await client.post("/sign-in", data={"api_key": installed.secrets["owner"]})
    fresh = answer.cookies["kt-session"]
    assert fresh != planted
    session = installed.sessions.open(fresh)
    assert session is not None
    assert session.caller.role == "owner"
    for nonsense in ("chosen", "a.b.c.d", planted[:-1] + "0"):
        assert installed.sessions.open(nonsense) is None


async def test_the_cookie_is_for_this_host_and_no_script(installed: Installation) -> None:
    answer = await installed.client().post("/sign-in", data={"api_key": installed.secrets["owner"]})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("kt-session=")
    for flag in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"):
        assert flag in cookie
    assert "Domain" not in cookie
    assert "Secure" not in cookie


async def test_over_https_the_cookie_never_travels_in_the_open(install: Install) -> None:
    installed = install(KEYTOLL_PUBLIC_URL="https://toll.example")
    installed.open_account()
    client = installed.client()
    answer = await client.post(
        "/sign-in",
        data={"api_key": installed.secrets["owner"]},
        headers={"origin": "https://toll.example"},
    )
    assert answer.status_code == 303
    assert answer.headers["set-cookie"].startswith("__Host-kt-session=")
    assert "Secure" in answer.headers["set-cookie"]
    client = installed.client(installed.sessions.sign_in(installed.secrets["owner"]))
    assert (await client.get("/")).headers["location"] == "/keys"
    evil = await client.post("/sign-out", headers={"origin": "https://evil.example"})
    assert "another site" in evil.text


async def test_signing_out_ends_the_session_on_the_server(installed: Installation) -> None:
    client = installed.signed_in("owner")
    copied = client.cookies["kt-session"]
    answer = await client.post("/sign-out", data={"csrf": csrf_of(installed, client)})
    assert answer.headers["location"] == "/sign-in"
    assert 'kt-session=""' in answer.headers["set-cookie"]
    assert installed.sessions.open(copied) is None
    answer = await installed.client(copied).get("/keys")
    assert answer.headers["location"] == "/sign-in?next=%2Fkeys"


async def test_a_one_time_link_works_once_and_from_no_other_site(installed: Installation) -> None:
    path = f"/sign-in/{installed.sessions.ticket(installed.key_ids['owner'])}"
    client = installed.client()
    answer = await client.get(path, headers={"sec-fetch-site": "cross-site"})
    assert "set-cookie" not in answer.headers
    answer = await client.get(path, headers={"sec-fetch-site": "none"})
    assert answer.status_code == 303
    assert answer.cookies["kt-session"]
    answer = await installed.client().get(path)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\r\nset-cookie: kt-session=evil",
        "evil.example",
        " //evil.example",
    ],
)
async def test_the_way_on_after_the_sign_in_stays_here(
    installed: Installation, wanted: str
) -> None:
    fields = {"api_key": installed.secrets["owner"], "next": wanted}
    answer = await installed.client().post("/sign-in", data=fields)
    assert answer.headers["location"] == "/"
    assert len(answer.headers.get_list("set-cookie")) == 1
    answer = await installed.signed_in("owner").get("/sign-in", params={"next": wanted})
    assert answer.headers["location"] == "/keys"


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ("/usage?from=2026-11-01&group_by=day", "/usage?from=2026-11-01&group_by=day"),
        ("/calls/req_1?x=%2F#there", "/calls/req_1?x=%2F#there"),
        ("/schlüssel/鍵", "/schl%C3%BCssel/%E9%8D%B5"),
        ("/.//evil.example", "/.//evil.example"),
    ],
)
async def test_the_way_on_is_kept(installed: Installation, wanted: str, location: str) -> None:
    fields = {"api_key": installed.secrets["owner"], "next": wanted}
    answer = await installed.client().post("/sign-in", data=fields)
    assert answer.headers["location"] == location
    answer = await installed.client().post("/sign-in", data=fields, headers={"hx-request": "true"})
    assert answer.headers["hx-redirect"] == location


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static/..\\pages.py",
        "/static//etc/passwd",
        "/static/vendor/README.md",
        "/static/vendor/",
        "/static/",
        "/static/app.css%00.js",
        "/static/APP.CSS",
    ],
)
async def test_nothing_else_is_served_as_a_file(installed: Installation, path: str) -> None:
    scope_path = httpx.URL(f"http://toll.test{path}")
    answer = await installed.client().get(scope_path)
    assert answer.status_code == 404, path
    assert "import" not in answer.text


async def test_files_are_kept_by_browsers_and_come_packed(installed: Installation) -> None:
    client = installed.client()
    plain = await client.get("/static/app.css", headers={"accept-encoding": "identity"})
    packed = await client.get("/static/app.css", headers={"accept-encoding": "br, gzip"})
    assert plain.content == packed.content
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    for answer in (plain, packed):
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["vary"] == "accept-encoding"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "toll.test@evil.example", 'a"><script>alert(1)'])
async def test_a_given_address_is_shown_whatever_host_was_asked_for(
    install: Install, host: str
) -> None:
    installed = install(KEYTOLL_PUBLIC_URL="https://toll.example")
    installed.open_account()
    client = installed.client(installed.sessions.sign_in(installed.secrets["owner"]))
    for path in ("/keys", "/"):
        answer = await client.get(path, headers={"host": host})
        assert answer.status_code in {200, 303}
        assert "evil" not in answer.text + str(answer.headers)
        assert "<script>alert" not in answer.text
    assert "https://toll.example/api/v1" in (await client.get("/keys")).text


@pytest.mark.parametrize("host", ['a"><script>alert(1)</script>', "a b", "[::1", "a'$(reboot)"])
async def test_a_host_that_is_none_is_not_shown(installed: Installation, host: str) -> None:
    client = installed.signed_in("owner")
    answer = await client.get("/keys", headers={"host": host})
    assert answer.status_code in {200, 400}
    assert "alert(1)" not in answer.text
    assert "reboot" not in answer.text


async def test_a_suspended_account_can_change_its_key_but_not_look(
    installed: Installation,
) -> None:
    client = installed.signed_in("owner")
    installed.stores.ledger.suspend_account(installed.account_id)
    installed.stores.directory.catch_up()
    for path in ("/keys", "/"):
        answer = await client.get(path)
        assert answer.status_code == 403
        assert "suspended" in answer.text
        assert "Sign out" not in answer.text
    assert (await client.get("/sign-in")).status_code == 200
    answer = await client.post("/sign-in", data={"api_key": installed.secrets["finance"]})
    assert answer.status_code == 303
