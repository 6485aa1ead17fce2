"""2-D against 3-D: the loss against a loop, repeats that are no negatives, and bonds that are learnt from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from objective_standins import gradients_are_true
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.backbones.equivariant import EquivariantSpec
from exapt.batch import Batch
from exapt.domains import DnaSpec
from exapt.domains.atom_batch import with_neighbours
from exapt.domains.atoms import AtomsDomain, AtomsSpec
from exapt.domains.base import Arrays, Dataset
from exapt.errors import InputError
from exapt.objectives import BatterySpec, Infomax3dSpec
from exapt.objectives.infomax3d import BONDS, KEY, Infomax3d

SMILES = ["CCO", "CC=O", "OCC", "CCN", "C1CC1", "CC#N"]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class Bench:
    """Six small molecules, the first and the third being the same."""

    def __init__(self, smiles: list[str] = SMILES, width: int = 8, **spec: Any) -> None:
        self.domain: AtomsDomain = AtomsSpec(cutoff=4.0).build()
        raw = self.domain.read(Arrays(smiles))
        self.spec = Infomax3dSpec.parse(spec).settled(raw, self.domain)
        self.data: Dataset = self.spec.attach(raw, self.domain)
        self.backbone: Backbone = EquivariantSpec(width=width, depth=2, radial=6).build(self.domain.inputs, 0)
        built = self.spec.build(self.domain, self.backbone, seed=1)
        assert isinstance(built, Infomax3d)
        self.objective = built
        self.batch = self.domain.collate([self.data[i] for i in range(len(smiles))])

    def double(self) -> Bench:
        assert self.batch.positions is not None
        self.batch = with_neighbours(replace(self.batch, positions=self.batch.positions.double(), cell=None), 4.0)
        self.backbone, self.objective = self.backbone.double(), self.objective.double()
        return self


def plain_network(made: Infomax3d, numbers: list[int], bonds: list[list[tuple[int, int]]]) -> Tensor:
    """(W,) the network of bonds, atom by atom, on one molecule."""
    network = made.network
    atoms = [network.atoms.weight[n] for n in numbers]
    for layer in network.layers:
        new = []
        for own, around in zip(atoms, bonds, strict=True):
            total = own
            for other, kind in around:
                total = total + F.relu(atoms[other] + layer.kinds.weight[kind])
            new.append(own + layer.outer(F.relu(layer.inner(layer.norm(total)))))
        atoms = new
    return torch.stack(atoms).sum(0)


def test_the_loss_and_the_network_of_bonds_equal_a_loop() -> None:
    bench = Bench(temperature=0.5, projector={"norm": "layer"}).double()
    made, batch = bench.objective, bench.batch
    loss = made(bench.backbone, batch, rng())
    bonds = []
    for place in range(6):
        table = bench.data.element_targets[BONDS][place]
        most = table.shape[1] // 2
        around = [[(int(r[s]), int(r[most + s])) for s in range(most) if r[s] >= 0] for r in table]
        numbers = batch.inputs[batch.offsets[place] : batch.offsets[place + 1]].tolist()
        bonds.append(plain_network(made, numbers, around))
    flat = F.normalize(made.of_bonds(torch.stack(bonds)), dim=1)
    solid = F.normalize(made.of_places(bench.backbone(batch).pooled("mean")), dim=1)
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j == i or {i, j} != {0, 2}]  # ethanol twice: not each other's negative
        for one, many in ((solid[i], flat), (flat[i], solid)):
            odds = [torch.exp(one @ many[j] / 0.5) for j in others]
            total += float(-(torch.exp(one @ many[i] / 0.5) / torch.stack(odds).sum()).log().detach())
    assert float(loss.value.detach()) == pytest.approx(total / 12, rel=1e-9)
    assert loss.count == 6 and float(torch.as_tensor(loss.terms["repeats"])) == pytest.approx(2 / 6)


def test_its_gradients_are_those_of_finite_differences() -> None:
    bench = Bench(width=4, projector={"norm": "layer", "hidden": 4, "width": 3}).double()
    names = ["network.layers.0.kinds.weight", "of_places.layers.0.weight"]
    assert gradients_are_true(bench, names, rng)


def trained(bench: Bench, steps: int, places: list[int] | None = None) -> float:
    """The loss after some steps on the same structures."""
    batch = bench.batch if places is None else bench.batch.select(places)
    optimiser = torch.optim.AdamW([*bench.backbone.parameters(), *bench.objective.parameters()], lr=3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        bench.objective(bench.backbone, batch, rng()).value.backward()
        optimiser.step()
    return float(bench.objective(bench.backbone, batch, rng()).value.detach())


def test_conformers_of_one_molecule_are_false_negatives_unless_left_out() -> None:
    """Planted: with every molecule twice, no network can do better than log 2 when both are negatives."""
    twice = ["CCO", "CC=O", "CCN", "C1CC1"] * 2
    planted = trained(Bench(twice, width=16, same_apart=True), 30)
    clean = trained(Bench(twice, width=16), 30)
    assert planted > 0.65 and clean < 0.3


def shuffled(batch: Batch, lengths: list[int]) -> Batch:
    """Every molecule with the bonds of the next of as many atoms."""
    table = batch.element_targets[BONDS].split(lengths)
    keys = batch.targets[KEY]
    return replace(
        batch,
        element_targets={BONDS: torch.cat([*table[1:], table[0]])},
        targets={KEY: keys.roll(-1)},
    )


ISOMERS = ["CCCCO", "CCCOC", "CCOCC", "CC(C)CO", "CCC(C)O", "CC(C)OC", "CC(C)(C)O"]
"""C4H10O in all its forms: nothing but bonds tells them apart."""


def test_bonds_are_told_from_places_and_not_from_what_elements_there_are() -> None:
    bench = Bench(ISOMERS, width=16)
    assert len(set(bench.batch.targets[KEY].tolist())) == 7
    assert trained(bench, 40) < 0.2  # seven are too few for running statistics: those of the batch tell on
    right = bench.objective(bench.backbone, bench.batch, rng())
    wrong = bench.objective(bench.backbone, shuffled(bench.batch, bench.batch.lengths.tolist()), rng())
    assert float(torch.as_tensor(right.terms["accuracy"])) == 1.0
    assert float(torch.as_tensor(wrong.terms["accuracy"])) < 0.3 and wrong.value > right.value + 1


def test_one_structure_has_nothing_to_be_told_from() -> None:
    bench = Bench()
    loss = bench.objective(bench.backbone, bench.batch.select([0]), rng())
    loss.value.backward()
    assert loss.count == 0 and float(loss.value.detach()) == 0.0 and set(loss.terms) == {"accuracy", "repeats"}


def test_only_repeats_in_a_batch_cost_nothing() -> None:
    bench = Bench()
    loss = bench.objective(bench.backbone, bench.batch.select([0, 2]), rng())
    loss.value.backward()
    assert float(loss.value.detach()) == pytest.approx(0.0)
    assert all(p.grad is None or p.grad.isfinite().all() for p in bench.backbone.parameters())


def test_it_is_a_part_of_a_battery() -> None:
    bench = Bench()
    spec = BatterySpec.parse(
        {"parts": [{"objective": {"kind": "infomax3d"}}, {"objective": {"kind": "denoise"}}], "weighing": "uncertainty"}
    )
    data = spec.settled(bench.data, bench.domain).attach(bench.data, bench.domain)
    batch = bench.domain.collate([data[i] for i in range(6)])
    loss = spec.build(bench.domain, bench.backbone, 0)(bench.backbone, batch, rng())
    loss.value.backward()
    assert loss.value.isfinite() and "infomax3d.accuracy" in loss.terms


def test_other_fields_and_bare_structures_are_refused() -> None:
    letters = DnaSpec(length=16).build()
    network = TransformerSpec(width=8, depth=1, heads=2).build(letters.inputs, seed=0)
    with pytest.raises(InputError, match=r"takes atoms with places, found tokens; set domain\.kind=atoms"):
        Infomax3dSpec().build(letters, network)
    with pytest.raises(InputError, match="takes atoms with places"):
        Infomax3dSpec().attach(letters.read(Arrays(["ACGT"])), letters)
    bench = Bench()
    with pytest.raises(InputError, match="carry no bonds; attach them"):
        bench.objective(bench.backbone, replace(bench.batch, element_targets={}), rng())
