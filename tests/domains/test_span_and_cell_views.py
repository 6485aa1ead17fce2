"""Views of sequences and rows: contiguous spans, exact shares, ends kept, other strands, only the given generator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.batch import Batch
from exapt.domains import DnaSpec, ProteinSpec, TableSpec, from_arrays
from exapt.domains.spans import SpanViews
from exapt.domains.tokens import PLAIN, SPECIAL, TokenDomain
from exapt.errors import InputError

MASK = SPECIAL["mask"]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def proteins(lengths: list[int], **views: float) -> tuple[TokenDomain, Batch]:
    """Residues count up within each example, so that a span can be told from any other choice."""
    domain = ProteinSpec(length=64, views=SpanViews(**views)).build()
    texts = ["".join("ACDEFGHIKLMNPQRSTVWY"[i % 20] for i in range(n)) for n in lengths]
    data = domain.read(from_arrays(texts))
    return domain, domain.collate([data[i] for i in range(len(lengths))])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.05, 1.0), st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_a_view_is_a_span_between_its_ends(lengths: list[int], shortest: float, seed: int) -> None:
    domain, batch = proteins(lengths, shortest=shortest, hidden=0.0)
    for view in domain.views(batch, rng(seed), 3):
        assert len(view) == len(batch)
        for i, n in enumerate(lengths):
            start, stop = view.offsets[i : i + 2].tolist()
            ids = view.inputs[start:stop].tolist()
            assert (ids[0], ids[-1]) == (SPECIAL["start"], SPECIAL["end"])
            span = np.array(ids[1:-1]) - PLAIN
            assert max(1, int(np.ceil(shortest * n))) <= len(span) <= n
            assert ((np.diff(span) % 20) == 1).all(), "a span has no holes"


def test_lengths_and_places_of_spans_are_uniform() -> None:
    domain, batch = proteins([8] * 4000, shortest=0.5, hidden=0.0)
    view = domain.views(batch, rng(), 1)[0]
    sizes = np.bincount((view.lengths - 2).numpy(), minlength=9)[4:]
    assert np.allclose(sizes / 4000, 1 / 5, atol=0.03)
    firsts = view.inputs[view.offsets[:-1] + 1].numpy() - PLAIN
    shortest = (view.lengths - 2).numpy() == 4
    assert np.allclose(np.bincount(firsts[shortest], minlength=5) / shortest.sum(), 1 / 5, atol=0.06)


def test_an_exact_share_of_each_span_is_hidden() -> None:
    domain, batch = proteins([10, 40, 5], shortest=1.0, hidden=0.2)
    view = domain.views(batch, rng())[1]
    hidden = [int((view.inputs[a:b] == MASK).sum()) for a, b in zip(view.offsets[:-1], view.offsets[1:], strict=True)]
    assert hidden == [2, 8, 1]
    seen = view.inputs != MASK
    assert torch.equal(view.inputs[seen], batch.inputs[seen])


def test_views_follow_the_generator_alone_and_differ_from_each_other() -> None:
    domain, batch = proteins([30, 12])
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, same = domain.views(batch, rng(3), 2), domain.views(batch, rng(3), 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(one, same, strict=True))
    assert one[0].inputs.tolist() != one[1].inputs.tolist()


def test_labels_of_elements_follow_their_elements() -> None:
    domain, batch = proteins([30, 12], hidden=0.0)
    labelled = replace(batch, element_targets={"site": batch.inputs.clone()}, targets={"label": torch.arange(2)})
    view = domain.views(labelled, rng())[0]
    assert torch.equal(view.element_targets["site"], view.inputs)
    assert torch.equal(view.targets["label"], labelled.targets["label"])


def test_dna_is_seen_from_both_strands_unless_one_is_asked_for() -> None:
    whole = SpanViews(shortest=1.0, hidden=0.0)
    for both in (None, False):
        domain = DnaSpec(length=16, views=whole, reverse_complement=both).build()
        data = domain.read(from_arrays(["AAACCC"] * 40))
        view = domain.views(domain.collate([data[i] for i in range(40)]), rng())[0]
        texts = {domain.decode(view.inputs[6 * i : 6 * i + 6]) for i in range(40)}
        assert texts == ({"AAACCC", "GGGTTT"} if both is None else {"AAACCC"})


def table(share: float, rows: int = 50) -> tuple[TokenDomain, Batch]:
    values = [{name: i * (k + 1) % rows for k, name in enumerate("abcdefghij")} for i in range(rows)]
    source = from_arrays(values)
    domain = TableSpec.parse({"bins": rows, "views": {"corrupted": share}}).build(source)
    data = domain.read(source)
    return domain, domain.collate([data[i] for i in range(rows)])


def test_a_share_of_cells_is_drawn_from_their_own_column() -> None:
    domain, batch = table(0.3)
    view = domain.views(batch, rng())[0]
    before, after = batch.inputs.reshape(50, -1), view.inputs.reshape(50, -1)
    changed = before != after
    assert int(changed.sum(1).max()) <= 3 and float(changed.sum(1).float().mean()) > 2.7
    assert not changed[:, [0, -1]].any(), "ends stay"
    for column in range(1, after.shape[1] - 1):
        assert set(after[:, column].tolist()) <= set(before[:, column].tolist())
    other = domain.views(batch, rng())[1]
    assert not torch.equal(other.inputs, view.inputs)


def test_shares_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"views\.corrupted"):
        TableSpec.parse({"views": {"corrupted": 1.5}})
    with pytest.raises(InputError, match=r"views\.shortest"):
        ProteinSpec.parse({"views": {"shortest": 0}})


def test_a_vocabulary_does_not_hang_on_how_views_are_made() -> None:
    one, other = (ProteinSpec(views=SpanViews(hidden=share)).build() for share in (0.1, 0.4))
    assert one.digest() == other.digest()
