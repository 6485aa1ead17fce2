"""Energies and forces: derivatives against finite differences, symmetry, missing labels, units, and a fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from exapt.adaptation import FinetuneSpec, Start, fit, load_fitted
from exapt.adaptation.fisher import fisher
from exapt.backbones.equivariant import Equivariant, EquivariantSpec
from exapt.batch import Batch
from exapt.domains.atom_batch import turned, with_neighbours
from exapt.domains.atoms import AtomsDomain, AtomsSpec
from exapt.domains.base import Arrays, Dataset
from exapt.domains.structure import Structure
from exapt.errors import InputError
from exapt.objectives import PotentialSpec
from exapt.objectives.energies import FORCES, EnergyHead, fit_references, potential_loss, surface
from exapt.objectives.guess import Guess
from exapt.objectives.potential import Potential
from exapt.tasks import PotentialTaskSpec, load_task
from exapt.tasks.potential import PotentialTask

RNG = np.random.default_rng(0)


def structures(count: int = 8, cell: float = 0.0) -> list[Structure]:
    found = []
    for place in range(count):
        numbers = np.array([8, 1, 1, 6][: 3 + place % 2])
        places = np.array([[0, 0, 0], [1, 0, 0], [0, 1.1, 0], [0, 0, 1.5]])[: len(numbers)]
        box = np.eye(3) * cell
        found.append(Structure(numbers, (places + RNG.normal(0, 0.05, places.shape))[None], box))
    return found


def springs(s: Structure) -> tuple[float, np.ndarray]:
    """A pair potential that a network can learn, with energies of elements."""
    away = s.positions[0][:, None] - s.positions[0][None]
    length = np.linalg.norm(away, axis=-1) + np.eye(len(s))
    off = (length - 1.2) * (1 - np.eye(len(s)))
    return float((off**2).sum() / 2 - 10.0 * s.numbers.sum()), -2 * ((off / length)[..., None] * away).sum(1)


def labelled(count: int = 8, **columns: Any) -> tuple[AtomsDomain, Dataset]:
    rows = structures(count)
    energy, forces = zip(*(springs(s) for s in rows), strict=True)
    domain = AtomsSpec(cutoff=4.0).build()
    return domain, domain.read(Arrays(rows, {"energy": list(energy), "forces": list(forces), **columns}))


def network(seed: int = 0, **keys: Any) -> tuple[Equivariant, EnergyHead]:
    domain = AtomsSpec().build()
    backbone = EquivariantSpec(width=8, depth=2, radial=6, cutoff=4.0, **keys).build(domain.inputs, seed).double()
    head = EnergyHead(8, seed=seed).double()
    torch.nn.init.normal_(head.out.weight, generator=torch.Generator().manual_seed(1))
    return backbone, head


def double(batch: Batch) -> Batch:
    assert batch.positions is not None and batch.cell is not None
    return with_neighbours(replace(batch, positions=batch.positions.double(), cell=batch.cell.double()), 4.0)


def batch_of(rows: list[Structure]) -> Batch:
    domain = AtomsSpec(cutoff=4.0).build()
    data = domain.read(Arrays(rows))
    return double(domain.collate([data[i] for i in range(len(data))]))


def test_forces_and_stress_are_finite_differences() -> None:
    backbone, head = network()
    batch = batch_of(structures(2, cell=6.0))
    with torch.no_grad():
        rows = surface(backbone, head, batch)
    assert batch.positions is not None and batch.cell is not None
    for atom, axis in ((0, 0), (2, 1)):
        step = torch.zeros_like(batch.positions)
        step[atom, axis] = 1e-5
        up, down = (
            surface(backbone, head, replace(batch, positions=batch.positions + sign * step))[0, 1].item()
            for sign in (1, -1)
        )
        assert rows[0, FORCES + 3 * atom + axis].item() == pytest.approx(-(up - down) / 2e-5, rel=1e-5, abs=1e-8)
    grown = torch.eye(3, dtype=torch.float64).expand(2, 3, 3).clone()
    energies = []
    for sign in (1, -1):
        grown[:, 0, 1] = grown[:, 1, 0] = sign * 5e-6
        energies.append(surface(backbone, head, turned(batch, grown))[:, 1])
    wanted = (energies[0] - energies[1]) / 2e-5 / 216  # both off-diagonal entries grew
    assert torch.allclose(rows[:, 8], wanted.detach(), rtol=1e-4, atol=1e-9)


def test_forces_turn_with_a_structure_and_add_up_to_nothing() -> None:
    backbone, head = network()
    batch = batch_of(structures(2))
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    with torch.inference_mode():
        plain = surface(backbone, head, batch)
        moved = surface(backbone, head, turned(batch, turn.expand(2, 3, 3)))
    forces = plain[:1, FORCES : FORCES + 9].unflatten(1, (3, 3))
    assert torch.allclose(plain[:, 1], moved[:, 1], atol=1e-10)
    assert torch.allclose(forces @ turn, moved[:1, FORCES : FORCES + 9].unflatten(1, (3, 3)), atol=1e-10)
    assert forces.sum(1).abs().max() < 1e-10
    assert plain[:, 3:FORCES].isnan().all()  # no cell, no stress


def test_the_loss_of_forces_has_the_right_gradient() -> None:
    backbone, head = network()
    batch = batch_of(structures(2))
    label = torch.zeros(2, FORCES + 12, dtype=torch.float64)
    label[:, 0] = batch.lengths

    def cost(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(Whole(backbone, head, label), {"head.hidden.weight": weight}, (batch,))

    assert torch.autograd.gradcheck(cost, (head.hidden.weight.detach().clone().requires_grad_(),), atol=1e-5)


class Whole(torch.nn.Module):
    def __init__(self, backbone: Equivariant, head: EnergyHead, label: torch.Tensor) -> None:
        super().__init__()
        self.backbone, self.head, self.label = backbone, head, label

    def forward(self, batch: Batch) -> torch.Tensor:
        rows = surface(self.backbone, self.head, batch)
        seen = torch.where(rows.isfinite(), rows, 0.0)[:, 1:] - self.label[:, 1 : rows.shape[1]]
        return seen.square().mean()


def test_loss_equals_a_loop_and_missing_labels_cost_nothing() -> None:
    domain, data = labelled(4)
    task = PotentialTaskSpec().build(data)
    data = task.attach(data)
    batch = domain.collate([data[i] for i in range(4)])
    label = batch.targets["label"].double()
    output = label + torch.randn(label.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights: dict[str, Any] = {"energy": 2.0, "forces": 3.0, "stress": 1.0, "scale": 0.5, "huber": None}
    energy = np.mean([float(((output - label)[i, 1:3].sum() / label[i, 0] / 0.5) ** 2) for i in range(4)])
    gaps = (output - label)[:, FORCES:]
    forces = float((gaps[gaps.isfinite()] / 0.5).square().mean())
    assert potential_loss(output, label, **weights).value.item() == pytest.approx(2 * energy + 3 * forces, rel=1e-5)
    nothing = torch.full_like(label, torch.nan)
    nothing[:, 0] = label[:, 0]
    free = output.clone().requires_grad_()
    loss = potential_loss(free, nothing, **weights)
    loss.value.backward()
    assert (loss.count, loss.value.item()) == (0, 0.0)
    assert free.grad is None or not free.grad.isnan().any()


def test_references_are_exact_where_energies_are_sums() -> None:
    counts = np.zeros((5, 119))
    counts[:, 1], counts[:, 8] = [1, 2, 3, 4, 0], [1, 1, 0, 2, 1]
    energies = counts[:, 1] * -13.5 + counts[:, 8] * -2000.25
    energies[4] = np.nan
    found = fit_references(counts, energies)
    assert found[[1, 8]] == pytest.approx([-13.5, -2000.25]) and not found[6]


def test_large_energies_keep_their_digits() -> None:
    domain, data = labelled(4, energy=[-100_000.123456, -100_000.123457, -50_000.5, float("nan")])
    data = PotentialTaskSpec().build(data).attach(data)
    batch = domain.collate([data[i] for i in range(4)])
    label = batch.targets["label"].double()
    assert label[:3, 1:3].sum(1).tolist() == pytest.approx([-100_000.123456, -100_000.123457, -50_000.5], abs=1e-9)


def test_a_fit_learns_and_comes_back_from_its_folder(tmp_path: Any) -> None:
    domain, data = labelled(14)
    task = PotentialTaskSpec().build(data)
    data = task.attach(data)
    backbone = EquivariantSpec(width=16, depth=2, cutoff=4.0).build(domain.inputs, 0)
    spec = FinetuneSpec(probe_first=False, rates=[0.01], min_steps=60, max_steps=60, batch=8)
    fitted = fit(spec, Start(domain, backbone), task, data.subset(range(10)), data.subset(range(10, 14)), 0)
    truth = task.truth(data)
    prediction = fitted.predict(data)
    assert task.metric(prediction, truth) > 0.6 * task.chance(truth)
    again = load_fitted(fitted.save(tmp_path / "fitted"))
    assert np.array_equal(again.predict(data), prediction, equal_nan=True)
    assert isinstance(load_task(task.plain()), PotentialTask)


def test_an_inherited_head_moves_its_references_only() -> None:
    domain, data = labelled(6)
    objective = PotentialSpec(references={1: -3.0, 8: -70.0}, scale=0.7)
    backbone = EquivariantSpec(width=16, depth=2, cutoff=4.0).build(domain.inputs, 0)
    learnt = objective.build(domain, backbone, 1)
    assert isinstance(learnt, Potential)
    torch.nn.init.normal_(learnt.head.out.weight)
    task = PotentialTaskSpec().build(data)
    data = task.attach(data)
    task = task.calibrated(data)
    head = task.head(16, 0)
    batch = domain.collate([data[i] for i in range(6)])
    assert not task.inherit(head, None, data, lambda: task.ask(backbone, head, batch))
    assert task.inherit(head, learnt, data, lambda: task.ask(backbone, head, batch))
    missed = (task.ask(backbone, head, batch)[:, 1] - batch.targets["label"][:, 1:3].sum(1)).detach()
    assert missed.abs().max() < 1.0  # two compositions, whose mean errors vanish
    assert abs(float(missed[::2].mean())) < 1e-3
    assert torch.equal(head.out.weight, learnt.head.out.weight)
    kept = PotentialTaskSpec(refit=False).build(data).calibrated(data)
    assert kept.inherit(head, learnt, data, lambda: kept.ask(backbone, head, batch))
    assert torch.equal(head.references, learnt.head.references)


def test_scores_are_bounded_and_blind_to_missing_labels() -> None:
    _, data = labelled(3)
    task = PotentialTaskSpec().build(data)
    truth = task.truth(task.attach(data))
    wrong = truth + 1e6
    assert task.item_scores(wrong, truth).tolist() == [-3.0] * 3
    assert task.item_scores(truth, truth).tolist() == [0.0] * 3
    truth[1, 1:] = np.nan
    assert np.isnan(task.item_scores(wrong, truth)[1])
    assert task.metric(truth, truth) == 0.0
    wrong[0, FORCES] = np.nan
    assert task.metric(wrong, truth) == task.chance(truth)


def test_fisher_is_of_the_loss_on_energies_and_forces() -> None:
    domain, data = labelled(3)
    spec = PotentialSpec(references={1: -9.0, 8: -80.0}, scale=0.7, energy_weight=5.0, force_weight=2.0)
    backbone = network()[0].float()
    objective = spec.build(domain, backbone, 0)
    assert isinstance(objective, Potential)
    torch.nn.init.normal_(objective.head.out.weight, generator=torch.Generator().manual_seed(0))
    data = spec.attach(data, domain)
    batch, names = domain.collate([data[i] for i in range(3)]), dict(backbone.named_parameters())

    def guess(some: Batch, rng: torch.Generator) -> Guess:
        return objective.guess(backbone, some, rng)

    found = fisher(guess, [backbone, objective], names, [batch], "empirical")
    items = int(batch.offsets[-1]) + 3
    assert found.items == items and guess(batch, torch.Generator()).owner.diff().min() >= 0
    wanted = {name: torch.zeros_like(p) for name, p in names.items()}
    for place in range(3):
        loss = objective(backbone, batch.select([place]), torch.Generator()).value * int(batch.lengths[place])
        slopes = torch.autograd.grad(loss, list(names.values()), allow_unused=True)
        for name, slope in zip(names, slopes, strict=True):
            wanted[name] += 0.0 if slope is None else slope.square() / items
    for name, part in wanted.items():
        torch.testing.assert_close(found.diagonal[name], part, rtol=1e-3, atol=1e-4 * float(part.max()) + 1e-12)
    drawn = fisher(guess, [backbone, objective], names, [batch] * 3, "sampled")
    assert all(float(drawn.diagonal[n].sum()) > 0 for n, p in wanted.items() if float(p.sum()) > 0)


def test_what_has_no_label_is_no_item_of_fisher() -> None:
    domain, data = labelled(3)
    columns = {**data.columns, "energy": np.array([np.nan, 1.0, np.nan])}
    spec = PotentialSpec(references={1: 0.0}, scale=1.0)
    backbone = network()[0].float()
    objective = spec.build(domain, backbone, 0)
    data = spec.attach(replace(data, columns=columns), domain)
    batch = domain.collate([data[i] for i in range(3)])
    assert len(objective.guess(backbone, batch, torch.Generator()).owner) == int(batch.offsets[-1]) + 1


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"energy": ["a", 1.0, 2.0, 3.0]}, "row 1: 'energy' is 'a'; valid: numbers"),
        ({"forces": [np.zeros((2, 3))] * 4}, "row 1: 'forces' holds 6 numbers; valid: 3 × 3"),
    ],
)
def test_bad_labels_are_named(columns: dict[str, Any], said: str) -> None:
    _, data = labelled(4)
    column = np.empty(4, dtype=object)
    for place, value in enumerate(next(iter(columns.values()))):
        column[place] = value
    data = replace(data, columns={**data.columns, next(iter(columns)): column})
    with pytest.raises(InputError, match=said):
        PotentialTaskSpec().build(data)


def test_a_data_set_without_labels_is_refused() -> None:
    domain = AtomsSpec().build()
    with pytest.raises(InputError, match="no column of energies or forces"):
        PotentialTaskSpec().build(domain.read(Arrays(structures(2))))
