"""Pooling 'bins' keeps where things are: the means of 16 equal runs, end to end."""

import pytest
import torch

from exapt.batch import BINS, Features, offsets_of
from exapt.tasks.heads import HeadSpec


def naive(row: torch.Tensor) -> torch.Tensor:
    """One example (n, D): element i belongs to run ⌊16 i / n⌋; a run without elements is zero."""
    out = torch.zeros(BINS, row.shape[1])
    for place in range(BINS):
        members = [row[i] for i in range(len(row)) if i * BINS // len(row) == place]
        if members:
            out[place] = torch.stack(members).mean(0)
    return out.flatten()


@pytest.mark.parametrize("lengths", [[16], [81, 3, 40], [1, 0, 17], [0]])
def test_bins_equal_the_naive_means(lengths):
    elements = torch.randn(sum(lengths), 5, generator=torch.Generator().manual_seed(0))
    pooled = Features(elements, offsets_of(torch.tensor(lengths))).pooled("bins")
    rows = elements.split(lengths)
    expected = torch.stack([naive(row) if len(row) else torch.zeros(BINS * 5) for row in rows])
    torch.testing.assert_close(pooled, expected)


def test_bins_tell_places_apart_that_the_mean_does_not():
    early, late = torch.zeros(32, 1), torch.zeros(32, 1)
    early[3], late[28] = 1.0, 1.0
    features = Features(torch.cat([early, late]), offsets_of(torch.tensor([32, 32])))
    assert torch.equal(features.pooled("mean")[0], features.pooled("mean")[1])
    assert not torch.equal(features.pooled("bins")[0], features.pooled("bins")[1])


def test_a_head_over_bins_has_the_width_for_them():
    features = Features(torch.randn(20, 4), offsets_of(torch.tensor([12, 8])))
    head = HeadSpec(pooling="bins").build(4, 3, per_element=False, seed=0)
    assert head(features).shape == (2, 3) and head.out.in_features == 4 * BINS
