"""tiktoken's two encodings, carried by the package so that counting never needs a network.

A file holds the tokens of one encoding in the order of their ranks: first the length of each
token, one byte each, then the tokens themselves, compressed with zlib. That is the same content
as the published `.tiktoken` file (see NOTICE) in a quarter of the space; `original()` gives that
file back, and a test compares its published SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from importlib.resources import files
from itertools import accumulate
from typing import Final, Literal

EncodingName = Literal["o200k_base", "cl100k_base"]

TOKENS: Final[dict[EncodingName, int]] = {"o200k_base": 199_998, "cl100k_base": 100_256}
"""How many tokens each encoding has."""
PUBLISHED_SHA256: Final[dict[EncodingName, str]] = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
"""Of the published `.tiktoken` files."""
_PACKED_SHA256: Final[dict[EncodingName, str]] = {
    "o200k_base": "440741350e7cfa1c0f4869ce742d1b043550adbda5187adcac9e787edac6fba9",
    "cl100k_base": "18288f996f452d44e0e65996176591a4b712a3eb1b42afd6f0511e735c099480",
}
"""Of the unpacked content of our files: a damaged installation must not count wrongly."""


class DamagedEncoding(Exception):
    """A file of the installation is not what it was when the program was packed."""


def ranks(name: EncodingName) -> dict[bytes, int]:
    """The rank of every token. Raises DamagedEncoding."""
    content = zlib.decompress(files(__name__).joinpath(f"{name}.bin").read_bytes())
    if hashlib.sha256(content).hexdigest() != _PACKED_SHA256[name]:
        raise DamagedEncoding(f"the encoding {name} of this installation is damaged: reinstall it")
    count = TOKENS[name]
    ends = list(accumulate(content[:count], initial=count))
    return {content[ends[rank] : ends[rank + 1]]: rank for rank in range(count)}


def pack(published: bytes) -> bytes:
    """The content of our file, made from a published `.tiktoken` file."""
    lines = [line.split() for line in published.splitlines()]
    if [int(rank) for _, rank in lines] != list(range(len(lines))):
        raise DamagedEncoding("the ranks of a .tiktoken file run from 0 without a gap")
    tokens = [base64.b64decode(token) for token, _ in lines]
    return zlib.compress(bytes(map(len, tokens)) + b"".join(tokens), 9)


def original(name: EncodingName) -> bytes:
    """The published `.tiktoken` file, byte for byte."""
    return b"".join(
        base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks(name).items()
    )
