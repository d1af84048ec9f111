"""`make smoke`: what docker-compose.yml describes, called, billed, compared and taken down.

The processes of the file are started on this machine (compose.py), the sandbox is turned on, calls
are made with OpenAI's SDK, and the period is closed. The same calls go to an embedded server, which
needs none of those processes. Both invoices must say the same.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import openai

from tests.e2e.program import Program
from tests.services.alerts import alerted
from tests.services.compose import Compose
from tests.services.server import DidNotStart, ServiceMissing

Json = dict[str, Any]
ROUNDS: Final = 6
WORDS: Final = 1500
ITS_OWN: Final = frozenset({"id", "account_id", "period", "issued_at", "cutoff", "merkle"})
"""What two installations cannot share: ids, instants, and the logs in which they lie."""


class SmokeFound(Exception):
    """Something is not as it should be; says what."""


def main() -> int:
    """0 if all is well, 1 with what is not."""
    folder = Path(tempfile.mkdtemp(prefix="keytoll-smoke-"))
    try:
        compose = Compose(folder / "composed", variables())
        try:
            smoke(compose, folder / "embedded")
        finally:
            compose.remove()
    except (SmokeFound, DidNotStart, ServiceMissing) as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def variables() -> Mapping[str, str]:
    """What .env would hold; the sandbox is off unless somebody turns it on."""
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "CLICKHOUSE_PASSWORD": secrets.token_hex(24),
        "KEYTOLL_MASTER_KEY": secrets.token_hex(32),
        "KEYTOLL_SANDBOX": "on",
    }


def smoke(compose: Compose, folder: Path) -> None:
    """The whole round. Raises SmokeFound."""
    started = time.monotonic()
    keys = json.loads(said(compose.run("api", "init", "--json")))["api_keys"]
    compose.up()
    tell("up", f"{len(running(compose))} processes of keytoll", started)
    started = time.monotonic()
    count = calls(compose.url("api", 8080), keys["owner"])
    tell("calls", f"{count}, with OpenAI's SDK {openai.__version__}", started)
    started = time.monotonic()
    closing = ("close", "--period", "/now", "--grace", "0", "--json")
    scaled = only_invoice(said(compose.execute("api", *closing)))
    tell("closed", f"{scaled['number']}: fee {scaled['fee_usd_exact']} USD", started)
    started = time.monotonic()
    embedded = embedded_invoice(folder)
    if compared(scaled) != compared(embedded):
        raise SmokeFound(f"invoices differ:\n{compared(scaled)}\n{compared(embedded)}")
    tell("compared", "the embedded mode's invoice says the same", started)
    started = time.monotonic()
    said(compose.execute("api", "verify", "--drift"))
    said(compose.execute("api", "status"))
    tell("verified", "hashes, gaps, seals; the log against the topic and the tables", started)
    metrics = all_metrics(compose)
    if unserved := alerted() - metrics:
        raise SmokeFound(f"deploy/alerts.yml: nobody serves {', '.join(sorted(unserved))}")
    memory = {name: f"{size >> 20} MiB" for name, size in running(compose).items()}
    codes = compose.down()
    if failed := {name: code for name, code in codes.items() if code != 0}:
        raise SmokeFound(f"ended with another code than 0: {failed}")
    print("memory  ", ", ".join(f"{name} {size}" for name, size in memory.items()))
    print("down     every process ended by itself, with code 0")


def calls(base_url: str, api_key: str) -> int:
    """Store a key and call: JSON and streams, priced, free, and estimated. How many calls."""
    headers = {"authorization": f"Bearer {api_key}"}
    key = {"provider": "sandbox", "key": "play-money-0001"}
    stored = httpx.post(f"{base_url}/api/user/provider-keys", json=key, headers=headers)
    if stored.status_code != 201:
        raise SmokeFound(f"the provider key was not stored: {stored.text}")
    client = openai.OpenAI(base_url=f"{base_url}/api/v1", api_key=api_key, max_retries=0)
    made = 0
    for turn in range(ROUNDS):
        text = " ".join(f"word{n % 7}" for n in range(WORDS + turn))
        for model in ("sandbox/echo", "sandbox/echo-free", "sandbox/silent"):
            message: Any = [{"role": "user", "content": text}]
            answer = client.chat.completions.create(model=model, messages=message)
            with client.chat.completions.create(
                model=model, messages=message, stream=True
            ) as stream:
                parts = [part.choices[0].delta.content or "" for part in stream if part.choices]
            if not answer.choices[0].message.content == "".join(parts) == text:
                raise SmokeFound(f"{model}: the answer is not the message")
            made += 2
    client.close()
    return made


def embedded_invoice(folder: Path) -> Json:
    """The same calls to one process without services."""
    folder.mkdir()
    program = Program(folder, upstreams={})
    program.init()
    program.start()
    try:
        calls(program.base_url, program.api_keys["owner"])
        return only_invoice(
            said(program.command("close", "--period", "/now", "--grace", "0", "--json"))
        )
    finally:
        program.stop()


def only_invoice(answer: str) -> Json:
    """The one that a close issued."""
    invoices = json.loads(answer)["invoices"]
    if len(invoices) != 1:
        raise SmokeFound(f"one invoice was due: {answer}")
    found: Json = invoices[0]
    return found


def compared(invoice: Json) -> Json:
    """An invoice without what is its own."""
    return {name: value for name, value in invoice.items() if name not in ITS_OWN}


def running(compose: Compose) -> Mapping[str, int]:
    """Each process of ours and its memory, children included, in bytes."""
    return {
        process.name: sum(part.memory_info().rss for part in process.family())
        for replicas in compose.processes.values()
        for process in replicas
    }


def all_metrics(compose: Compose) -> set[str]:
    """The names of everything that somebody serves."""
    found: set[str] = set()
    for name, processes in compose.processes.items():
        for replica in range(1, len(processes) + 1):
            answer = httpx.get(f"{compose.url(name, 9464, replica=replica)}/metrics")
            found |= set(re.findall(r"(?m)^# TYPE (\w+) ", answer.text))
    return found


def said(done: Any) -> str:
    """What a command printed. Raises SmokeFound unless it ended well."""
    if done.returncode:
        raise SmokeFound(f"{' '.join(map(str, done.args))}: {done.returncode}\n{done.stderr}")
    text: str = done.stdout
    return text


def tell(word: str, what: str, started: float) -> None:
    """A line of the story, with its seconds."""
    print(f"{word:<9}{what} ({time.monotonic() - started:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
