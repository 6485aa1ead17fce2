"""The atoms domain: batches, masks, views, baselines, and what counts as the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from exapt.adaptation.remembered import recall, remember
from exapt.domains import AtomsSpec, Dataset, from_arrays, load_domain
from exapt.domains.atom_batch import CONFORMERS, batch_of, turned
from exapt.domains.atom_views import random_turns
from exapt.domains.neighbours import neighbours
from exapt.domains.structure import AtomStore, Structure, packed, unpacked
from exapt.errors import InputError
from exapt.training.batches import Batches

WATER = Structure(np.array([8, 1, 1]), np.array([[[0.0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]]]))
ION = Structure(np.array([11]), np.zeros((1, 1, 3)), charge=1.0)
SALT = Structure(np.array([11, 17]), np.array([[[0.0, 0, 0], [2.8, 0, 0]]]), np.diag([5.6, 3.9, 3.9]), unpaired=1.0)
THREE = [WATER, ION, SALT]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def read(values: list, **keys: object) -> Dataset:
    return AtomsSpec(**keys).build().read(from_arrays(values))


def test_packing_and_storing_are_exact() -> None:
    two = replace(WATER, positions=np.concatenate([WATER.positions, WATER.positions + 1]))
    for structure in (*THREE, two):
        again = unpacked(packed(structure))
        assert np.array_equal(again.numbers, structure.numbers)
        assert np.array_equal(again.positions, structure.positions)
        assert np.array_equal(again.cell, structure.cell)
        assert (again.charge, again.unpaired) == (structure.charge, structure.unpaired)
    store = AtomStore.of([WATER, two, SALT])
    assert [len(store.structure(i).positions) for i in range(3)] == [1, 2, 1]
    assert np.array_equal(store.structure(2).cell, SALT.cell)
    assert store.fingerprint() != AtomStore.of([WATER, two, WATER]).fingerprint()


def test_a_batch_of_molecules_and_crystals() -> None:
    domain, dataset = AtomsSpec(cutoff=3.0).build(), read(THREE)
    batch = domain.collate(list(dataset))
    assert batch.inputs.tolist() == [8, 1, 1, 11, 11, 17]
    assert batch.whole is not None and batch.cell is not None and batch.edges is not None
    assert batch.whole.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert batch.cell[2].diagonal().tolist() == pytest.approx([5.6, 3.9, 3.9])
    assert batch.cell[:2].abs().sum() == 0
    assert torch.equal(batch.edges, neighbours(batch.positions, batch.offsets, batch.cell, 3.0).edges)
    owner = batch.segments[batch.edges]
    assert torch.equal(owner[0], owner[1])
    assert torch.bincount(owner[0], minlength=3).tolist() == [6, 0, 4]
    assert domain.cost(dataset).tolist() == [3 + 6, 1, 2 + 4]
    assert domain.cost(dataset.subset([2, 0])).tolist() == [6, 9]
    picked = batch.select([2, 0])
    alone = domain.collate([dataset[2], dataset[0]])
    for part in ("inputs", "positions", "edges", "edge_inputs", "cell", "whole"):
        assert torch.equal(getattr(picked, part), getattr(alone, part)), part


def test_batches_are_sized_by_pairs() -> None:
    domain = AtomsSpec(cutoff=3.0).build()
    dataset = domain.read(from_arrays([WATER] * 10 + [ION] * 10))
    plain = Batches(dataset, domain.collate, batch_elements=18, seed=0)
    sized = Batches(dataset, domain.collate, batch_elements=18, seed=0, cost=domain.cost)
    costs = [int(domain.cost(dataset)[places].sum()) for places in sized.plan(0)]
    assert max(costs) <= 18 < max(int(domain.cost(dataset)[places].sum()) for places in plain.plan(0))
    assert sorted(np.concatenate(sized.plan(0)).tolist()) == list(range(20))


def test_labels_travel_with_their_atoms() -> None:
    domain = AtomsSpec().build()
    dataset = read(THREE)
    forces = np.empty(3, dtype=object)
    forces[:] = [np.full((len(s), 3), float(i)) for i, s in enumerate(THREE)]
    labelled = replace(dataset, targets={"label": np.array([1.0, np.nan, 3.0])}, element_targets={"forces": forces})
    batch = domain.collate([labelled[2], labelled[0]])
    assert batch.targets["label"].tolist() == [3.0, 1.0]
    assert batch.element_targets["forces"][:, 0].tolist() == [2, 2, 0, 0, 0]


def test_masks_hide_elements() -> None:
    domain = AtomsSpec().build()
    batch = domain.collate(list(read(THREE)))
    masked = domain.mask(batch, 0.5, rng())
    assert masked.batch.inputs[masked.where].tolist() == [0] * len(masked.where)
    assert torch.equal(masked.target, batch.inputs[masked.where])
    assert torch.bincount(batch.segments[masked.where]).tolist() == [2, 1, 1]
    assert torch.equal(masked.batch.positions, batch.positions)


def test_views_turn_and_shake() -> None:
    domain = AtomsSpec(noise=0.0).build()
    batch = domain.collate(list(read(THREE)))
    one, two = domain.views(batch, rng())
    assert not torch.allclose(one.positions, two.positions)
    for view in (one, two):
        far = (view.positions[view.edges[0]] + view.edge_inputs - view.positions[view.edges[1]]).norm(dim=1)
        was = (batch.positions[batch.edges[0]] + batch.edge_inputs - batch.positions[batch.edges[1]]).norm(dim=1)
        assert torch.allclose(far, was, atol=1e-4)
        assert view.cell is not None
        assert torch.allclose(view.cell @ view.cell.transpose(1, 2), batch.cell @ batch.cell.transpose(1, 2), atol=1e-4)
    assert torch.equal(domain.views(batch, rng(1))[1].positions, domain.views(batch, rng(1))[1].positions)
    shaken = AtomsSpec(noise=0.1).build().views(batch, rng())[0]
    fresh = neighbours(shaken.positions, shaken.offsets, shaken.cell, 5.0)
    assert shaken.edges.shape == fresh.edges.shape


def test_turns_are_rotations_uniform_over_all() -> None:
    turns = random_turns(4000, rng())
    same = turns @ turns.transpose(1, 2)
    assert (same - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-12
    assert (torch.linalg.det(turns) - 1).abs().max() < 1e-12
    assert turns.mean(0).abs().max() < 0.04
    assert float(turns[:, 0, 0].square().mean()) == pytest.approx(1 / 3, abs=0.02)


def test_transformations_at_strength() -> None:
    domain = AtomsSpec().build()
    batch = domain.collate(list(read([WATER] * 50)))
    found = {t.name: t for t in domain.transformations()}
    assert list(found) == ["rotation", "reflection", "noise"]
    turned_a_bit = found["rotation"].change(batch, 15.0, rng())
    assert turned_a_bit.parameters is not None
    assert 0 <= float(turned_a_bit.parameters.min()) <= float(turned_a_bit.parameters.max()) <= 15
    assert (turned_a_bit.batch.positions - batch.positions).norm(dim=1).max() < 0.3
    mirrored = found["reflection"].change(batch, 1.0, rng()).batch
    assert torch.equal(mirrored.positions * torch.tensor([-1.0, 1, 1]), batch.positions)
    moved = found["noise"].change(batch, 0.1, rng()).batch.positions - batch.positions
    assert float(moved.std()) == pytest.approx(0.1, rel=0.1)


def test_the_same_molecule_is_found_whatever_its_frame() -> None:
    domain = AtomsSpec().build()
    turn = random_turns(1, rng())[0].numpy()
    other = Structure(WATER.numbers[[1, 0, 2]], WATER.positions[:, [1, 0, 2]] @ turn + 4.0)
    stretched = replace(WATER, positions=WATER.positions * 1.1)
    first, second, third = (domain.canonical(packed(s)) for s in (WATER, other, stretched))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    moved = replace(SALT, positions=SALT.positions + 0.5)
    assert np.array_equal(domain.canonical(packed(SALT)), domain.canonical(packed(moved)))
    assert not np.array_equal(domain.canonical(packed(SALT)), domain.canonical(packed(replace(SALT, charge=1.0))))


def test_fingerprints_share_what_molecules_share() -> None:
    domain = AtomsSpec().build()
    dataset = read(["CCO", "OCC", "CCCO", "c1ccccc1"])
    ethanol, same, propanol, benzene = (set(domain.fingerprints(e).tolist()) for e in dataset)
    assert ethanol == same
    assert len(ethanol & propanol) > len(ethanol & benzene)
    shaped = [set(domain.fingerprints(e).tolist()) for e in read(THREE)]
    assert len(shaped[0]) > 2
    assert not shaped[0] & shaped[2]


def test_classical_features_of_molecules_and_of_crystals() -> None:
    domain = AtomsSpec().build()
    molecules = read(["CCO", "CCN", "CCC", "c1ccccc1"])
    train, other = domain.classical(molecules.subset([0, 1, 2]), [molecules])
    assert train.shape[0] == 3
    assert other.shape == (4, train.shape[1])
    assert np.allclose(train.toarray(), other.toarray()[:3])
    assert train.shape[1] > 2048
    crystals = read([SALT, WATER, ION, SALT])
    shares, again = domain.classical(crystals, [crystals.subset([3])])
    assert np.allclose(shares[0], shares[3])
    assert np.allclose(again[0], shares[3])
    assert np.isfinite(shares).all()
    mixed = domain.classical(crystals, [molecules])
    assert mixed[0].shape[1] == mixed[1].shape[1]


@pytest.mark.parametrize("values", [["CCO", "CCN", "CCC", "c1ccccc1"], [SALT, WATER, ION]])
def test_the_baseline_is_the_same_from_remembered_examples(values: list) -> None:
    domain, dataset = AtomsSpec().build(), read(values)
    again = recall(remember(dataset))
    before, after = (domain.classical(train, [dataset.subset([1, 0])])[1] for train in (dataset, again))
    assert np.allclose(_dense(before), _dense(after), atol=1e-5)


def _dense(matrix: object) -> np.ndarray:
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)


def test_a_baseline_of_fingerprints_needs_to_know_the_molecule() -> None:
    with pytest.raises(InputError, match=r"memory: row 1: which molecule it is is not known"):
        AtomsSpec().build().classical(read(["CCO", "CCN"]), [read([WATER])])


def test_conformers_are_drawn_and_kept_apart() -> None:
    domain = AtomsSpec(conformers=3, seed=1).build()
    dataset = domain.read(from_arrays(["CCCCO", "[Na+].[Cl-]", "C"]))
    again = domain.read(from_arrays(["OCCCC", "[Cl-].[Na+]", "C"]))
    assert np.array_equal(dataset.store[0], again.store[0])
    assert dataset.store.structure(0).positions.shape[0] == 3
    batch = domain.collate(list(dataset))
    assert batch.element_targets[CONFORMERS].shape == (len(batch.inputs), 9)
    seen = {round(float(domain.augment(batch, rng(s)).positions[0, 0]), 3) for s in range(20)}
    assert len(seen) == 3
    drawn = domain.augment(batch, rng(2))
    assert drawn.positions.isfinite().all()
    assert torch.equal(drawn.edges, neighbours(drawn.positions, drawn.offsets, drawn.cell, 5.0).edges)
    single = AtomsSpec().build()
    plain = single.collate(list(single.read(from_arrays(["CCCCO"]))))
    assert single.augment(plain, rng()) is plain


def test_salts_stand_apart_and_carry_their_charge() -> None:
    dataset = read(["[Na+].[Cl-]", "[NH4+]", "[CH3]"])
    salt = dataset.store.structure(0)
    assert np.linalg.norm(salt.positions[0, 0] - salt.positions[0, 1]) == pytest.approx(4.0)
    assert dataset.store.whole[:, 0].tolist() == [0, 1, 0]
    assert dataset.store.whole[:, 1].tolist() == [0, 0, 1]
    bare = read(["CCO", "[H][H]"], hydrogens=False)
    assert bare.lengths.tolist() == [3, 2]


def test_saved_and_loaded(tmp_path: Path) -> None:
    domain = AtomsSpec(cutoff=4.0, conformers=2).build()
    domain.save(tmp_path)
    again = load_domain(tmp_path)
    assert again.spec == domain.spec
    assert again.inputs == domain.inputs
    assert domain.describe()["cutoff"] == 4.0


def test_turning_bends_shifts_and_cells_alike() -> None:
    batch = batch_of([SALT], 5.0, torch.float64)
    turn = random_turns(1, rng(3))
    after = turned(batch, turn)
    pairs = neighbours(after.positions, after.offsets, after.cell, 5.0)
    assert {tuple(s) for s in pairs.shifts.numpy().round(6) + 0.0} == {
        tuple(s) for s in after.edge_inputs.numpy().round(6) + 0.0
    }
