"""What test examples share with a corpus of DNA is cut out of it, on both strands and whatever the tokens are."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.domains import DnaSpec, from_arrays
from exapt.domains.dna import DnaDomain
from exapt.domains.kmers import strand_words
from exapt.domains.shared_bases import RUN, covered, words_of

RNG = np.random.default_rng(0)
GENOME = "".join(RNG.choice(list("ACGT"), 3000))
SHORT = "".join(RNG.choice(list("ACGT"), 200))
BASE = DnaSpec(length=64).build()
KMER = DnaSpec(tokens="kmer", k=3, length=64).build()
BPE = DnaSpec(tokens="bpe", vocabulary=40, length=64).build(from_arrays([GENOME]))


def other_strand(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


TESTS = [GENOME[500:581], other_strand(GENOME[1000:1081]), "T" + GENOME[1500:1530] + "G", GENOME[2000:2023], SHORT]


def left(domain: DnaDomain, corpus: list[str], tests: list[str]) -> list[str]:
    found = domain.without(domain.read(from_arrays(corpus)), domain.read(from_arrays(tests)))
    return [domain.decode(example.inputs) for example in found]


def test_pieces_between_what_is_shared() -> None:
    """A run of 23 bases stays, one of 24 or more goes, also on the other strand."""
    found = left(BASE, [GENOME, SHORT, GENOME[:50]], TESTS)
    assert found == [GENOME[:500], GENOME[581:1000], GENOME[1081:1500], GENOME[1530:], GENOME[:50]]


@pytest.mark.parametrize("domain", [KMER, BPE])
def test_tokens_that_hold_a_shared_base_go(domain: DnaDomain) -> None:
    found = left(domain, [GENOME, SHORT], TESTS)
    shared = {t[i : i + RUN] for s in TESTS for t in (s, other_strand(s)) for i in range(len(t) - RUN + 1)}
    for piece in found:
        assert not shared & {piece[i : i + RUN] for i in range(len(piece) - RUN + 1)}
    assert sum(map(len, found)) > 3000 - 81 - 81 - 30 - 6 * 12
    assert all(piece in GENOME for piece in found)


def test_what_shares_nothing_stays_as_it_is() -> None:
    corpus = BASE.read(from_arrays([GENOME[:400], GENOME[600:900]]))
    assert BASE.without(corpus, BASE.read(from_arrays([SHORT, "ACGT"]))) is corpus


def test_a_repeat_goes_everywhere() -> None:
    found = left(BASE, [GENOME[:100] + SHORT + GENOME[100:200] + other_strand(SHORT) + GENOME[200:300]], [SHORT[50:]])
    assert "".join(found) == GENOME[:100] + SHORT[:50] + GENOME[100:200] + other_strand(SHORT)[150:] + GENOME[200:300]


def test_columns_go_along() -> None:
    corpus = BASE.read(from_arrays([SHORT, GENOME[400:700]], label=["a", "b"]))
    found = BASE.without(corpus, BASE.read(from_arrays([GENOME[500:600]])))
    assert found.columns["label"].tolist() == ["a", "b", "b"]
    assert found.fingerprint() != corpus.fingerprint()


def test_covered_across_blocks_equals_looking_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exapt.domains.shared_bases.BLOCK", 100)
    codes = BASE.codes(BASE.encode(GENOME + "N" + GENOME[:30]))
    wanted = words_of(BASE.read(from_arrays(TESTS)), BASE.spell)
    text = GENOME + "N" + GENOME[:30]
    naive = np.zeros(len(text), dtype=bool)
    shared = {t[i : i + RUN] for s in TESTS for t in (s, other_strand(s)) for i in range(len(t) - RUN + 1)}
    for i in range(len(text) - RUN + 1):
        if text[i : i + RUN] in shared:
            naive[i : i + RUN] = True
    np.testing.assert_array_equal(covered(codes, wanted), naive)
    found = left(BASE, [GENOME, GENOME[:300], SHORT], TESTS)
    assert found[:2] == [GENOME[:500], GENOME[581:1000]]


def test_words_are_the_lesser_of_both_strands() -> None:
    codes = np.array([0, 1, 3, 4, 2, 2, 1])
    words, clean = strand_words(codes, 2)
    assert clean.tolist() == [True, True, False, False, True, True]
    pairs = ["AC", "CT", "GG", "GC"]
    wanted = [min(int("".join(str("ACGT".index(c)) for c in p), 4) for p in (w, other_strand(w))) for w in pairs]
    assert words[clean].tolist() == wanted
    assert len(strand_words(codes, 9)[0]) == len(strand_words(codes[:0], 0)[0]) == 0
