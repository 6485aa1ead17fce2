"""Common runs against a search that tries everything."""

import numpy as np
import pytest

from exapt.audits.overlap import grams as grams_file
from exapt.audits.overlap import overlap_sequences
from exapt.audits.overlap.blocks import sequence_block, sequence_blocks
from exapt.audits.overlap.fields import other_strand
from exapt.audits.overlap.grams import GramIndex, gram_hashes
from exapt.audits.overlap.search import Examples, Search


def naive(corpus, example, n):
    """(covered, longest) by comparing every run of n with every other."""
    covered, longest = np.zeros(len(example), bool), 0
    for row in corpus:
        for i in range(len(example)):
            for j in range(len(row)):
                k = 0
                while i + k < len(example) and j + k < len(row) and example[i + k] == row[j + k]:
                    k += 1
                if k >= n:
                    covered[i : i + k] = True
                    longest = max(longest, k)
    return covered.sum(), longest


def draws(seed, examples=8, records=12, letters=3, most=40):
    rng = np.random.default_rng(seed)
    return (
        [rng.integers(0, letters, rng.integers(0, most)) for _ in range(records)],
        [rng.integers(0, letters, rng.integers(1, most)) for _ in range(examples)],
    )


@pytest.mark.parametrize("n", [*range(1, 18), 24, 31])
def test_gram_hashes_equal_a_plain_polynomial(n):
    units = np.random.default_rng(n).integers(0, 2**63, 50).astype(np.uint64)
    plain = [
        sum(int(u) * pow(grams_file.MULTIPLIER, n - 1 - j, 1 << 64) for j, u in enumerate(units[i : i + n])) % 2**64
        for i in range(50 - n + 1)
    ]
    assert gram_hashes(units, n).tolist() == plain
    assert len(gram_hashes(units[: n - 1], n)) == 0


@pytest.mark.parametrize("seed", range(6))
def test_runs_are_those_of_a_search_that_tries_everything(seed):
    corpus, examples = draws(seed)
    found = overlap_sequences(corpus, examples, n=4, boilerplate=1.0)
    for i, example in enumerate(examples):
        if len(example) >= 4:
            assert (found.covered[i], found.longest[i]) == naive(corpus, example, 4)
        if found.longest[i] >= 4:
            place, at, length = found.place[i], found.at[i], found.longest[i]
            assert (corpus[found.record[i]][place : place + length] == example[at : at + length]).all()


@pytest.mark.parametrize("size", [1, 5, 64])
def test_cuts_of_a_long_corpus_lose_nothing(size):
    corpus, examples = draws(3, most=60)
    whole = overlap_sequences(corpus, examples, n=4)
    search = Search(Examples(sequence_block(examples), 1), 4, "token", repr)
    cut = search.over(sequence_blocks(corpus, keep=61, size=size))
    for name in ("covered", "longest", "undecidable"):
        assert (getattr(cut, name) == getattr(whole, name)).all(), name
    assert cut.facts["records"] == len(corpus)
    for i, example in enumerate(examples):
        if cut.longest[i] >= 4:
            row, place, at, length = corpus[cut.record[i]], cut.place[i], cut.at[i], cut.longest[i]
            assert (row[place : place + length] == example[at : at + length]).all()


def test_no_hit_is_false_even_where_every_hash_is_the_same(monkeypatch):
    corpus, examples = draws(1, examples=4, records=5)
    monkeypatch.setattr(grams_file, "gram_hashes", lambda units, n: np.zeros(max(0, len(units) - n + 1), np.uint64))
    monkeypatch.setattr(grams_file, "FEW", 1000)
    found = overlap_sequences(corpus, examples, n=4, boilerplate=1.0)
    for i, example in enumerate(examples):
        if len(example) >= 4:
            assert (found.covered[i], found.longest[i]) == naive(corpus, example, 4)


