"""Hiding tokens: exact shares, never a special one, and only from the given generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.batch import Batch, offsets_of
from exapt.domains import DnaSpec, ProteinSpec
from exapt.domains.masking import choose
from exapt.domains.tokens import PLAIN, SPECIAL

PROTEIN = ProteinSpec(length=40).build()


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def packed(rows: list[list[int]]) -> Batch:
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    return Batch(torch.tensor([i for row in rows for i in row], dtype=torch.long), offsets_of(lengths))


rows = st.lists(st.lists(st.integers(0, 24), max_size=30), min_size=1, max_size=8)


@given(rows, st.floats(0.01, 1.0), st.integers(0, 2**31))
@settings(deadline=None)
def test_each_example_hides_its_exact_share(rows: list[list[int]], ratio: float, seed: int) -> None:
    batch = packed(rows)
    masked = PROTEIN.mask(batch, ratio, rng(seed))
    owners = batch.segments[masked.where].tolist()
    for i, row in enumerate(rows):
        allowed = sum(token >= PLAIN for token in row)
        expected = max(1, round(allowed * ratio)) if allowed else 0
        assert owners.count(i) == expected
    assert len(set(masked.where.tolist())) == len(masked.where), "no place is hidden twice"
    assert torch.equal(masked.where, masked.where.sort().values)
    assert torch.equal(masked.target, batch.inputs[masked.where])
    assert bool((masked.target >= PLAIN).all()), "special tokens are never hidden"
    untouched = torch.ones(len(batch.inputs), dtype=torch.bool)
    untouched[masked.where] = False
    assert torch.equal(masked.batch.inputs[untouched], batch.inputs[untouched])
    assert bool(((masked.batch.inputs[masked.where] >= PLAIN) | (masked.batch.inputs[masked.where] == 4)).all())
    assert torch.equal(masked.batch.offsets, batch.offsets)


def test_only_the_given_generator_is_drawn_from() -> None:
    batch = packed([[5, 6, 7, 8, 9, 10]] * 20)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second, other = (PROTEIN.mask(batch, 0.3, rng(s)) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.where, second.where)
    assert torch.equal(first.batch.inputs, second.batch.inputs)
    assert not torch.equal(first.where, other.where)


def test_every_place_is_equally_likely() -> None:
    counts = np.zeros(7)
    for seed in range(40):
        where = choose(torch.ones(700, dtype=torch.bool), torch.arange(101) * 7, 0.3, rng(seed))
        counts += np.bincount(where.numpy() % 7, minlength=7)
    expected = counts.sum() / 7
    assert counts.sum() == 40 * 100 * 2
    assert (counts - expected).__pow__(2).sum() / expected < 22.5, "chi-square with 6 degrees, p = 0.001"


def test_places_of_one_example_are_drawn_together() -> None:
    """Two hidden of four: all six pairs come up equally often."""
    where = choose(torch.ones(24_000, dtype=torch.bool), torch.arange(6001) * 4, 0.5, rng(1))
    pairs = (where.reshape(-1, 2) % 4).numpy()
    counts = np.bincount(pairs[:, 0] * 4 + pairs[:, 1], minlength=16)
    seen = counts[counts > 0]
    assert len(seen) == 6
    assert ((seen - 1000) ** 2).sum() / 1000 < 20.5, "chi-square with 5 degrees, p = 0.001"


def test_eighty_ten_ten() -> None:
    batch = packed([[9] * 20_000])
    masked = PROTEIN.mask(batch, 1.0, rng())
    seen = masked.batch.inputs
    share = [(seen == SPECIAL["mask"]).float().mean(), (seen == 9).float().mean()]
    assert share[0] == pytest.approx(0.8, abs=0.01)
    assert share[1] == pytest.approx(0.1 + 0.1 / 20, abs=0.01)
    random = seen[(seen != SPECIAL["mask"]) & (seen != 9)]
    assert set(random.tolist()) == set(range(5, 25)) - {9}


def test_the_ends_and_unknown_letters_are_safe() -> None:
    dataset = PROTEIN.read(_arrays(["MXKV", "X"]))
    batch = PROTEIN.collate(list(dataset))
    masked = PROTEIN.mask(batch, 1.0, rng())
    assert masked.where.tolist() == [1, 3, 4]
    empty = PROTEIN.mask(PROTEIN.collate([dataset[1]]), 0.3, rng())
    assert len(empty.where) == len(empty.target) == 0


def test_dna_too() -> None:
    domain = DnaSpec(tokens="kmer", k=3).build()
    batch = domain.collate(list(domain.read(_arrays(["ACGTACGTACGTA" * 5]))))
    masked = domain.mask(batch, 0.15, rng())
    assert len(masked.where) == round(0.15 * len(batch.inputs))
    assert int(masked.batch.inputs.max()) < domain.inputs.vocabulary


def _arrays(texts: list[str]):
    from exapt.domains import from_arrays

    return from_arrays(texts)
