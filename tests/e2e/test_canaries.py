"""Canary secrets are planted everywhere; nothing that the program wrote may hold one."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from api.providers.catalogue import PROVIDERS
from keytoll.settings import Settings
from tests.e2e.gate import TollGate, asking, new_name
from tests.e2e.program import Json, Program
from tests.e2e.upstream import ScriptedUpstream

_DICE: Final = random.Random(20261123)
_LETTERS: Final = string.ascii_letters + string.digits
PAGES_MAX: Final = 60
_LINKS: Final = re.compile(r'href="(/(?!static/)[^"#]*)')
WINDOW: Final = 10
"""So many characters of a secret in a row are a leak (the last four are public)."""


def token(length: int = 40, letters: str = _LETTERS) -> str:
    return "".join(_DICE.choices(letters, k=length))


PLAIN: Final = {
    "openai": "sk-proj-",
    "anthropic": "sk-ant-api03-",
    "sandbox": "play-",
    "openai-responses": "sk-svcacct-",
    "openrouter": "sk-or-v1-",
    "google": "AIza",
    "groq": "gsk_",
    "sambanova": "",
    "vercel": "vck_",
    "novita": "sk_",
    "akash": "sk-",
    "nvidia": "nvapi-",
    "hyperbolic": "eyJ",
    "morpheus": "sk-AbCdEf.",
    "fireworks": "fw_",
    "together": "tgp_v1_",
}
ENDPOINT: Final = "https://canary-resource.openai.azure.com"


def canary_keys() -> Iterator[tuple[str, Any, list[str]]]:
    """(provider, key as its owner gives it, the secrets in it)."""
    for slug, prefix in PLAIN.items():
        secret = token()
        yield slug, prefix + secret, [secret]
    secret = f"{token(32, '0123456789abcdef')}.{token(32, '0123456789abcdef')}.{token(32)}"
    yield "chutes", f"cpk_{secret}", [secret]
    access, secret, session = "AKIA" + token(16, string.ascii_uppercase), token(), token(120)
    aws = {"accessKeyId": access, "secretAccessKey": secret, "region": "eu-central-1"}
    yield "aws", aws, [secret]
    aws = {**aws, "accessKeyId": "ASIA" + token(16, string.ascii_uppercase)}
    yield "aws", json.dumps({**aws, "sessionToken": session}), [secret, session]
    secret = token()
    yield "aws", {"apiKey": "ABSK" + secret, "region": "us-east-1"}, [secret]
    for slug in ("azure", "azure-responses"):
        secret = token(32, "0123456789abcdef")
        azure = {"endpoint": ENDPOINT, "apiKey": secret, "apiVersion": "2024-10-21-preview"}
        if slug == "azure":
            azure["deploymentName"] = "canary"
        yield slug, azure, [secret]


class Canaries:
    """The program under watch: every answer is kept, every secret is remembered."""

    def __init__(self, gate: TollGate) -> None:
        self.gate = gate
        self.secrets: list[str] = []
        self.answers: list[tuple[str, bytes]] = []

    def call(
        self, method: str, path: str, body: Any = None, role: str = "owner", **more: Any
    ) -> Any:
        with self.gate.program.client(role) as client:
            answer = client.request(method, path, json=body, **more)
        self._keep(f"{method} {path} {role}", answer)
        return answer

    def chat(self, behaviour: str, credential: str, **body: Any) -> httpx.Response:
        provider = body.pop("provider")
        byok = {"credential": credential}
        sent = asking(behaviour, new_name(), provider=provider, byok=byok, **body)
        found: httpx.Response = self.call("POST", "/v1/chat/completions", sent)
        return found

    def _keep(self, what: str, answer: httpx.Response) -> None:
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.answers.append((what, headers.encode() + b"\n\n" + answer.content))

    def wrote(self) -> Iterator[tuple[str, bytes]]:
        """Everything that the program wrote, but for its master key."""
        yield from self.answers
        for path in self.gate.program.folder.rglob("*"):
            if path.is_file() and path.name != "data.key":
                yield str(path), path.read_bytes()


def needles(secret: str) -> set[bytes]:
    """Enough pieces of a secret, as it is and encoded, to find any WINDOW + 6 of it in a row."""
    raw = secret.encode()
    found = {raw[at : at + WINDOW] for at in range(0, len(raw) - WINDOW + 1, 5)}
    found |= {piece.hex().encode() for piece in list(found)}
    for shift in range(3):
        text = base64.b64encode(raw[shift:]).rstrip(b"=")
        found |= {text[at : at + 16] for at in range(0, len(text) - 15, 4)}
    found.add(secret.encode("utf-16-le"))
    return found


def leaks(secrets: list[str], wrote: Iterator[tuple[str, bytes]]) -> list[str]:
    looked_for = {needle: secret for secret in secrets for needle in needles(secret)}
    return [
        f"{looked_for[needle][:6]}… in {where}"
        for where, data in wrote
        for needle in looked_for
        if needle in data
    ]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canaries]:
    with ScriptedUpstream() as upstream:
        program = Program(
            tmp_path_factory.mktemp("canaries"),
            upstreams=upstream.base_urls(),
            settings={"KEYTOLL_LOG_LEVEL": "debug"},
        )
        program.init()
        program.start()
        gate = TollGate(program, upstream, {})
        yield Canaries(gate)
        gate.end()


def test_the_search_finds_what_is_there() -> None:
    secret = token()
    written = [
        secret.encode(),
        b"x" + secret[3:20].encode() + b"y",
        base64.b64encode(b"ab" + secret.encode() + b"c"),
        secret.encode().hex().encode(),
    ]
    for data in written:
        assert leaks([secret], iter([("here", data)]))
    assert not leaks([secret], iter([("here", token(10_000).encode())]))


def test_no_canary_gets_out(watched: Canaries) -> None:
    program = watched.gate.program
    stored = store_all(watched)
    assert set(PROVIDERS) == {slug for slug, _ in stored}
    misuse(watched)
    for slug in ("openai", "anthropic", "sambanova", "azure", "google"):
        use(watched, slug, next(key for found, key in stored if found == slug))
    words = [token(), token()]
    watched.secrets += words
    name = f"plain {words[0]}"  # prompts are not kept either, nor what callers call their calls
    sent = asking(name, "x", byok={"tags": {}})
    watched.call("POST", "/v1/chat/completions", sent, headers={"idempotency-key": words[1]})
    refused = watched.call("POST", "/v1/chat/completions", {**sent, "messages": [words[0]]})
    assert refused.status_code == 400
    rotate_and_remove(watched, stored)
    look_everywhere(watched)
    look_at_pages(watched)
    # Our own keys are shown once, by the command that made them.
    watched.secrets += [key.removeprefix("kt_") for key in program.api_keys.values()]
    assert searched(watched) >= {"events.sqlite-wal", "vault.sqlite-wal", "log.jsonl"}
    assert leaks(watched.secrets, watched.wrote()) == []
    program.stop()
    master = (program.folder / "data.key").read_bytes().strip()
    assert len(master) >= 32
    watched.secrets.append(master.decode())
    commands(watched)
    assert len(watched.secrets) > 40
    assert searched(watched) >= {"events.sqlite", "vault.sqlite", "labels.sqlite", "copy.backup"}
    assert leaks(watched.secrets, watched.wrote()) == []


def searched(watched: Canaries) -> set[str]:
    """Names of the files that were looked into."""
    return {Path(where).name for where, _ in watched.wrote() if where.startswith("/")}


def store_all(watched: Canaries) -> list[tuple[str, str]]:
    """(slug, credential id) of a canary of each kind, stored and validated."""
    stored = []
    for slug, key, secrets in canary_keys():
        watched.secrets += secrets
        body: Json = {"provider": slug, "key": key, "label": f"my {slug}"}
        offline = slug not in {"openai", "anthropic", "sandbox"}
        if offline:
            body["validate"] = False  # nothing may leave this machine
        answer = watched.call("POST", "/api/user/provider-keys", body)
        assert answer.status_code == 201, answer.text
        stored.append((slug, answer.json()["id"]))
        if not offline:
            for checked in ({"key": key}, {"id": answer.json()["id"]}):
                sent = {"provider": slug, **checked}
                watched.call("POST", "/api/user/provider-keys/validate", sent)
    return stored


def misuse(watched: Canaries) -> None:
    """Secrets in wrong places and of wrong form: refused, and not repeated."""
    secret = token()
    watched.secrets.append(secret)
    wrong: list[Json] = [
        {"provider": "openai", "key": f"sk-ant-{secret}"},
        {"provider": "openai", "key": f"sk-admin-{secret}"},
        {"provider": "openai", "key": f"sk-{secret} {secret}"},
        {"provider": "openai", "key": {"apiKey": f"sk-{secret}", secret: secret}},
        {"provider": "openai", "key": [secret]},
        {"provider": secret, "key": secret},
        {"provider": "openai", secret: secret},
        {"provider": "aws", "key": secret},
        {"provider": "aws", "key": {"accessKeyId": "AKIA", "secretAccessKey": secret}},
        {
            "provider": "aws",
            "key": {"accessKeyId": secret, "secretAccessKey": secret, "region": "x"},
        },
        {"provider": "azure", "key": {"endpoint": f"https://{secret}.evil.test", "apiKey": secret}},
        {
            "provider": "azure",
            "key": {"endpoint": ENDPOINT, "apiKey": secret, "apiVersion": secret},
        },
        {"provider": "openai", "key": f"sk-{secret}", "models": secret},
        {"provider": "openai", "key": f"sk-{secret}", "validate": secret},
    ]
    for body in wrong:
        for path in ("/api/user/provider-keys", "/api/user/provider-keys/validate"):
            answer = watched.call("POST", path, body)
            assert answer.status_code == 400, answer.text
    for headers in (
        {"authorization": f"Bearer sk-{secret}"},
        {"authorization": f"Bearer kt_{secret}"},
    ):
        for path in ("/v1/chat/completions", "/api/user/provider-keys"):
            assert watched.call("POST", path, {}, headers=headers).status_code == 401
    for byok in ({"provider": secret}, {"credential": secret}, {secret: secret, "enabled": False}):
        body = asking("plain", "x", byok={"tags": {}, **byok})
        assert watched.call("POST", "/v1/chat/completions", body).status_code in {400, 404}
    watched.call("DELETE", f"/api/user/provider-keys?provider={secret}")
    watched.call("DELETE", f"/api/user/provider-keys/{secret}")
    watched.call("GET", f"/api/v1/usage/requests/{secret}")


def use(watched: Canaries, slug: str, credential: str) -> None:
    """Calls that go well, and an upstream that shouts the key wherever it can."""
    statuses = {
        "plain": 200,
        "cut": 502,
        "error-inside": 502,
        "status-429": 429,
        "echo-key": 401,
        "echo-everywhere": 502,
        "echo-as-text": 502,
        "echo-inside": 401,
    }
    for behaviour, status in statuses.items():
        answer = watched.chat(behaviour, credential, provider=slug)
        assert answer.status_code in {status, 502}, answer.text
        watched.chat(behaviour, credential, provider=slug, stream=True)


def rotate_and_remove(watched: Canaries, stored: list[tuple[str, str]]) -> None:
    for slug, credential in stored:
        if slug in PLAIN:
            secret = token()
            watched.secrets.append(secret)
            path = f"/api/user/provider-keys/{credential}"
            patched = watched.call("PATCH", path, {"key": PLAIN[slug] + secret})
            assert patched.status_code == 200, patched.text
    for number, (_, credential) in enumerate(stored):
        if number % 2:
            gone = watched.call("DELETE", f"/api/user/provider-keys/{credential}")
            assert gone.status_code == 200


def look_everywhere(watched: Canaries) -> None:
    """Every route that can be read, with every role."""
    described = watched.call("GET", "/openapi.json").json()
    for role in watched.gate.program.api_keys:
        for path, methods in described["paths"].items():
            if "get" in methods and "{" not in path:
                watched.call("GET", path, role=role)
    for request in list(watched.gate.program.requests())[:20]:
        watched.call("GET", f"/api/v1/usage/requests/{request}")


def look_at_pages(watched: Canaries) -> None:
    """Every page that links lead to, with every role; and what forms say to keys that are wrong."""
    program = watched.gate.program
    for role, key in program.api_keys.items():
        with httpx.Client(base_url=program.base_url, timeout=60, verify=False) as browser:
            assert browser.post("/sign-in", data={"api_key": key}).status_code == 303
            seen: set[str] = set()
            waiting = ["/"]
            while waiting and len(seen) < PAGES_MAX:
                path = waiting.pop(0)
                if path in seen:
                    continue
                seen.add(path)
                answer = browser.get(path, follow_redirects=True)
                watched._keep(f"page {path} {role}", answer)
                if answer.headers.get("content-type", "").startswith("text/html"):
                    waiting += [unescape(link) for link in _LINKS.findall(answer.text)]
            assert len(seen) > 2, f"{role} saw {seen}"
            if role == "owner":
                misuse_forms(watched, browser)


def misuse_forms(watched: Canaries, browser: httpx.Client) -> None:
    """A key in the wrong form or the wrong field is refused, and not repeated."""
    (csrf,) = set(re.findall(r'name="csrf" value="([0-9a-f]+)"', browser.get("/keys").text))
    secret = token()
    watched.secrets.append(secret)
    for path, fields in (
        ("/keys/providers/openai", {"key": f"sk-ant-{secret}", "label": secret}),
        ("/keys/providers/aws", {"key": f'{{"accessKeyId": "{secret}"}}'}),
        ("/keys/providers/azure", {"key": f'{{"endpoint": "https://{secret}.example"}}'}),
        ("/keys/check/aws", {"key": secret}),
        ("/keys/api", {"role": secret, "name": f"kt_{secret}", "csrf": csrf}),
        ("/sign-in", {"api_key": f"kt_{secret}"}),
        (f"/keys/{secret}/test", {}),
    ):
        answer = browser.post(path, data={"csrf": csrf, **fields})
        checked = path.startswith("/keys/check/")  # says what is wrong, and that is no error
        assert answer.status_code == 200 if checked else 400 <= answer.status_code < 500, path
        watched._keep(f"form {path}", answer)


def commands(watched: Canaries) -> None:
    """Exports, reports and a backup, written beside the data folder."""
    program = watched.gate.program
    for words in (
        ("status",),
        ("export", "events", "--out", "events.jsonl"),
        ("export", "prices", "--out", "prices.jsonl"),
        ("export", "calls", "--out", "calls.jsonl"),
        ("replay", "--check"),
        ("verify",),
        ("backup", "copy.backup"),
    ):
        done = program.command(*words)
        assert done.returncode == 0, (words, done.stderr)
        watched.answers.append((" ".join(words), (done.stdout + done.stderr).encode()))
    assert (program.folder / "copy.backup").exists()


def test_settings_show_no_secret(tmp_path: Path) -> None:
    secret = base64.b64encode(bytes(range(32))).decode()
    environment = {"KEYTOLL_MASTER_KEY": secret, "KEYTOLL_DATA": str(tmp_path / "data")}
    shown = repr(Settings.from_environment(environment))
    assert "master_key" in shown
    assert secret[:10] not in shown
