"""Proteins kin to a test one are found and left out of a corpus; strangers stay."""

from __future__ import annotations

import numpy as np

from exapt.audits.overlap.fields import Settings, compare
from exapt.domains import ProteinSpec, from_arrays
from exapt.domains.homologues import kin
from exapt.domains.tokens import PLAIN

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def planted(identity: float, count: int = 20, length: int = 150, seed: int = 0):
    """(tests, corpus of a mutant of each and as many strangers), as data sets of one domain."""
    rng = np.random.default_rng(seed)
    tests = LETTERS[rng.integers(20, size=(count, length))]
    mutants = np.where(rng.random(tests.shape) < identity, tests, LETTERS[rng.integers(20, size=tests.shape)])
    strangers = LETTERS[rng.integers(20, size=tests.shape)]
    domain = ProteinSpec(length=512, homologues="leave-out").build()
    corpus = ["".join(row) for row in (*mutants, *strangers)]
    return domain, domain.read(from_arrays(["".join(row) for row in tests])), domain.read(from_arrays(corpus))


def test_kin_of_70_percent_identity_is_found_and_strangers_are_not() -> None:
    _, tests, corpus = planted(0.7)
    found = kin(corpus, tests, PLAIN)
    assert found[:20].all() and not found[20:].any()


def test_a_shift_along_the_chain_does_not_hide_kin() -> None:
    domain, tests, _ = planted(1.0, count=1)
    moved = domain.read(from_arrays(["W" * 33 + domain.decode(tests.store[0])[20:]]))
    assert kin(moved, tests, PLAIN).all()


def test_low_complexity_and_unknown_residues_make_no_kin() -> None:
    domain = ProteinSpec(length=512).build()
    both = domain.read(from_arrays(["A" * 60 + "AC" * 30, "X" * 80, "MK"]))
    assert not kin(both, both, PLAIN).any()


def test_the_corpus_is_clean_afterwards() -> None:
    """The audit finds copies of nine tenths identity in the corpus, and none in what is left."""
    domain, tests, corpus = planted(0.9)
    left = domain.without(corpus, tests)
    assert compare(domain, corpus, tests, Settings(near=None)).overlapping(0.1).any()
    assert len(left) == 20 and not (compare(domain, left, tests, Settings(near=None)).longest > 0).any()


def test_homologues_are_kept_unless_asked() -> None:
    _, tests, corpus = planted(0.9)
    plain = ProteinSpec(length=512).build()
    assert plain.without(corpus, tests) is corpus
    assert plain.digest() == ProteinSpec(length=512, homologues="leave-out").build().digest()
