from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel

import api
import domain
import pricing
import projections
from api.errors import CODES, RULES, ApiError, api_error, error_body, install_error_handlers
from api.limits import BodyLimit
from api.request_id import RequestIds
from domain.errors import BadValue, DomainError
from domain.eventlog.port import StoreUnavailable

OURS = Path(api.__file__).parent.parent
NEVER_ANSWERED = {
    # Broken at the start of the process, or in a background task, or turned into an ApiError by
    # the chat route itself; as an answer each would be our own fault, hence a 500. A new class
    # belongs here or into RULES.
    "UnsafeSetup",
    "WrongKind",
    "SecretUnreadable",
    "UnreadableEvent",
    "NotAnEvent",
    "TransportError",
    "UnknownBook",
    "RebuildFailed",
    "FeedUnavailable",
    "FeedMisconfigured",
    "Displaced",
    "WrongPosition",
    "_Damaged",
    "_Foreign",
}


def subclasses(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_every_broken_rule_has_a_public_code_or_is_named_here() -> None:
    for package in (domain, pricing, projections, api):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    missing = {
        kind.__name__
        for kind in subclasses(DomainError)
        if kind.__module__.split(".")[0] != "tests"
        and kind is not ApiError
        and not any(base in RULES or base.__name__ in NEVER_ANSWERED for base in kind.__mro__)
    }
    assert missing == set()


def test_the_table_gives_only_known_codes() -> None:
    assert set(RULES.values()) <= set(CODES)


def test_every_code_in_the_sources_is_in_the_table() -> None:
    used = set()
    for file in (OURS / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ApiError":
                used |= {
                    each.value
                    for each in ast.walk(node.args[1])
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    assert len(used) > 10
    assert used <= set(CODES)


def test_the_envelope_has_exactly_these_fields() -> None:
    bare = error_body(ApiError(404, "not_found", "Nothing."), request_id="req_1")
    assert bare == {
        "error": {
            "message": "Nothing.",
            "type": "invalid_request_error",
            "code": "not_found",
            "param": None,
            "request_id": "req_1",
        }
    }
    full = error_body(
        ApiError(
            429,
            "provider_rate_limited",
            "Slow down.",
            param="model",
            provider="groq",
            details={"key_suffix": "9Qkx"},
        ),
        request_id="req_1",
    )
    assert full["error"]["provider"] == "groq"
    assert full["error"]["details"] == {"key_suffix": "9Qkx"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "insufficient_quota"),
        (403, "permission_error"),
        (404, "invalid_request_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
    ],
)
def test_the_type_is_openais(status: int, kind: str) -> None:
    assert ApiError(status, "x", "").type == kind


def test_a_broken_rule_is_told_and_a_broken_program_is_not() -> None:
    told = api_error(BadValue("rate must be a number", param="rate"))
    assert (told.status, told.code, told.message, told.param) == (
        400,
        "invalid_parameter_value",
        "rate must be a number",
        "rate",
    )
    hidden = api_error(RuntimeError("sk-secret in /etc/passwd"))
    assert (hidden.status, hidden.code) == (500, "internal_error")
    assert "secret" not in hidden.message
    same = ApiError(418, "x", "y")
    assert api_error(same) is same


class Body(BaseModel):
    count: int
    tags: dict[str, int] = {}


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI()

    @app.post("/body")
    async def body(body: Body, limit: Annotated[int, Query(ge=1)] = 1) -> dict[str, int]:
        return {"count": body.count}

    @app.get("/rule")
    async def rule() -> None:
        raise StoreUnavailable("the disk is full")

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("sk-secret")

    @app.get("/retry")
    async def retry() -> None:
        raise ApiError(429, "rate_limit_exceeded", "Later.", headers={"retry-after": "3"})

    install_error_handlers(app)
    app.add_middleware(BodyLimit, bytes_max=1_000)
    app.add_middleware(RequestIds)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://keytoll")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("GET", "/nowhere", None, 404, "not_found", None),
        ("GET", "/body", None, 405, "method_not_allowed", None),
        ("GET", "/rule", None, 503, "store_unavailable", None),
        ("GET", "/bug", None, 500, "internal_error", None),
        ("GET", "/retry", None, 429, "rate_limit_exceeded", None),
        ("POST", "/body", b"", 400, "missing_required_parameter", None),
        ("POST", "/body", b"{", 400, "invalid_json", None),
        ("POST", "/body", b"\xff", 400, "invalid_json", None),
        ("POST", "/body", b"[" * 900, 400, "invalid_json", None),
        ("POST", "/body", b"{}", 400, "missing_required_parameter", "count"),
        ("POST", "/body", b"[]", 400, "invalid_parameter_value", None),
        ("POST", "/body", b'{"count": "sk-x"}', 400, "invalid_parameter_value", "count"),
        ("POST", "/body?limit=0", b'{"count": 1}', 400, "invalid_parameter_value", "limit"),
        (
            "POST",
            "/body",
            b'{"count": 1, "tags": {"sk-X1": "a"}}',
            400,
            "invalid_parameter_value",
            "tags",
        ),
        ("POST", "/body", b" " * 1_001, 413, "request_too_large", None),
    ],
)
async def test_every_error_has_the_envelope(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    body: bytes | None,
    status: int,
    code: str,
    param: str | None,
) -> None:
    headers = {"content-type": "application/json"}
    async with client:
        response = await client.request(method, path, content=body, headers=headers)
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "code", "param", "request_id"}
    assert error["code"] == code
    assert error["param"] == param
    assert re.fullmatch(r"req_[0-9a-f]{32}", error["request_id"])
    assert response.headers.get_list("x-request-id") == [error["request_id"]]
    assert "sk-" not in response.text


async def test_a_body_of_another_content_type_is_told_what_to_send(
    client: httpx.AsyncClient,
) -> None:
    async with client:
        response = await client.post("/body", content=b'{"count": 1}')
    assert response.status_code == 400
    assert "application/json" in response.json()["error"]["message"]


async def test_headers_of_an_error_are_sent(client: httpx.AsyncClient) -> None:
    async with client:
        assert (await client.get("/retry")).headers["retry-after"] == "3"
        assert (await client.get("/body")).headers["allow"] == "POST"


async def test_the_longest_body_is_taken_and_every_answer_has_an_id(
    client: httpx.AsyncClient,
) -> None:
    body = b'{"count": 1}'
    async with client:
        response = await client.post(
            "/body",
            content=body + b" " * (1_000 - len(body)),
            headers={"content-type": "application/json"},
        )
    assert response.json() == {"count": 1}
    assert response.headers["x-request-id"].startswith("req_")


async def test_a_body_in_pieces_is_counted_as_a_whole(client: httpx.AsyncClient) -> None:
    async def pieces() -> Any:
        for _ in range(11):
            yield b" " * 100

    async with client:
        response = await client.post("/body", content=pieces())
    assert response.status_code == 413
