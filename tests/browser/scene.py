"""Six weeks in the life of an installation, made by real calls while a clock was moved on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx

from api.chat.estimate import Estimator
from api.providers.http import Upstream
from domain.clock import FixedClock
from keytoll import PROGRAM
from tests.e2e.plan import Ask, Json, Plan
from tests.e2e.program import KEYS, Program
from tests.e2e.script import plain, refusal, silent, whole
from tests.e2e.upstream import ScriptedUpstream
from tests.keytoll.conftest import Installation, installation

BROKEN_KEY: Final = "sk-proj-e2eOpenAi-revoked"


@dataclass(frozen=True)
class Words:
    """What the people of a scene, and its providers, call things."""

    account: str
    other_account: str
    label: str
    key_name: str
    unknown_model: str
    answered_model: str | None
    """What the provider says that it served; None: what was asked for."""
    error: str
    tax_note: str


NICE: Final = Words(
    account="Fernwald Research",
    other_account="Harbour Street Studio",
    label="production",
    key_name="nightly reports",
    unknown_model="house-blend-2",
    answered_model=None,
    error="The engine is currently overloaded, please try again later",
    tax_note="VAT 19 %",
)
_BREAKOUT: Final = "'\"><b data-pwned onclick=pwn()>{{7*7}}</script></title></b>"
HOSTILE: Final = Words(
    account=_BREAKOUT,
    other_account=f"other {_BREAKOUT}"[:64],
    label=_BREAKOUT,
    key_name=_BREAKOUT,
    unknown_model=f"evil/{_BREAKOUT}<img src=/x onerror=pwn()>",
    answered_model=f"{_BREAKOUT}<svg onload=pwn()>",
    error=f"{_BREAKOUT}<iframe src=//evil.example></iframe><script>pwn()</script>",
    tax_note=_BREAKOUT,
)
MODELS: Final = (
    ("openai", "gpt-4o-mini", 8),
    ("openai", "gpt-4o", 3),
    ("anthropic", "claude-sonnet-4-5", 6),
    ("google", "gemini-2.5-flash", 5),
    ("groq", "llama-3.3-70b-versatile", 3),
    ("openrouter", "meta-llama/llama-3.3-70b-instruct", 2),
    ("openrouter", "meta-llama/llama-3.3-70b-instruct:free", 2),
)
TEAMS: Final = ("search", "support", "research")


@dataclass
class Scene:
    """A running program with a past."""

    program: Program
    accounts: list[str]
    calls: dict[str, str]
    """Of each kind the id of the last call."""


def staged(
    folder: Path, upstream: ScriptedUpstream, words: Words, *, days: int, calls_a_day: int
) -> Scene:
    """A program that was used until now; its past months are closed."""
    program = Program(folder, upstreams=upstream.base_urls())
    start = datetime.now(UTC) - timedelta(days=days)
    play = _Play(program, upstream, words, FixedClock(start))
    # A thread of its own: the browser's event loop counts as running in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(play.run(days, calls_a_day))).result()
    program.start()
    if start.month != datetime.now(UTC).month:
        period = f"{start.year}-{start.month:02}"
        done = program.command("close", "--period", period, "--grace", "0")
        assert done.returncode == 0, done.stderr
        _settle(program)
    return Scene(program, play.accounts, play.kinds)


def _settle(program: Program) -> None:
    """One of the invoices is credited in part, one is paid."""
    listed = program.command("invoice", "list", "--json")
    found = [each for each in json.loads(listed.stdout)["invoices"] if not each["sandbox"]]
    for invoice, words in zip(
        found,
        (["credit", "--reason", "Two calls were tests of ours", "--amount", "0.01"], ["pay"]),
        strict=False,
    ):
        program.command("invoice", *words, invoice["number"])


class _Play:
    """What happened, in order."""

    def __init__(
        self, program: Program, upstream: ScriptedUpstream, words: Words, clock: FixedClock
    ) -> None:
        self._program = program
        self._upstream = upstream
        self._words = words
        self._clock = clock
        self._dice = Random(7)
        self._count = 0
        self.accounts: list[str] = []
        self.kinds: dict[str, str] = {}

    async def run(self, days: int, calls_a_day: int) -> None:
        upstream = Upstream(named_urls=self._upstream.base_urls().values())
        made = installation(
            dict(self._program.environment),
            clock=self._clock,
            upstream=upstream,
            estimator=Estimator.load(),
        )
        try:
            await asyncio.wrap_future(made.stores.log.opened(epoch="past", program=PROGRAM))
            made.stores.prices.publish()
            made.open_account()
            self._program.account_id = made.account_id
            self._program.api_keys = dict(made.secrets)
            await self._furnish(made)
            for day in range(days):
                await self._day(made, day, calls_a_day)
        finally:
            await upstream.aclose()
            made.stores.close()

    async def _furnish(self, made: Installation) -> None:
        words = self._words
        operator, owner = self._as(made, "operator"), self._as(made, "owner")
        account = f"/api/v1/accounts/{made.account_id}"
        tax = {"rate": "0.19", "note": words.tax_note}
        await _sent(operator, "PATCH", account, {"name": words.account, "tax": tax})
        other = await _sent(operator, "POST", "/api/v1/accounts", {"name": words.other_account})
        self.accounts = [made.account_id, other["id"]]
        await _sent(operator, "PUT", f"/api/v1/accounts/{other['id']}/markup", {"rate": "0.03"})
        for slug in dict.fromkeys(slug for slug, _, _ in MODELS):
            await _sent(owner, "POST", "/api/user/provider-keys", _key(slug, words.label))
        await _sent(owner, "POST", "/api/user/provider-keys", _key("aws", words.label))
        broken = {**_key("openai", words.label), "key": BROKEN_KEY, "validate": True}
        await _sent(owner, "POST", "/api/user/provider-keys", broken)
        for role in ("caller", "owner"):
            await _sent(owner, "POST", "/api/user/api-keys", {"role": role, "name": words.key_name})

    async def _day(self, made: Installation, day: int, calls: int) -> None:
        weekend = self._clock.now().weekday() >= 5
        today = max(1, round(calls * self._dice.uniform(0.6, 1.2) * (0.3 if weekend else 1)))
        step = timedelta(days=1) / (today + 1)
        for number in range(today):
            self._clock.advance(step)
            await self._call(made, _kind(self._dice, day, number))
        self._clock.advance(step)

    async def _call(self, made: Installation, kind: str) -> None:
        dice, words = self._dice, self._words
        weights = [weight for _, _, weight in MODELS]
        ((provider, model, _),) = dice.choices(MODELS, weights)
        if kind == "unrated":
            provider, model = "openai", words.unknown_model
        self._count += 1
        name = f"scene{id(self)}-{self._count}"
        asked, answered = int(dice.lognormvariate(10, 1)), int(dice.lognormvariate(7, 0.8))

        took = timedelta(milliseconds=dice.lognormvariate(7, 0.7))

        def plan(ask: Ask) -> Plan:
            self._clock.advance(took)
            ask = replace(ask, prompt_tokens=asked + 20, completion_tokens=answered + 20)
            if kind == "failed":
                return refusal(ask, 503, "server_error", None, words.error)
            found = silent(ask, "") if kind == "estimated" else plain(ask, "")
            return _renamed(found, words.answered_model) if provider == "openai" else found

        self._upstream.plans[name] = plan
        body = {
            "model": model,
            "messages": [{"role": "user", "content": f"plain {name}"}],
            "byok": {
                "provider": provider,
                "tags": {"team": dice.choice(TEAMS), "env": "prod"},
            },
        }
        client = self._as(made, dice.choice(("owner", "caller")))
        answer = await client.post("/api/v1/chat/completions", json=body)
        assert answer.status_code in {200, 503, 502}, answer.text
        kind = "free" if model.endswith(":free") and kind == "priced" else kind
        self.kinds[kind] = answer.headers["x-request-id"]

    def _as(self, made: Installation, role: str) -> httpx.AsyncClient:
        return made.client(authorization=f"Bearer {made.secrets[role]}", accept="*/*")


def _kind(dice: Random, day: int, number: int) -> str:
    if number == 0 and day % 5 == 0:
        return ("unrated", "estimated", "failed")[day // 5 % 3]
    ((kind,)) = dice.choices(("priced", "estimated", "failed"), (90, 6, 4))
    return kind


def _renamed(plan: Plan, model: str | None) -> Plan:
    """The same answer, by a model of another name and with hostile members."""
    if model is None:
        return plan
    body: Json = json.loads(b"".join(piece for piece in plan.pieces if isinstance(piece, bytes)))
    body.update(model=model, service_tier=model)
    if "usage" in body:
        body["usage"][model] = model
    return whole(json.dumps(body).encode())


def _key(slug: str, label: str) -> Json:
    return {"provider": slug, "key": KEYS[slug], "label": label, "validate": False}


async def _sent(client: httpx.AsyncClient, method: str, path: str, body: Mapping[str, Any]) -> Any:
    answer = await client.request(method, path, json=dict(body))
    assert answer.is_success, f"{method} {path}: {answer.text}"
    return answer.json()
