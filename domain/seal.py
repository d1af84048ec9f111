"""The Merkle tree of RFC 6962 (and RFC 9162, section 2) over the lines of a store.

A leaf is SHA-256(0x00 ‖ line), an inner node SHA-256(0x01 ‖ left ‖ right). Positions count from 0
here; the line with seq n is the leaf at position n − 1. Nothing here reads a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from domain.errors import BadValue

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(line: bytes) -> bytes:
    """The leaf of one line; in hex it is the `hash` of an event."""
    return sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The node above two subtrees."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The least that must be kept to add leaves and tell the root: one hash per full subtree.

    The subtrees stand from the largest (left) to the smallest, one for each 1 in `size`.
    """

    __slots__ = ("size", "subtrees")

    def __init__(self, *, size: int = 0, subtrees: Iterable[bytes] = ()) -> None:
        self.size = size
        self.subtrees = list(subtrees)
        if size < 0 or len(self.subtrees) != size.bit_count():
            raise BadValue("a frontier has one hash for each 1 in the binary form of its size")
        if any(len(subtree) != HASH_BYTES for subtree in self.subtrees):
            raise BadValue("a hash has 32 bytes")

    def add(self, leaf: bytes) -> None:
        """Append one leaf hash."""
        size = self.size
        while size & 1:
            leaf = sha256(b"\x01" + self.subtrees.pop() + leaf).digest()
            size >>= 1
        self.subtrees.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves added so far."""
        if not self.subtrees:
            return EMPTY_ROOT
        *rest, root = self.subtrees
        for subtree in reversed(rest):
            root = node_hash(subtree, root)
        return root

    def copy(self) -> Frontier:
        """An independent frontier of the same leaves."""
        twin = Frontier.__new__(Frontier)
        twin.size = self.size
        twin.subtrees = self.subtrees.copy()
        return twin


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The Merkle tree hash of leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], *, position: int) -> list[bytes]:
    """The audit path of one leaf, from its sibling up. Raises BadValue for no such leaf."""
    if not 0 <= position < len(leaves):
        raise BadValue(f"the tree has no leaf at position {position}")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if position < middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low = middle
    path.reverse()
    return path


def verify_inclusion(
    *, leaf: bytes, position: int, size: int, root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether `path` proves that `leaf` stands at `position` in the tree of `size` and `root`."""
    if not 0 <= position < size:
        return False
    node, last, computed = position, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            computed = node_hash(computed, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and computed == root


def consistency_proof(leaves: Sequence[bytes], *, first: int) -> list[bytes]:
    """Proof that the tree of the first `first` leaves is a beginning of the whole tree."""
    if not 0 < first <= len(leaves):
        raise BadValue(f"the tree has no earlier state of size {first}")
    path: list[bytes] = []
    low, high, whole = 0, len(leaves), True
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low, whole = middle, False
    if not whole:
        path.append(root_of(leaves[low:high]))
    path.reverse()
    return path


def verify_consistency(
    *, first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether `path` proves that the tree of size `second` only appended to that of `first`."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    hashes = list(path)
    if first & (first - 1) == 0:
        hashes.insert(0, first_root)
    if not hashes:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node >>= 1
        last >>= 1
    older = newer = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            older = node_hash(sibling, older)
            newer = node_hash(sibling, newer)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            newer = node_hash(newer, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and older == first_root and newer == second_root


def _split(size: int) -> int:
    """The largest power of two below `size`: where RFC 6962 parts a tree."""
    return 1 << ((size - 1).bit_length() - 1)
