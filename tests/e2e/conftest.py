from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.gate import TollGate
from tests.e2e.program import KEYS, Program
from tests.e2e.upstream import ScriptedUpstream

Opened = Callable[..., TollGate]


@pytest.fixture(scope="session")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def gate(
    tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedUpstream
) -> Iterator[TollGate]:
    """One running program, shared by every test that leaves it running."""
    opened = opened_gate(tmp_path_factory.mktemp("gate"), upstream)
    yield opened
    opened.end()


@pytest.fixture
def open_gate(tmp_path: Path) -> Iterator[Opened]:
    """Makes a program of the test's own, with an upstream of its own."""
    ends: list[Callable[[], object]] = []

    def opened(settings: Mapping[str, str] | None = None) -> TollGate:
        upstream = ScriptedUpstream()
        upstream.__enter__()
        ends.append(upstream.__exit__)
        gate = opened_gate(tmp_path, upstream, settings)
        ends.append(gate.end)
        return gate

    yield opened
    for end in reversed(ends):
        end()


def opened_gate(
    folder: Path, upstream: ScriptedUpstream, settings: Mapping[str, str] | None = None
) -> TollGate:
    program = Program(folder, upstreams=upstream.base_urls(), settings=settings)
    program.init()
    program.start()
    credentials = {slug: program.store_key(slug, key) for slug, key in KEYS.items()}
    return TollGate(program, upstream, credentials)
