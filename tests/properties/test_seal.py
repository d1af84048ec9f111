"""The Merkle tree against published vectors and against the recursion of RFC 6962, section 2.1."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadValue
from domain.seal import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The eight inputs, roots and proofs that certificate-transparency logs test themselves with.
INPUTS = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
PAIR_23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
QUAD_4567 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
PAIR_67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
PAIR_45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"

LEAVES = tuple(leaf_hash(bytes.fromhex(text)) for text in INPUTS)


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert EMPTY_ROOT == sha256(b"").digest() == Frontier().root()


@pytest.mark.parametrize("size", range(1, 9))
def test_published_roots(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(
    ("position", "size", "path"),
    [
        (0, 1, []),
        (0, 8, [LEAF_1, PAIR_23, QUAD_4567]),
        (5, 8, [LEAF_4, PAIR_67, ROOTS[3]]),
        (2, 3, [ROOTS[1]]),
        (1, 5, [ROOTS[0], PAIR_23, LEAF_4]),
    ],
)
def test_published_inclusion_proofs(position: int, size: int, path: list[str]) -> None:
    proof = inclusion_proof(LEAVES[:size], position=position)
    assert [node.hex() for node in proof] == path


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        (1, 1, []),
        (1, 8, [LEAF_1, PAIR_23, QUAD_4567]),
        (6, 8, [PAIR_45, PAIR_67, ROOTS[3]]),
        (2, 5, [PAIR_23, LEAF_4]),
    ],
)
def test_published_consistency_proofs(first: int, second: int, path: list[str]) -> None:
    proof = consistency_proof(LEAVES[:second], first=first)
    assert [node.hex() for node in proof] == path


def naive_root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return sha256(b"\x01" + naive_root(leaves[:half]) + naive_root(leaves[half:])).digest()


leaf_lists = st.lists(st.binary(max_size=4).map(leaf_hash), min_size=1, max_size=70)


@given(leaf_lists)
def test_the_frontier_is_the_recursion(leaves: list[bytes]) -> None:
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    again = Frontier(size=frontier.size, subtrees=frontier.subtrees)
    assert frontier.root() == again.root() == naive_root(leaves)


def test_every_proof_of_small_trees_holds_and_fits_no_other_leaf_or_size() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(20)]
    for size in range(1, 21):
        tree = leaves[:size]
        root = root_of(tree)
        for position in range(size):
            path = inclusion_proof(tree, position=position)

            def holds(
                leaf: bytes, at: int, of: int, path: list[bytes] = path, root: bytes = root
            ) -> bool:
                return verify_inclusion(leaf=leaf, position=at, size=of, root=root, path=path)

            assert holds(tree[position], position, size)
            for other in range(size):
                assert holds(tree[position], other, size) == (other == position)
                assert holds(tree[other], position, size) == (other == position)
            assert not holds(tree[position], size, size)
            assert not holds(tree[position], position, size, path=[*path, root])
            if path:
                assert not holds(tree[position], position, size, path=path[:-1])


@given(leaf_lists, st.data())
def test_a_consistency_proof_holds_for_a_beginning_only(
    leaves: list[bytes], data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, len(leaves)))
    path = consistency_proof(leaves, first=first)
    older, newer = root_of(leaves[:first]), root_of(leaves)
    rewritten = root_of([*leaves[: first - 1], leaf_hash(b"rewritten")])

    def holds(first_root: bytes, second_root: bytes, path: list[bytes]) -> bool:
        return verify_consistency(
            first=first,
            first_root=first_root,
            second=len(leaves),
            second_root=second_root,
            path=path,
        )

    assert holds(older, newer, path)
    assert not holds(rewritten, newer, path)
    assert not holds(older, rewritten, path)
    assert not holds(older, newer, [*path, older])
    if path:
        assert not holds(older, newer, path[:-1])
        changed = data.draw(st.integers(0, len(path) - 1))
        assert not holds(older, newer, [*path[:changed], rewritten, *path[changed + 1 :]])


def test_proofs_of_what_is_not_there_are_refused() -> None:
    for position in (-1, 8):
        with pytest.raises(BadValue):
            inclusion_proof(LEAVES, position=position)
    for first in (0, 9):
        with pytest.raises(BadValue):
            consistency_proof(LEAVES, first=first)


def test_a_frontier_that_does_not_fit_its_size_is_refused() -> None:
    with pytest.raises(BadValue):
        Frontier(size=3, subtrees=[LEAVES[0]])
    with pytest.raises(BadValue):
        Frontier(size=1, subtrees=[b"short"])
