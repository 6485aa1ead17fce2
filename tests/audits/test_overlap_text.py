"""Text: the byte path against plain Python, scripts without spaces, streams, and near-duplicates."""

import re
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.audits.overlap import overlap, overlap_texts
from exapt.audits.overlap import words as words_file
from exapt.audits.overlap.near import BANDS, ROWS, MinHash, jaccard
from exapt.audits.overlap.words import text_block, text_blocks, word_edges, word_hashes, words
from exapt.errors import InputError


def plain(text):
    """The same words, one character at a time."""
    text = unicodedata.normalize("NFKC", re.sub(r"</?[A-Za-z!][^<>]{0,200}>", " ", text)).lower()
    kept = []
    for char in text:
        if char in words_file.APOSTROPHES:
            continue
        if unicodedata.category(char)[0] not in "LMN":
            kept.append(" ")
        else:
            kept.append(f" {char} " if words_file.UNSPACED.match(char) else char)
    return "".join(kept).split(" ")


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=80) | st.text(alphabet=st.characters(max_codepoint=127), max_size=80))
def test_words_are_those_of_a_loop_over_characters(text):
    assert words(text) == [w for w in plain(text) if w]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=300), min_size=1, max_size=20))
def test_a_word_has_one_hash_wherever_it_stands(row):
    data = " ".join(row).encode()
    hashes = word_hashes(data, *word_edges(data))
    alone = [int(word_hashes(w.encode(), *word_edges(w.encode()))[0]) for w in row]
    assert hashes.tolist() == alone
    assert len(set(alone)) == len(set(row))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "It’s a CAFÉ, really — the very best one in town today!",
            "its a cafe\u0301 really the very best one in town today",
        ),
        (
            "Don't stop<br /><br />me now I am having such a good time",
            "dont stop me now; I am having such a good time...",
        ),
        (
            "ＦＵＬＬ width １２３ letters are the same as any other ones",
            "full width 123 letters are the same as any other ones",
        ),
    ],
)
def test_spellings_that_mean_the_same_overlap_whole(one, other):
    assert overlap_texts([one], [other]).score.tolist() == [1.0]


def test_scripts_without_spaces_are_compared_character_by_character():
    text = "我们在这里测试没有空格的文字是否能够被正确地找到"
    found = overlap_texts(["前面的话" + text[:15] + "别的内容在后面跟着"], [text])
    assert found.n == 13 and found.longest[0] == 15 and found.length[0] == len(text)


def test_a_text_in_pieces_is_the_text():
    rng = np.random.default_rng(0)
    vocabulary = [f"w{i}" for i in range(50)] + ["é", "don't"]
    long = [vocabulary[i] for i in rng.integers(0, len(vocabulary), 3000)]
    examples = [" ".join(long[a : a + 30]) for a in range(0, 2970, 37)]
    pieces = [(" ".join(long[a : a + 11]) + " ", a > 0) for a in range(0, 3000, 11)]
    whole = overlap_texts(["first text", " ".join(long), "last"], examples)
    cut = overlap_texts([("first text", False), *pieces, ("last", False)], examples)
    assert (whole.score == 1).all() and (whole.record == 1).all()
    for name in ("longest", "record", "place", "covered"):
        assert (getattr(cut, name) == getattr(whole, name)).all(), name


@pytest.mark.parametrize("size", [50, 400])
def test_blocks_cut_long_texts_between_words_and_keep_places(size):
    rng = np.random.default_rng(1)
    texts = [" ".join(f"w{i}" for i in rng.integers(0, 500, k)) for k in (3, 300, 0, 1, 700, 40)]
    rows = [text.split() for text in texts]
    seen = [set() for _ in texts]
    for block in text_blocks(((t, False) for t in texts), keep=5, size=size):
        for r in range(len(block.offsets) - 1):
            for at in range(int(block.offsets[r]), int(block.offsets[r + 1])):
                record, place = block.place_of(at)
                assert block.spell(at, at + 1).decode() == rows[record][place]
                seen[record].add(place)
    assert [len(s) for s in seen] == [len(row) for row in rows]


def test_records_of_a_block_are_the_documents():
    block = text_block([b"a b c", b"", b" d  e ", b"f"])
    assert block.offsets.tolist() == [0, 3, 3, 5, 6]
    assert block.spell(3, 5) == b"d e"


def near_texts(seed=0, changed=25, count=40, length=200):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 3000, (count, length))
    edited = rows.copy()
    edited[:, ::changed] = rng.integers(3000, 6000, edited[:, ::changed].shape)
    spell = [[" ".join(f"w{i}" for i in row) for row in part] for part in (rows, edited)]
    return spell[0], spell[1]


def test_near_duplicates_are_found_and_verified_exactly():
    examples, edited = near_texts(changed=40)
    others, _ = near_texts(seed=1)
    found = overlap_texts([*others, *edited], examples, near=0.7)
    sets = [[{tuple(t.split()[i : i + 5]) for i in range(196)} for t in part] for part in (examples, edited)]
    exact = [len(a & b) / len(a | b) for a, b in zip(*sets, strict=True)]
    assert min(exact) > 0.7
    hit = found.twin >= 0
    assert hit.mean() >= 0.85, "1 − (1 − 0.77⁷)¹⁶ = 0.94 is expected"
    assert found.similarity[hit] == pytest.approx(np.array(exact)[hit])
    assert (found.twin[hit] == np.flatnonzero(hit) + 40).all()
    assert not (overlap_texts(others, examples, near=0.7).twin >= 0).any()


def test_bands_find_as_often_as_they_should():
    examples, edited = near_texts(seed=2, changed=40, count=150)
    matcher = MinHash()
    blocks = [text_block([t.encode() for t in part]) for part in (examples, edited)]
    hit = (matcher.keys(blocks[0]) == matcher.keys(blocks[1])).any(axis=1)
    exact = [jaccard(*(matcher.parts(b, i) for b in blocks)) for i in range(150)]
    expected = np.mean([1 - (1 - s**ROWS) ** BANDS for s in exact])
    assert abs(hit.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 150) + 0.02


def test_jaccard_is_that_of_sets():
    assert jaccard(np.array([1, 2, 3]), np.array([2, 3, 4])) == 0.5
    assert jaccard(np.array([]), np.array([])) == 0.0


def test_near_duplicates_without_rensa_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(InputError, match=r"pip install 'exapt\[audit\]'.*near=false"):
        overlap_texts(["a"], ["b"], near=0.7)


def test_overlap_knows_fields_by_their_examples():
    text = "one two three four five six seven eight nine"
    assert overlap([text], [text]).score.tolist() == [1.0]
    assert overlap([np.arange(30)], [np.arange(10)]).score.tolist() == [1.0]
    picture = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    assert overlap([picture], [picture]).score == pytest.approx([1.0])
    with pytest.raises(InputError, match="float of shape"):
        overlap([1.5], [2.5])
    with pytest.raises(InputError, match="no evaluation examples"):
        overlap(["a"], [])
