"""The hashes, proofs, notes and paths that others have published come out of our code too."""

from __future__ import annotations

import pytest

from proctor.audit import canonical
from proctor.audit.archive import node_of
from proctor.audit.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    frontier_of,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
)
from proctor.audit.notes import BadNote, Verifier, opened
from proctor.audit.tiles import ENTRIES, NoTile, Tile, tiles_of

LEAVES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The tree heads of Certificate Transparency's reference tests, for the first 0 to 8 leaves."""


def test_leaves_and_nodes_are_hashed_with_their_prefixes():
    """A leaf is hashed after a 0, a node after a 1 (RFC 6962, section 2.1)."""
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    assert EMPTY_ROOT.hex() == ROOTS[0]


@pytest.mark.parametrize("size", range(9))
def test_the_roots_of_the_reference_tree(size):
    """The frontier gives the published root at each size."""
    assert frontier_of([leaf_hash(each) for each in LEAVES[:size]]).root().hex() == ROOTS[size]


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 1, ()),
        (
            0,
            8,
            (
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ),
        ),
        (
            5,
            8,
            (
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ),
        ),
        (2, 3, ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",)),
    ],
)
def test_the_inclusion_proofs_of_the_reference_tree(index, size, path):
    """The proof is the published one, and it verifies against the published root."""
    hashes = [leaf_hash(each) for each in LEAVES]
    proof = inclusion_proof(index, size, node_of(hashes))
    assert [each.hex() for each in proof] == list(path)
    assert is_included(hashes[index], index, size, proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        (1, 1, ()),
        (
            1,
            8,
            (
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ),
        ),
        (
            6,
            8,
            (
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ),
        ),
        (
            2,
            5,
            (
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ),
        ),
    ],
)
def test_the_consistency_proofs_of_the_reference_tree(old, new, path):
    """The proof is the published one, and it verifies against both published roots."""
    proof = consistency_proof(old, new, node_of([leaf_hash(each) for each in LEAVES]))
    assert [each.hex() for each in proof] == list(path)
    assert is_consistent(old, bytes.fromhex(ROOTS[old]), new, bytes.fromhex(ROOTS[new]), proof)


NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
NOTE_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_the_published_note_opens_with_the_published_key():
    """The example of the signed-note format is signed by its key, whose string is read and written the same."""
    key = Verifier.parse(NOTE_KEY)
    assert str(key) == NOTE_KEY
    assert opened(NOTE, [key]).startswith("If you think")


def test_the_published_note_with_one_letter_changed_does_not_open():
    """Another text under the same signature is nobody's."""
    with pytest.raises(BadNote, match="not over this text"):
        opened(NOTE.replace("answer", "Answer"), [Verifier.parse(NOTE_KEY)])


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(3, 1234067), "tile/3/x001/x234/067"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Tile(ENTRIES, 1000, 1), "tile/entries/x001/000.p/1"),
    ],
)
def test_paths_of_tiles(tile, path):
    """A tile's path is that of tlog-tiles, and leads back to the tile."""
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path", ["tile/00/000", "tile/64/000", "tile/0/1", "tile/0/x000/001", "tile/0/000.p/0", "tile/0/000.p/256", "x"]
)
def test_what_is_no_path_of_a_tile(path):
    """Another spelling of a path is no tile: one tile has one path."""
    with pytest.raises(NoTile):
        Tile.parse(path)


def test_the_tiles_of_a_tree_of_70000():
    """The published example: 273 full and one of 112; one full and one of 17; one of 1."""
    widths = {level: [t.width for t in tiles_of(70_000) if t.level == level] for level in (0, 1, 2)}
    assert widths == {0: [256] * 273 + [112], 1: [256, 17], 2: [1]}
    assert [tile.path for tile in tiles_of(256) if tile.level >= 0] == ["tile/0/000", "tile/1/000.p/1"]


def test_keys_are_sorted_by_their_utf16():
    """The published example of RFC 8785, section 3.2.3: the order is that of UTF-16, not of code points."""
    names = ["€", "\r", "\ufb33", "1", "\U0001f600", "\x80", "ö"]
    order = list(canonical.decode(canonical.encode(dict.fromkeys(names, 0))))
    assert order == ["\r", "1", "\x80", "ö", "€", "\U0001f600", "\ufb33"]


def test_texts_are_escaped_as_published():
    """The text of the example of RFC 8785, section 3.2.2, in its one spelling."""
    text = '€$\x0f\nA\'B"\\\\"/'
    assert canonical.encode({"s": text}).decode() == '{"s":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
