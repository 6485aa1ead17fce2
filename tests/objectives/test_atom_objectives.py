"""Denoising, masked atoms, and potentials as pre-training: oracles, symmetry, batteries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from exapt.backbones.equivariant import EquivariantSpec
from exapt.batch import Batch, segment_mean
from exapt.domains.atom_batch import turned, with_neighbours
from exapt.domains.atoms import AtomsDomain, AtomsSpec
from exapt.domains.base import Arrays, Dataset
from exapt.domains.structure import Structure
from exapt.errors import InputError
from exapt.objectives import BatterySpec, DenoiseSpec, MaskedSpec, PotentialSpec
from exapt.objectives.denoise import Denoise
from exapt.objectives.potential import TARGET

WIDTH = 8


def data(count: int = 3) -> tuple[AtomsDomain, Dataset]:
    rng = np.random.default_rng(0)
    rows = [
        Structure(np.array([6, 1, 8, 1, 7])[: 3 + i % 3], rng.normal(0, 1.5, (1, 3 + i % 3, 3))) for i in range(count)
    ]
    columns = {
        "energy": [-10.0 * s.numbers.sum() for s in rows],
        "forces": [rng.normal(size=(len(s), 3)) for s in rows],
    }
    domain = AtomsSpec(cutoff=4.0, closest=0.0).build()
    return domain, domain.read(Arrays(rows, columns, label="energy"))


def parts(double: bool = True) -> tuple[AtomsDomain, Dataset, Any, Batch]:
    domain, dataset = data()
    backbone = EquivariantSpec(width=WIDTH, depth=2, radial=6, cutoff=4.0).build(domain.inputs, 0)
    batch = domain.collate([dataset[i] for i in range(3)])
    if double:
        assert batch.positions is not None
        batch = with_neighbours(replace(batch, positions=batch.positions.double(), cell=None), 4.0)
        backbone = backbone.double()
    return domain, dataset, backbone, batch


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_denoising_equals_a_loop() -> None:
    domain, _, backbone, batch = parts()
    objective = DenoiseSpec(noise=0.1).build(domain, backbone, 0).double()
    assert isinstance(objective, Denoise) and batch.positions is not None
    loss = objective(backbone, batch, rng())
    drawn = torch.randn(batch.positions.shape, generator=rng()).double()
    noise = drawn - segment_mean(drawn, batch.offsets)[batch.segments]
    features = backbone(with_neighbours(replace(batch, positions=batch.positions + 0.1 * noise), 4.0))
    assert features.vectors is not None
    total = 0.0
    for start, stop in zip(batch.offsets.tolist(), batch.offsets.tolist()[1:], strict=False):
        said = torch.stack(
            [
                features.vectors[i] @ (F.silu(objective.gate(features.elements[i])) * objective.out.weight[0])
                for i in range(start, stop)
            ]
        )
        total += (said - said.mean(0) - noise[start:stop]).square().mean(1).sum().item()
    assert loss.value.item() == pytest.approx(total / loss.count, rel=1e-9)


def test_answers_to_noise_turn_with_the_structure() -> None:
    domain, _, backbone, batch = parts()
    objective = DenoiseSpec(noise=1e-9).build(domain, backbone, 0).double()
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=rng(1)))[0]
    plain = objective.guess(backbone, batch, rng()).output
    moved = objective.guess(backbone, turned(batch, turn.expand(3, 3, 3)), rng()).output
    assert torch.allclose(plain @ turn, moved, atol=1e-6)
    assert plain.abs().max() > 1e-3


def test_the_gradient_of_denoising_is_right() -> None:
    domain, _, backbone, batch = parts()
    objective = DenoiseSpec().build(domain, backbone, 0).double()
    weight = objective.gate.weight.detach().clone().requires_grad_()

    def cost(given: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(objective, {"gate.weight": given}, (backbone, batch, rng())).value

    assert torch.autograd.gradcheck(cost, (weight,))


def test_masked_atoms_are_told_apart_and_their_loss_is_a_loop() -> None:
    domain, _, backbone, batch = parts(double=False)
    objective = MaskedSpec(ratio=0.4).build(domain, backbone, 0)
    loss = objective(backbone, batch, rng())
    guess = objective.guess(backbone, batch, rng())
    each = [-guess.output[i].log_softmax(0)[guess.target[i]].item() for i in range(len(guess.target))]
    assert loss.value.item() == pytest.approx(np.mean(each), rel=1e-5)
    assert set(guess.target.tolist()) <= {1, 6, 7, 8}


def test_a_battery_of_all_three_trains_together() -> None:
    domain, dataset, backbone, _ = parts(double=False)
    kinds: list[Any] = [{"kind": "potential"}, {"kind": "denoise"}, {"kind": "masked"}]
    spec = BatterySpec.parse({"kind": "battery", "parts": [{"objective": kind} for kind in kinds]})
    spec = spec.settled(dataset, domain)
    attached = spec.attach(dataset, domain)
    batch = domain.collate([attached[i] for i in range(3)])
    objective = spec.build(domain, backbone, 0)
    loss = objective(backbone, batch, rng())
    loss.value.backward()
    assert loss.value.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in backbone.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in backbone.parameters())


def test_a_potential_settles_on_its_corpus_and_evaluates_without_gradients() -> None:
    domain, dataset, backbone, _ = parts(double=False)
    spec = PotentialSpec().settled(dataset, domain)
    assert spec.references is not None and sorted(spec.references) == [1, 6, 7, 8]
    assert spec == spec.settled(dataset, domain)
    attached = spec.attach(dataset, domain)
    batch = domain.collate([attached[i] for i in range(3)])
    objective = spec.build(domain, backbone, 0)
    with torch.inference_mode():
        quiet = objective(backbone, domain.collate([attached[i] for i in range(3)]), rng())
    loud = objective(backbone, batch, rng())
    assert quiet.value.item() == pytest.approx(loud.value.item())
    assert loud.terms["energy error"] < 1e-2  # references alone explain these energies
    missing = replace(batch, targets={TARGET: torch.full_like(batch.targets[TARGET], torch.nan)})
    assert objective(backbone, missing, rng()).count == 0


def test_other_fields_are_refused() -> None:
    from exapt.domains.dna import DnaSpec

    domain = DnaSpec().build()
    backbone = EquivariantSpec(width=8).build(AtomsSpec().build().inputs, 0)
    for spec in (DenoiseSpec(), PotentialSpec(references={1: 0.0}, scale=1.0)):
        with pytest.raises(InputError, match="takes atoms"):
            spec.build(domain, backbone, 0)