def test_portions_of_many_hits_find_the_same(monkeypatch):
    corpus, examples = draws(2)
    whole = overlap_sequences(corpus, examples, n=3)
    monkeypatch.setattr(grams_file, "PAIRS", 3)
    parts = overlap_sequences(corpus, examples, n=3)
    assert (parts.longest == whole.longest).all() and (parts.covered == whole.covered).all()


def test_the_other_strand_is_found_and_said():
    rng = np.random.default_rng(0)
    genome = rng.integers(0, 4, 3000)
    examples = [genome[100:181], other_strand(genome[500:581]), rng.integers(0, 4, 81)]
    found = overlap_sequences([genome], examples, n=24, other_strand=other_strand, unknown=4)
    assert found.longest.tolist() == [81, 81, 0]
    assert found.reverse.tolist() == [False, True, False]
    assert found.place.tolist() == [100, 500, -1]
    half = np.concatenate([other_strand(genome[500:540]), rng.integers(0, 4, 41)])
    one = overlap_sequences([genome], [half], n=24, other_strand=other_strand)
    assert (one.at[0], one.reverse[0]) == (0, True) and one.covered[0] == one.longest[0] >= 40


def test_unknown_units_match_nothing():
    row = np.array([4] * 40)
    found = overlap_sequences([row], [row], n=8, unknown=4)
    assert found.covered[0] == 40 and found.record[0] == 0, "nothing to find but the whole record, which is equal"
    mixed = np.concatenate([np.arange(8) % 4, [4], np.arange(8) % 4])
    assert overlap_sequences([mixed], [mixed], n=9, unknown=4).undecidable.tolist() == [False]
    assert overlap_sequences([np.append(mixed, 1)], [mixed], n=9, unknown=4).undecidable.tolist() == [True]


def test_boilerplate_is_masked_and_leaves_the_length():
    rng = np.random.default_rng(0)
    phrase = np.arange(1000, 1010)
    examples = [np.concatenate([phrase, rng.integers(0, 900, 20)]) for _ in range(50)]
    found = overlap_sequences([phrase], examples, n=8)
    assert found.facts["boilerplate"] == 3 and not found.longest.any()
    assert set(found.length.tolist()) == {27}, "units in a masked run alone are not counted"
    every = overlap_sequences([phrase], examples, n=8, boilerplate=1.0)
    assert set(every.longest.tolist()) == {10}
    few = overlap_sequences([phrase], examples[:5], n=8)
    assert set(few.longest.tolist()) == {10}, "five copies are no boilerplate"


def test_short_examples_overlap_only_with_a_record_that_equals_them():
    corpus = [np.arange(20), np.array([5, 6, 7])]
    found = overlap_sequences(corpus, [np.array([5, 6, 7]), np.array([5, 6]), np.array([], int)], n=8)
    assert found.score.tolist() == [1.0, 0.0, 0.0]
    assert found.undecidable.tolist() == [False, True, True]
    assert found.record.tolist() == [1, -1, -1]


def test_an_empty_corpus_overlaps_nothing():
    assert overlap_sequences([], [np.arange(20)]).score.tolist() == [0.0]


def test_pairs_are_the_worst_first_with_the_run_marked():
    corpus = [np.arange(100), np.arange(200, 230)]
    found = overlap_sequences(corpus, [np.arange(205, 240), np.arange(50, 80)], n=8)
    pairs = found.pairs()
    assert [(p.example, p.record, p.how) for p in pairs] == [(1, 0, "run"), (0, 1, "run")]
    assert pairs[1].text.startswith("⟦205 206") and pairs[1].text.endswith("229⟧ 230 231 232 233 234 235")
    assert pairs[1].found.startswith("200 201 202 203 204 ⟦205 206") and pairs[1].found.endswith("229⟧")
    assert pairs[1].score == pytest.approx(25 / 35)


def test_the_index_counts_different_examples():
    block = sequence_block([np.arange(10), np.arange(10), np.tile(np.arange(3), 5)])
    index = GramIndex(block, 3, np.repeat([0, 1, 2], [10, 10, 15]))
    assert index.masked == 0 and len(index.keys) == 8 + 2
