"""Objectives on real domains and the real transformer: what can be learnt is learnt, from both sides or the left."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from exapt.backbones import TransformerSpec
from exapt.batch import Batch
from exapt.domains import DnaSpec, from_arrays
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.objectives.autoregressive import Autoregressive
from exapt.objectives.base import Objective
from exapt.objectives.generate import generate_many


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def echoes(count: int, half: int = 12) -> list[str]:
    """Random bases, then the same once more: the second half follows from the first, and the first from the second."""
    draw = np.random.default_rng(0)
    firsts = ["".join(draw.choice(list("ACGT"), half)) for _ in range(count)]
    return [first + first for first in firsts]


def trained(causal: bool, steps: int) -> tuple[Objective, TransformerSpec, list[float], Batch, torch.nn.Module]:
    source = from_arrays(echoes(256))
    domain = DnaSpec(length=24).build()
    data = domain.read(source)
    spec = TransformerSpec(size="nano", depth=2, causal=causal)
    backbone = spec.build(domain.inputs, seed=0)
    objective = (AutoregressiveSpec() if causal else MaskedSpec(ratio=0.15)).build(domain, backbone, seed=0)
    optimiser = torch.optim.AdamW([*backbone.parameters(), *objective.parameters()], lr=3e-3)
    batch = domain.collate([data[i] for i in range(len(data))])
    draw, losses = rng(), []
    for step in range(steps):
        some = batch.select(torch.randperm(len(data), generator=draw)[:32])
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 20)
        optimiser.zero_grad()
        loss = objective(backbone, some, draw)
        loss.value.backward()
        optimiser.step()
        losses.append(float(loss.value.detach()))
    return objective, spec, losses, batch, backbone


def test_masked_modelling_copies_from_either_side() -> None:
    _, _, losses, _, _ = trained(causal=False, steps=140)
    assert losses[0] == pytest.approx(math.log(9), abs=0.6)
    assert np.mean(losses[-20:]) < 0.5 * math.log(4)


def test_autoregressive_modelling_knows_the_second_half_only_and_writes_it() -> None:
    objective, _, losses, batch, backbone = trained(causal=True, steps=140)
    assert isinstance(objective, Autoregressive)
    assert np.mean(losses[-20:]) < 0.75 * math.log(4)
    prompts = [batch.inputs[at * 24 : at * 24 + 18] for at in range(40)]
    texts = generate_many(backbone, objective, prompts, 6, temperature=0)
    right = np.mean([float((t[18:] == t[6:12]).float().mean()) for t in texts])
    assert right > 0.8


@pytest.mark.parametrize("causal", [False, True])
def test_a_packed_batch_costs_what_its_examples_cost_one_by_one(causal: bool) -> None:
    domain = DnaSpec(length=64, reverse_complement=False).build()
    sequences = ["ACGTNACGT", "A", "GGGTTTACACACAGAGATTTAC", "AC", "N"]
    data = domain.read(from_arrays(sequences))
    backbone = TransformerSpec(size="nano", depth=2, causal=causal).build(domain.inputs, seed=0)
    objective = (AutoregressiveSpec() if causal else MaskedSpec()).build(domain, backbone, seed=0)
    batch = domain.collate([data[i] for i in range(len(data))])
    if causal:
        whole = objective(backbone, batch, rng())
        parts = [objective(backbone, batch.select([i]), rng()) for i in range(len(data))]
        total = sum(float(p.value.detach()) * p.count for p in parts)
        assert whole.count == sum(p.count for p in parts) == 8 + 0 + 21 + 1 + 0
        assert float(whole.value.detach()) == pytest.approx(total / whole.count, rel=1e-5)
    else:
        masked = domain.mask(batch, 0.3, rng())
        elements = backbone(masked.batch).elements
        for i in range(len(data)):
            alone = backbone(masked.batch.select([i])).elements
            start, stop = batch.offsets[i : i + 2].tolist()
            torch.testing.assert_close(alone, elements[start:stop], rtol=1e-4, atol=1e-5)
        assert objective(backbone, batch, rng()).count == 2 + 1 + 7 + 1


def test_unknown_letters_are_never_a_target_of_masking() -> None:
    domain = DnaSpec(length=64).build()
    data = domain.read(from_arrays(["NNNNNNNN", "NNNA"]))
    backbone = TransformerSpec(size="nano", depth=1).build(domain.inputs, seed=0)
    objective = MaskedSpec(ratio=0.9).build(domain, backbone, seed=0)
    loss = objective(backbone, domain.collate([data[0], data[1]]), rng())
    assert loss.count == 1
