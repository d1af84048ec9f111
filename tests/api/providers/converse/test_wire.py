"""Signatures against Amazon's vectors and a verifier of our own; frames against damage."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.providers.converse.dialect import Converse
from api.providers.converse.wire import (
    FRAME_BYTES_MAX,
    BadFrame,
    Frame,
    FrameDecoder,
    signed_headers,
)
from api.providers.http import Upstream
from api.providers.port import Timeouts
from tests.api.providers.converse.calls import ACCESS, call
from tests.api.providers.converse.frames import frame, raw_frame
from tests.instants import AT

# The key, host and instant of Amazon's test suite for Signature Version 4.
SUITE = {
    "accessKeyId": "AKIDEXAMPLE",
    "secretAccessKey": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "region": "us-east-1",
}
THEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
TOKEN = "AQoDYXdzEXAMPLETOKEN0123456789"


def signature_of(headers: Mapping[str, str]) -> str:
    return headers["authorization"].rpartition("Signature=")[2]


def expected_signature(
    key: Mapping[str, str],
    service: str,
    head: Mapping[str, str],
    signed: Iterable[str],
    *,
    method: str,
    path: str,
    body: bytes,
) -> str:
    """Signature Version 4 as its specification says, over what arrived."""
    named = list(signed)
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/-_.~"),
            "",
            *(f"{name}:{head[name]}" for name in named),
            "",
            ";".join(named),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    stamp = head["x-amz-date"]
    scope = f"{stamp[:8]}/{key['region']}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    secret = ("AWS4" + key["secretAccessKey"]).encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    return hmac.new(secret, to_sign.encode(), "sha256").hexdigest()


def test_the_vector_of_the_suite_with_a_form() -> None:
    """post-x-www-form-urlencoded of the suite."""
    headers = signed_headers(
        SUITE,
        method="POST",
        url="https://example.amazonaws.com/",
        body=b"Param1=value1",
        service="service",
        at=THEN,
        content_type="application/x-www-form-urlencoded",
    )
    assert headers["x-amz-date"] == "20150830T123600Z"
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    )


def test_the_instant_is_the_one_of_the_call_in_any_zone() -> None:
    def signed(at: datetime) -> dict[str, str]:
        return signed_headers(
            SUITE,
            method="POST",
            url="https://h.test/",
            body=b"",
            service="bedrock",
            at=at,
            content_type="text/plain",
        )

    elsewhere = THEN.astimezone(timezone(timedelta(hours=9)))
    assert signed(elsewhere) == signed(THEN)
    assert signed(THEN + timedelta(seconds=1)) != signed(THEN)


def test_nothing_that_is_signed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Converse().request(call("m"), {**ACCESS, "sessionToken": TOKEN}, "")
    assert not caplog.records


def test_no_more_of_botocore_is_loaded_than_signs_and_frames() -> None:
    """Its sessions, credentials and clients read files and variables of the machine."""
    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, api.providers.catalogue; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(listed.stdout.split())
    assert "botocore.auth" in loaded
    for name in ("session", "client", "credentials", "loaders", "configloader", "endpoint"):
        assert f"botocore.{name}" not in loaded


class Verifier:
    """Reads one request off a socket and keeps it."""

    def __init__(self) -> None:
        self.line = ""
        self.head: dict[str, str] = {}
        self.body = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.line = lines[0]
        self.head = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        self.body = await reader.readexactly(int(self.head["content-length"]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


class Row:
    hosts = ()
    timeouts = Timeouts(connect_s=2, first_byte_s=2, idle_s=2, total_s=5)


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("amazon.nova-lite-v1:0", "/base/model/amazon.nova-lite-v1%3A0/converse"),
        (
            PROFILE,
            "/base/model/" + quote(PROFILE, safe="") + "/converse",
        ),
    ],
)
async def test_the_signature_holds_over_what_arrives(
    model: str, path: str, token: str | None
) -> None:
    verifier = Verifier()
    listening = await asyncio.start_server(verifier.serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/base"
    key = {**ACCESS, **({"sessionToken": token} if token else {})}
    upstream = Upstream(named_urls=[base])
    answer = await upstream.send(Converse().request(call(model), key, base), Row())
    await answer.aclose()
    await upstream.aclose()
    listening.close()
    await listening.wait_closed()

    assert verifier.line == f"POST {path} HTTP/1.1"
    assert "%3A0/converse" in path
    assert json.loads(verifier.body)["messages"]
    told = verifier.head["authorization"]
    names = told.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "x-amz-date", "content-type"} <= set(names)
    assert ("x-amz-security-token" in names) == bool(token)
    assert verifier.head.get("x-amz-security-token") == token
    assert verifier.head["x-amz-date"] == AT.strftime("%Y%m%dT%H%M%SZ")
    assert f"Credential={ACCESS['accessKeyId']}/20261101/eu-west-1/bedrock/aws4_request" in told
    assert told.endswith(
        "Signature="
        + expected_signature(
            ACCESS,
            "bedrock",
            verifier.head,
            names,
            method="POST",
            path=path,
            body=verifier.body,
        )
    )


# Frames

STREAM = (
    frame("messageStart", {"role": "assistant"})
    + frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Grüße"}})
    + frame("throttlingException", {"message": "slow down"}, "exception")
    + frame("InternalError", b"", "error")
)


def frames_of(pieces: Iterable[bytes]) -> list[Frame]:
    decoder = FrameDecoder()
    return [found for piece in pieces for found in decoder.feed(piece)]


def test_frames_are_read_with_their_headers() -> None:
    found = frames_of([STREAM])
    assert [each.headers.get(":message-type") for each in found] == [
        *("event", "event", "exception", "error")
    ]
    assert found[0].headers[":event-type"] == "messageStart"
    assert found[2].headers[":exception-type"] == "throttlingException"
    assert found[3].headers[":error-code"] == "InternalError"
    assert json.loads(found[1].payload)["delta"]["text"] == "Grüße"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=9).map(sorted))
def test_cutting_anywhere_changes_nothing(places: list[int]) -> None:
    bounds = [0, *places, len(STREAM)]
    assert frames_of(STREAM[a:b] for a, b in pairwise(bounds)) == frames_of([STREAM])


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(STREAM) - 1), bit=st.integers(0, 7))
def test_a_damaged_byte_never_passes_for_a_whole_frame(place: int, bit: int) -> None:
    damaged = bytearray(STREAM)
    damaged[place] ^= 1 << bit
    decoder = FrameDecoder()
    found: list[Frame] = []
    try:
        for each in decoder.feed(bytes(damaged)):
            found.append(each)
    except BadFrame:
        pass
    else:
        # A length that grew: the decoder waits for bytes that will not come.
        assert decoder.pending
    assert found == frames_of([STREAM])[: len(found)]
    assert len(found) < 4


@settings(max_examples=200, deadline=None)
@given(headers=st.binary(max_size=60), payload=st.binary(max_size=30))
def test_headers_of_any_kind_are_read_or_refused(headers: bytes, payload: bytes) -> None:
    """The checksums are right; what they cover need not be."""
    try:
        (found,) = frames_of([raw_frame(headers, payload)])
    except BadFrame:
        return
    assert found.payload == payload


@pytest.mark.parametrize("length", [0, 15, FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_an_absurd_length_is_refused_at_once(length: int) -> None:
    with pytest.raises(BadFrame):
        frames_of([length.to_bytes(4, "big")])


def test_a_text_where_frames_should_be_is_refused() -> None:
    with pytest.raises(BadFrame):
        frames_of([b'{"message":"not a stream"}'])
