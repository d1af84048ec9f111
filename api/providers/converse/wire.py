"""Amazon's wire: signatures (SigV4) and the frames of its event streams, both by botocore.

Nothing else of botocore is used: no session, no configuration, no client, so nothing is read from
the machine and no socket is opened (docs/decisions/0033).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.eventstream import EventStreamBuffer, ParserError

from api.providers.port import ProviderKey

FRAME_BYTES_MAX: Final = 24 * 1024 * 1024
"""What Amazon allows a frame to hold."""

_LENGTH: Final = struct.Struct(">I")
_OVERHEAD: Final = 16
"""Bytes of a frame beside its headers and its payload: two lengths and two checksums."""
_STAMP: Final = "%Y%m%dT%H%M%SZ"


class Frame(NamedTuple):
    """One message of an event stream."""

    headers: Mapping[str, object]
    payload: bytes


class BadFrame(Exception):
    """Bytes that are no frame, or one whose checksum is wrong. Never leaves the dialect."""


class FrameDecoder:
    """Takes bytes cut anywhere, gives whole frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def pending(self) -> bool:
        """A frame has begun and is not complete."""
        return bool(self._pending)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes complete. Raises BadFrame; what follows one is lost."""
        self._pending += data
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if not _OVERHEAD <= length <= FRAME_BYTES_MAX:
                raise BadFrame("the length of a frame is absurd")
            if len(self._pending) < length:
                return
            whole = bytes(self._pending[:length])
            del self._pending[:length]
            yield _decoded(whole)


def _decoded(whole: bytes) -> Frame:
    buffer = EventStreamBuffer()
    buffer.add_data(whole)
    try:
        message = buffer.next()
    except (ParserError, StopIteration, struct.error, LookupError, ValueError):
        raise BadFrame("a frame is damaged") from None
    return Frame(message.headers, message.payload)


class _Credentials(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


class _Signer(SigV4Auth):  # type: ignore[misc]
    """Amazon's signer with the time as an argument, and silent: the original logs what it signs."""

    def authorization(self, request: AWSRequest) -> str:
        canonical = self.canonical_request(request)
        signature = self.signature(self.string_to_sign(request, canonical), request)
        signed = self.signed_headers(self.headers_to_sign(request))
        return (
            f"AWS4-HMAC-SHA256 Credential={self.scope(request)}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )


def signed_headers(
    key: ProviderKey,
    *,
    method: str,
    url: str,
    body: bytes,
    service: str,
    at: datetime,
    content_type: str,
) -> dict[str, str]:
    """The headers that prove who asks: SigV4 over method, URL, content type and body.

    The signature holds for some minutes around `at`. The URL must go out as it is given here.
    """
    stamp = at.astimezone(UTC).strftime(_STAMP)
    headers = {"content-type": content_type, "x-amz-date": stamp}
    token = key.get("sessionToken")
    if token:
        headers["x-amz-security-token"] = token
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    request.context["timestamp"] = stamp
    credentials = _Credentials(key["accessKeyId"], key["secretAccessKey"], token)
    signer = _Signer(credentials, service, key["region"])
    return {**headers, "authorization": signer.authorization(request)}
