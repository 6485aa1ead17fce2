"""Named changes: what they draw, what they leave alone, and which fields have them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from exapt.batch import Batch
from exapt.domains import DnaSpec, ImageSpec, ProteinSpec, TextSpec, from_arrays
from exapt.domains.base import Domain
from exapt.domains.views import Transformation

RNG = np.random.default_rng(0)
COLOURED = RNG.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
SEQUENCES = ["".join(RNG.choice(list("ACGT"), n)) for n in RNG.integers(20, 40, 30)]
FIELDS = [
    (ImageSpec(), COLOURED),
    (ImageSpec(), COLOURED[..., 0]),
    (DnaSpec(), SEQUENCES),
    (DnaSpec(tokens="bpe", vocabulary=16), SEQUENCES),
    (ProteinSpec(), SEQUENCES),
    (TextSpec(tokens="characters"), SEQUENCES),
]


def prepared(field: tuple) -> tuple[Domain, Batch]:
    spec, values = field
    domain = spec.build(from_arrays(values))
    return domain, domain.collate(list(domain.read(from_arrays(values))))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def named(domain: Domain, name: str) -> Transformation:
    return next(change for change in domain.transformations() if change.name == name)


@pytest.mark.parametrize("field", FIELDS, ids=["colour", "grey", "dna", "dna-bpe", "protein", "text"])
def test_every_change_keeps_shapes_and_follows_its_seed(field: tuple) -> None:
    domain, batch = prepared(field)
    assert domain.transformations()
    for change in domain.transformations():
        assert all(low < high for low, high in pairwise(change.strengths)), change.name
        for strength in change.strengths:
            one, again = (change.change(batch, strength, rng()) for _ in range(2))
            assert torch.equal(one.batch.inputs, again.batch.inputs), change.name
            assert one.batch.inputs.shape == batch.inputs.shape
            assert one.parameters is None or (one.parameters.shape[0], one.parameters.ndim) == (len(batch), 2)
        assert not torch.equal(one.batch.inputs, batch.inputs), change.name
        if change.measure:
            assert change.measure(batch).shape[0] == len(batch)
        if domain.inputs.kind == "tokens":
            special = batch.inputs < 5
            assert torch.equal(one.batch.inputs[special], batch.inputs[special]), change.name


def test_fields_have_their_own_changes() -> None:
    names = [[change.name for change in prepared(field)[0].transformations()] for field in FIELDS]
    assert {"hue", "colour"} <= set(names[0]) and not {"hue", "colour"} & set(names[1])
    assert "reverse complement" in names[2] and "reverse complement" not in names[3]
    assert names[4] == names[5] == ["token dropout", "order"]


def test_a_strength_of_nothing_changes_nothing() -> None:
    domain, batch = prepared(FIELDS[0])
    for change in domain.transformations():
        torch.testing.assert_close(change.change(batch, 0.0, rng()).batch.inputs, batch.inputs, atol=1e-4, rtol=1e-4)


def test_a_turned_hue_keeps_brightness_and_moves_colour() -> None:
    domain, batch = prepared(FIELDS[0])
    assert hasattr(domain, "mean") and hasattr(domain, "spread")
    mean, spread = (torch.tensor(part).float()[:, None, None] for part in (domain.mean, domain.spread))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    hue = named(domain, "hue")
    found = hue.change(batch, 180.0, rng())
    before, after = (b.inputs * spread + mean for b in (batch, found.batch))
    torch.testing.assert_close((before * weights).sum(1), (after * weights).sum(1), atol=0.05, rtol=1e-3)
    assert float((before - after).abs().mean()) > 10
    assert found.parameters is not None and found.parameters.shape[1] == 2


def test_gains_are_what_was_drawn() -> None:
    domain, batch = prepared(FIELDS[0])
    light = named(domain, "brightness")
    found = light.change(batch, 0.5, rng())
    assert light.measure and found.parameters is not None
    torch.testing.assert_close(light.measure(found.batch), light.measure(batch) * (1 + found.parameters))


def test_moves_by_known_amounts() -> None:
    from exapt.domains.warping import moved

    pictures = torch.arange(32.0).reshape(2, 1, 4, 4)
    quarter = moved(pictures, torch.tensor([[[0.0, -1, 0], [1, 0, 0]]] * 2))
    torch.testing.assert_close(quarter, torch.rot90(pictures, -1, (2, 3)).flip((2, 3)), atol=1e-4, rtol=1e-4)
    along = moved(pictures, torch.tensor([[[1.0, 0, 0.5], [0, 1, 0]]] * 2))  # half of 4 pixels over 2 units
    torch.testing.assert_close(along[..., :3], pictures[..., 1:], atol=1e-4, rtol=1e-4)


def test_a_flip_is_all_or_nothing() -> None:
    domain, batch = prepared(FIELDS[1])
    found = named(domain, "flip").change(batch, 0.5, rng())
    assert found.parameters is not None
    for i, turned in enumerate(found.parameters[:, 0].bool().tolist()):
        assert torch.equal(found.batch.inputs[i], batch.inputs[i].flip(2) if turned else batch.inputs[i])
    assert 0.2 < float(found.parameters.mean()) < 0.8


def test_the_other_strand_twice_is_the_first() -> None:
    domain, batch = prepared(FIELDS[2])
    change = named(domain, "reverse complement")
    other = change.change(batch, 1.0, rng()).batch
    assert torch.equal(change.change(other, 1.0, rng()).batch.inputs, batch.inputs)
    assert other.inputs[: batch.lengths[0]].tolist() == (13 - batch.inputs[: batch.lengths[0]]).flip(0).tolist()


def test_order_is_shuffled_within_runs_only() -> None:
    domain, batch = prepared(FIELDS[4])
    found = named(domain, "order").change(batch, 8.0, rng()).batch
    for start, stop in pairwise(batch.offsets.tolist()):
        a, b = batch.inputs[start:stop], found.inputs[start:stop]
        assert a.sort().values.tolist() == b.sort().values.tolist()
        for at in range(0, stop - start, 8):
            assert a[at : at + 8].sort().values.tolist() == b[at : at + 8].sort().values.tolist()


def test_dropout_hides_its_share() -> None:
    domain, batch = prepared(FIELDS[5])
    found = named(domain, "token dropout").change(batch, 0.3, rng()).batch
    plain = batch.inputs >= 5
    assert float((found.inputs[plain] == 4).float().mean()) == pytest.approx(0.3, abs=0.06)
