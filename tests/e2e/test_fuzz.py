"""Ten thousand damaged requests to every route of the running program."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.e2e.conftest import opened_gate
from tests.e2e.gate import MODELS, TollGate
from tests.e2e.program import Json
from tests.e2e.upstream import ScriptedUpstream

REQUESTS: Final = 10_300
"""A few of them no HTTP client will say."""
CALLERS: Final = 8
ERROR_MEMBERS: Final = {"message", "type", "code", "param", "request_id"}
BEHAVIOURS: Final = (
    *("plain", "plain", "plain", "silent", "repeated", "foreign-receipt", "no-done"),
    *("status-400", "status-context", "status-403", "status-404", "status-429", "status-quota"),
)
"""Upstreams that work, or refuse: so no answer of ours has a reason to be a 5xx."""

VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2, 1.5, -0.0, 1e308, 2**31, 2**53, 2**63, 10**30),
    *("", " ", "x", "\x00", "\ud800", "ü" * 3, "0", "true", "x" * 300, "x" * 70_000),
    *("acc_", "req_" + "0" * 32, "cred_" + "f" * 32, "2026-13-45", "2026-11", "NaN", "1e5", "-5"),
    *("user", "assistant", "tool", "function", "text", "image_url", "data:image/png;base64,AAAA"),
    *([], {}, [[]], [None], [{}], {"": ""}, {"a": {"b": {"c": []}}}, ["a", 1, None, {}]),
    *({"type": "text"}, {"type": "image_url", "image_url": {}}, {"role": "user"}),
)
HEADERS: Final = (
    "x-byok-provider",
    "x-byok-credential",
    "x-use-byok",
    "x-keytoll-tags",
    "x-keytoll-receipt",
    "idempotency-key",
    "content-type",
    "accept",
    "x-request-id",
    "origin",
    "x-api-key",
    "content-encoding",
    "range",
    "if-none-match",
)


@dataclass
class Attempt:
    """One request, right until something is done to it."""

    role: str
    method: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[TollGate]:
    with ScriptedUpstream() as upstream:
        gate = opened_gate(tmp_path, upstream)
        yield gate
        gate.end()


@pytest.mark.slow
async def test_damaged_requests(gate: TollGate) -> None:
    dice = random.Random(42)
    seeds = await asyncio.to_thread(right_requests, gate)
    attempts = iter([damaged(dice, dice.choice(dice.choice(seeds))) for _ in range(REQUESTS)])
    statuses: Counter[str] = Counter()
    async with (
        httpx.AsyncClient(base_url=gate.program.base_url, verify=False, timeout=60) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(CALLERS):
            tasks.create_task(_send_all(gate, client, attempts, statuses))
    print(f"\n{sum(statuses.values())} requests: {dict(sorted(statuses.items()))}")
    assert sum(statuses.values()) >= 10_000
    assert gate.post("plain").status_code == 200
    await asyncio.to_thread(gate.program.stop)
    for events in gate.program.requests().values():
        assert len(events) == 2
    assert "Traceback" not in gate.program.log_text()
    assert [line for line in gate.program.log_lines() if line["level"] == "error"] == []
    checked = await asyncio.to_thread(gate.program.command, "verify")
    assert checked.returncode == 0, checked.stderr


async def _send_all(
    gate: TollGate,
    client: httpx.AsyncClient,
    attempts: Iterator[Attempt],
    statuses: Counter[str],
) -> None:
    for attempt in attempts:
        headers = {"authorization": f"Bearer {gate.program.api_keys[attempt.role]}"}
        content = attempt.content
        if content is None and attempt.body is not None:
            content = json.dumps(attempt.body).encode()
        try:
            request = client.build_request(
                attempt.method,
                attempt.path,
                params=attempt.query or None,
                content=content,
                headers={**headers, "content-type": "application/json", **attempt.headers},
            )
            answer = await client.send(request)
        except (httpx.LocalProtocolError, httpx.InvalidURL, UnicodeError, ValueError):
            continue  # the client itself refuses to say such a thing
        check_answer(attempt, answer)
        statuses[f"{answer.status_code}"] += 1


def check_answer(attempt: Attempt, answer: httpx.Response) -> None:
    shown = f"{attempt}\n{answer.status_code} {answer.text[:500]}"
    # `/api/../models` is a page: it sends who is not signed in to the sign-in.
    page = not answer.request.url.path.startswith(("/api/", "/v1/"))
    assert answer.status_code < (400 if page else 300) or 400 <= answer.status_code < 500, shown
    assert answer.headers["x-request-id"].startswith("req_"), shown
    if answer.status_code < 400 or attempt.method == "HEAD":
        return
    if page and answer.headers["content-type"].startswith("text/html"):
        return
    found = answer.json()
    assert found["error"].keys() >= ERROR_MEMBERS, shown
    assert found["error"]["request_id"] == answer.headers["x-request-id"], shown


# --- Requests that are right -----------------------------------------------------------------


def right_requests(gate: TollGate) -> list[list[Attempt]]:
    """Groups of valid requests; each group is drawn as often as the others."""
    with gate.program.client("operator") as operator:
        victim = operator.post("/api/v1/accounts", json={"name": "victim"}).json()["id"]
        issued = operator.post(
            "/api/user/api-keys", json={"role": "owner", "account": victim}
        ).json()
    request_id = gate.post("plain").headers["x-request-id"]
    with gate.program.client() as owner:
        described = owner.get("/openapi.json").json()
    known = {
        "account_id": victim,
        "request_id": request_id,
        "credential_id": gate.credentials["sandbox"],
        "key_id": str(issued.get("id") or issued.get("key_id")),
        "invoice_id": "inv_" + "0" * 32,
        "number": "KT-2026-000001",
        "model": "sandbox/echo",
    }
    reading = [
        Attempt(role, "GET", _filled(path, known), query)
        for path, methods in described["paths"].items()
        if "get" in methods
        for role in ("owner", "operator", "auditor", "finance", "caller")
        for query in ({}, _query(methods["get"]))
    ]
    writing = _changes(victim, known)
    covered = {(a.method, a.path) for a in writing} | {("GET", a.path) for a in reading}
    for path, methods in described["paths"].items():
        for method in methods:
            if "chat/completions" not in path:
                assert (method.upper(), _filled(path, known)) in covered, f"{method} {path}"
    chat = list(_chats(gate))
    return [chat, chat, chat, reading, writing]


def _filled(path: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        path = path.replace("{" + name + "}", value)
    assert "{" not in path, path
    return path


def _query(operation: Json) -> dict[str, Any]:
    known = {"from": "2026-11-01", "to": "2026-12-01", "limit": 5, "period": "2026-11"}
    named = (p["name"] for p in operation.get("parameters", []) if p["in"] == "query")
    return {name: known.get(name, "model") for name in named}


def _changes(victim: str, known: dict[str, str]) -> list[Attempt]:
    account, key = f"/api/v1/accounts/{victim}", known["credential_id"]
    keys, api_keys = "/api/user/provider-keys", "/api/user/api-keys"
    azure = {
        "endpoint": "https://x.openai.azure.com",
        "apiKey": "0123456789abcdef",
        "deploymentName": "d",
        "apiVersion": "2024-10-21",
    }
    aws = {"accessKeyId": "AKIA" + "B" * 16, "secretAccessKey": "s" * 40, "region": "us-east-1"}
    invoice = f"/api/v1/invoices/{known['invoice_id']}"
    stored = {"key": "sk-abcdefgh", "label": "a", "models": ["m"], "validate": False}
    return [
        Attempt("owner", "POST", keys, body={"provider": "openai", **stored}),
        Attempt("owner", "POST", keys, body={"provider": "aws", "key": aws, "validate": False}),
        Attempt("owner", "POST", keys, body={"provider": "azure", "key": azure, "validate": False}),
        Attempt("owner", "PATCH", f"{keys}/{key}", body={"label": "b", "position": 9}),
        Attempt("owner", "POST", f"{keys}/validate", body={"id": key, "model": "m"}),
        Attempt("owner", "DELETE", f"{keys}/{key}x"),
        Attempt("owner", "DELETE", f"{keys}/{key}", {"nothing": 1}, headers={"x-api-key": "no"}),
        Attempt("owner", "DELETE", keys, {"provider": "groq"}),
        Attempt(
            "operator",
            "POST",
            api_keys,
            body={"role": "caller", "name": "n", "requests_per_minute": 5, "account": victim},
        ),
        Attempt("operator", "DELETE", f"{api_keys}/{known['key_id']}"),
        Attempt("operator", "PUT", "/api/user/routing", body={"providers": ["sandbox"]}),
        Attempt("owner", "PUT", "/api/user/budgets", body={"budgets": []}),
        Attempt("operator", "POST", "/api/v1/accounts", body={"name": "n"}),
        Attempt("operator", "PATCH", account, body={"suspended": False, "default_tags": {}}),
        Attempt("operator", "PUT", f"{account}/markup", body={"rate": "0.05"}),
        Attempt("finance", "POST", f"{invoice}/credit-notes", body={"reason": "r", "amount": "1"}),
        Attempt("finance", "POST", f"{invoice}/pay", body={"reference": "r"}),
        Attempt("finance", "POST", f"{invoice}/void", body={"reason": "r"}),
    ]


def _chats(gate: TollGate) -> Iterator[Attempt]:
    function = {"name": "weather", "description": "d", "parameters": {"type": "object"}}
    schema = {"name": "s", "schema": {"type": "object", "properties": {}}, "strict": True}
    called = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    pixel = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    for provider, model in MODELS.items():
        for behaviour in BEHAVIOURS:
            said = {"role": "user", "content": f"{behaviour} fuzz"}
            plain: Json = {"model": model, "messages": [said]}
            shown = [{"type": "text", "text": f"{behaviour} fuzz"}, pixel]
            history = [
                {"role": "system", "content": "s"},
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": None, "tool_calls": [called]},
                {"role": "tool", "tool_call_id": "c1", "content": "r"},
                said,
            ]
            bodies: list[Json] = [
                plain,
                {**plain, "stream": True, "stream_options": {"include_usage": True}},
                {**plain, "messages": [{"role": "user", "content": shown}]},
                {
                    **plain,
                    "messages": history,
                    "tools": [{"type": "function", "function": function}],
                },
                {
                    **plain,
                    "stream": True,
                    "tools": [{"type": "function", "function": function}],
                    "tool_choice": {"type": "function", "function": {"name": "weather"}},
                    "response_format": {"type": "json_schema", "json_schema": schema},
                    "temperature": 0.5,
                    "max_completion_tokens": 100,
                    "stop": ["a"],
                    "user": "u",
                    "metadata": {"a": "b"},
                    "reasoning_effort": "low",
                },
            ]
            for body in bodies:
                byok = {"provider": provider, "tags": {"a": "b"}, "receipt": True}
                yield Attempt(
                    "owner", "POST", "/api/v1/chat/completions", body={**body, "byok": byok}
                )
                yield Attempt("caller", "POST", "/v1/chat/completions", body=body)


# --- Damage ------------------------------------------------------------------------------------


def damaged(dice: random.Random, right: Attempt) -> Attempt:
    """One to three things wrong with a valid request."""
    attempt = copy.deepcopy(right)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        kinds = [_body] * 6 + [_bytes, _header, _query_value, _path, _method]
        dice.choice(kinds)(dice, attempt)
    return attempt


def _body(dice: random.Random, attempt: Attempt) -> None:
    if attempt.body is None:
        attempt.body = _value(dice)
        return
    places = list(_places(attempt.body, []))
    parent, name = dice.choice(places) if places else (None, None)
    if parent is None:
        attempt.body = _value(dice)
        return
    match dice.randrange(6):
        case 0:
            del parent[name]
        case 1 if isinstance(parent, dict):
            parent[dice.choice(("x", "", "role", "type", "n", "stream", "id", "\ud800"))] = _value(
                dice
            )
        case 1:
            parent.insert(name, _value(dice))
        case 2:
            parent[name] = [copy.deepcopy(parent[name]) for _ in range(dice.choice((1, 2, 50)))]
        case 3:
            other = dice.choice(places)
            parent[name] = copy.deepcopy(other[0][other[1]])
        case _:
            parent[name] = _value(dice)


def _value(dice: random.Random) -> Any:
    """One of VALUES, of its own: later damage must not reach the others."""
    return copy.deepcopy(dice.choice(VALUES))


def _places(found: Any, path: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(found, dict):
        pairs = list(found.items())
    elif isinstance(found, list):
        pairs = list(enumerate(found))
    for name, value in pairs:
        yield found, name
        yield from _places(value, [*path, name])


def _bytes(dice: random.Random, attempt: Attempt) -> None:
    content = bytearray(json.dumps(attempt.body).encode())
    at = dice.randrange(len(content))
    match dice.randrange(5):
        case 0:
            content[at] = dice.randrange(256)
        case 1:
            del content[at:]
        case 2:
            content[at:at] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 8)))
        case 3:
            content[at:at] = b"[" * dice.choice((10, 300, 5000))
        case _:
            content += bytes(content)
    attempt.content = bytes(content)


def _header(dice: random.Random, attempt: Attempt) -> None:
    values = ("", " ", "openai", "anthropic", "nobody", "a=b", "a=b,c", "=", "off", "on", "2", "ü")
    found = dice.choice((*values, "text/plain", "gzip", "x" * 300, "bytes=0-1", '"', "a b"))
    attempt.headers[dice.choice(HEADERS)] = found.encode().decode("latin-1")


def _query_value(dice: random.Random, attempt: Attempt) -> None:
    names = [*attempt.query, "limit", "after", "from", "to", "period", "group_by", "format", "x"]
    value = dice.choice(VALUES)
    attempt.query[dice.choice(names)] = value if isinstance(value, str | int) else "1"
    attempt.query = {n: v for n, v in attempt.query.items() if not _unsayable(v)}


def _unsayable(value: Any) -> bool:
    return isinstance(value, str) and ("\ud800" in value or len(value) > 1000)


def _path(dice: random.Random, attempt: Attempt) -> None:
    parts = attempt.path.split("/")
    at = dice.randrange(1, len(parts))
    odd = (
        "",
        ".",
        "..",
        "%00",
        "%2e%2e",
        "%2F",
        "%ff",
        "x" * 300,
        "ü",
        "0",
        "req_" + "0" * 32,
        "*",
    )
    parts[at] = dice.choice((*odd, parts[at] + "x", parts[at][:-1], parts[at].upper()))
    attempt.path = "/".join(parts)


def _method(dice: random.Random, attempt: Attempt) -> None:
    if "DELETE" in attempt.method:
        return
    attempt.method = dice.choice(("GET", "POST", "PUT", "PATCH", "HEAD", "OPTIONS", "QUERY"))
