"""Molecules, a protein and crystals in one batch: one forward pass, and losses that missing labels cost nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit")
pytest.importorskip("ase")

from exapt.backbones import EquivariantSpec
from exapt.batch import Batch
from exapt.domains import AtomsSpec
from exapt.domains.atoms import AtomsDomain
from exapt.domains.base import Dataset, Source
from exapt.objectives import BatterySpec

RESIDUE = """ATOM      1  N   GLY A   {0}    {1:8.3f}   0.000   0.000  1.00  0.00           N
ATOM      2  CA  GLY A   {0}    {2:8.3f}   0.300   0.000  1.00  0.00           C
ATOM      3  C   GLY A   {0}    {3:8.3f}   0.000   0.400  1.00  0.00           C
ATOM      4  O   GLY A   {0}    {3:8.3f}   0.000   1.600  1.00  0.00           O
"""
BATTERY = BatterySpec.parse(
    {
        "parts": [
            {"objective": {"kind": "denoise"}},
            {"objective": {"kind": "masked"}},
            {"objective": {"kind": "potential"}},
            {"objective": {"kind": "properties", "heads": {"boiling": {"kind": "value"}}}},
        ]
    }
)


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> tuple[AtomsDomain, Dataset]:
    """Two molecules of a property, one without, a protein, and crystals with energies and forces."""
    folder = tmp_path_factory.mktemp("joint")
    (folder / "m.csv").write_text("smiles,boiling\nCCO,351\nCC(C)=O,329\nCCN,\n")
    residues = [RESIDUE.format(i, 3.8 * i, 3.8 * i + 1.4, 3.8 * i + 2.5) for i in range(1, 5)]
    (folder / "p.pdb").write_text("".join(residues))
    source = {"path": str(folder / "m.csv"), "label": "boiling"}
    also = [{"path": str(folder / "p.pdb")}, {"path": "built:crystals/1", "limit": 3, "label": "energy"}]
    domain = AtomsSpec(cutoff=4.0).build()
    return domain, domain.read(Source.parse({**source, "also": also}))


def batch_of(domain: AtomsDomain, dataset: Dataset) -> Batch:
    return domain.collate([dataset[i] for i in range(len(dataset))])


def test_one_forward_pass_serves_all_and_each_as_alone(joint: tuple[AtomsDomain, Dataset]) -> None:
    domain, dataset = joint
    backbone = EquivariantSpec(width=8, depth=2).build(domain.inputs, seed=0).eval()
    batch = batch_of(domain, dataset)
    together = backbone(batch)
    assert (
        len(batch) == 7 and batch.cell is not None and bool(batch.cell[:4].eq(0).all()) and bool(batch.cell[4:].any())
    )
    for i in range(len(batch)):
        alone = backbone(domain.collate([dataset[i]])).elements
        assert torch.allclose(together.elements[batch.segments == i], alone, atol=1e-5)


def test_every_loss_and_gradient_is_finite(joint: tuple[AtomsDomain, Dataset]) -> None:
    domain, dataset = joint
    spec = BATTERY.settled(dataset, domain)
    attached = spec.attach(dataset, domain)
    backbone = EquivariantSpec(width=8, depth=2).build(domain.inputs, seed=0)
    battery = spec.build(domain, backbone, 0)
    loss = battery(backbone, batch_of(domain, attached), torch.Generator().manual_seed(0))
    loss.value.backward()
    assert loss.value.isfinite() and all(np.isfinite(float(term)) for term in loss.terms.values())
    assert all(p.grad.isfinite().all() for p in backbone.parameters() if p.grad is not None)
    assert {name.split(".")[0] for name in loss.terms} == {"denoise", "masked", "potential", "properties"}


@pytest.mark.parametrize(("places", "name"), [([0, 1, 2, 3], "potential"), ([3, 4, 5], "properties")])
def test_a_batch_without_labels_teaches_nothing_and_breaks_nothing(
    joint: tuple[AtomsDomain, Dataset], places: list[int], name: str
) -> None:
    domain, dataset = joint
    spec = BATTERY.settled(dataset, domain)
    attached = spec.attach(dataset, domain)
    backbone = EquivariantSpec(width=8, depth=2).build(domain.inputs, seed=0)
    battery = spec.build(domain, backbone, 0)
    parts = battery.losses(backbone, batch_of(domain, attached.subset(places)), torch.Generator().manual_seed(0))
    silent = next(part for part in parts if part.name == name)
    assert float(silent.loss.value.detach()) == 0 and silent.loss.count == 0
    sum(part.weighted for part in parts).backward()
    assert all(p.grad.isfinite().all() for p in backbone.parameters() if p.grad is not None)


def test_a_sources_labels_do_not_reach_the_others(joint: tuple[AtomsDomain, Dataset]) -> None:
    _, dataset = joint
    assert dataset.roles["label"] == ("boiling", "energy")
    assert dataset.column("boiling").tolist() == ["351", "329", "", "", "", "", ""]
    assert np.isfinite(dataset.column("energy")).tolist() == [False] * 4 + [True] * 3
    assert all(np.isnan(forces).all() for forces in dataset.column("forces")[:4])
    assert dataset.column("source").tolist() == ["m.csv"] * 3 + ["p.pdb"] + ["built:crystals/1"] * 3
