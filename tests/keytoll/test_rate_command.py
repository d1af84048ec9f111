"""`keytoll rate` as a program: lines in, lines out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "keytoll", "rate")
ROWS = [{"id": "r", "provider": "p", "model": "m", "prices": {"input": "2", "output": "8"}}]
RECORD = {
    "provider": "p",
    "model": "m",
    "at": "2026-11-23T12:00:00Z",
    "usage": {"input_tokens": 1_000_000, "output_tokens": 0},
    "price_book": ROWS,
}
FREE = {"id": "f", "provider": "p", "model": "m:free", "prices": {}}
CHEAP = {"id": "c", "provider": "q", "model": "m", "prices": {"input": "1", "output": "1"}}


def run(
    folder: Path, text: str, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KEYTOLL_DATA": str(folder / "data"), **environment}
    return subprocess.run(
        [*COMMAND, *options],
        input=text,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def answers(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_record_has_its_line(tmp_path: Path) -> None:
    other = {**RECORD, "usage": {"input_tokens": 500_000, "output_tokens": 0}}
    done = run(tmp_path, f"{json.dumps(RECORD)}\n\n{json.dumps(other)}")
    assert (done.returncode, done.stderr) == (0, "")
    assert [each["at_cost_usd"] for each in answers(done)] == ["2", "1"]
    assert [each["fee_usd"] for each in answers(done)] == ["0.1", "0.05"]
    assert not (tmp_path / "data").exists()


def test_bad_records_are_named_by_their_lines_and_the_others_answered(tmp_path: Path) -> None:
    lines = [
        "{",
        json.dumps(RECORD),
        "[]",
        json.dumps({**RECORD, "usage": {"input_tokens": -1}}),
        json.dumps({**RECORD, "usage": {"input_tokens": 1, "cached_input_tokens": 2}}),
        json.dumps({**RECORD, "price_book": [{**ROWS[0], "service_teir": "flex"}]}),
        json.dumps({**RECORD, "at": "noon"}),
        json.dumps({**RECORD, "model": "unheard-of"}),
    ]
    done = run(tmp_path, "\n".join(lines) + "\n")
    assert done.returncode == 2
    assert [each["status"] for each in answers(done)] == ["priced", "unrated"]
    complaints = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in complaints] == [
        f"line {number}" for number in (1, 3, 4, 5, 6, 7)
    ]
    assert "service_teir" in complaints[4]


def test_a_record_too_deep_to_be_a_price_list_costs_nobody_else_an_answer(tmp_path: Path) -> None:
    deep = json.dumps({**RECORD, "price_book": ["deep"]}).replace('"deep"', "[" * 300 + "]" * 300)
    done = run(tmp_path, f"{deep}\n{json.dumps(RECORD)}\n")
    assert (done.returncode, len(answers(done))) == (2, 1)
    assert done.stderr == "keytoll: line 1: price_book is nested too deeply\n"


def test_the_locale_bears_any_name(tmp_path: Path) -> None:
    record = json.dumps({**RECORD, "model": "mod\u00e8le"})
    done = run(tmp_path, record, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert answers(done)[0]["model"] == "mod\u00e8le"


def test_the_reference_is_an_option(tmp_path: Path) -> None:
    record = {**RECORD, "model": "m:free", "price_book": [*ROWS, FREE, CHEAP]}
    for options, rows in ((), ["r"]), (("--reference", "lowest"), ["c"]):
        (found,) = answers(run(tmp_path, json.dumps(record), *options))
        assert (found["status"], found["reference"]["price_rows"]) == ("free_model", rows)


def test_raw_usage_of_every_protocol(tmp_path: Path) -> None:
    told = {
        "openai.chat": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        "openai.responses": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
        "anthropic.messages": {"input_tokens": 3, "output_tokens": 5},
        "google.generate_content": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 5,
            "totalTokenCount": 8,
        },
        "bedrock.converse": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8},
        "openrouter.chat": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }
    lines = [
        json.dumps({**RECORD, "usage": None, "raw_usage": raw, "api_flavor": flavor})
        for flavor, raw in told.items()
    ]
    done = run(tmp_path, "\n".join(lines))
    assert (done.returncode, done.stderr) == (0, "")
    assert [each["at_cost_usd"] for each in answers(done)] == ["0.000046"] * len(told)


def test_an_answer_comes_before_the_next_question(tmp_path: Path) -> None:
    """So that a program may ask one record at a time."""
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(json.dumps(RECORD) + "\n")
            assert json.loads(process.stdout.readline())["at_cost_usd"] == "2"
        process.stdin.close()
        assert process.wait(timeout=30) == 0
