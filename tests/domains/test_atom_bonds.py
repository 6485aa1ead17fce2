"""Bonds of structures: what SMILES and distances say, in cells too, and when two graphs are the same."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.domains.atom_bonds import KINDS, Bonds, bond_table, bonds_of
from exapt.domains.atoms import AtomsSpec
from exapt.domains.base import Arrays, Dataset
from exapt.domains.structure import Structure


def molecules(*smiles: str, **spec: object) -> Dataset:
    return AtomsSpec.parse(spec).build().read(Arrays(list(smiles)))


def pairs(found: Bonds) -> set[tuple[int, int, int]]:
    return {(int(a), int(b), int(k)) for a, b, k in zip(*found.edges, found.kinds, strict=True)}


def test_a_smiles_gives_orders_and_distances_the_same_bonds_without() -> None:
    data = molecules("CC(=O)C#N", "c1ccccc1", "CCO", "O")
    for place in range(4):
        structure, smiles = data.store.structure(place), data.store.smiles[place]
        told, seen = bonds_of(structure, smiles), bonds_of(structure)
        assert {p[:2] for p in pairs(told)} == {p[:2] for p in pairs(seen)}, smiles
        assert not seen.kinds.any() and told.kinds.all()
        assert {(b, a, k) for a, b, k in pairs(told)} == pairs(told)
    kinds = bonds_of(data.store.structure(0), data.store.smiles[0]).kinds
    assert sorted(kinds.tolist()) == [1] * 10 + [2] * 2 + [3] * 2
    assert bonds_of(data.store.structure(1), data.store.smiles[1]).kinds.tolist().count(KINDS["AROMATIC"]) == 12


def test_without_hydrogens_their_bonds_go_too() -> None:
    data = molecules("CC(=O)C", hydrogens=False)
    assert sorted(bonds_of(data.store.structure(0), data.store.smiles[0]).kinds.tolist()) == [1, 1, 1, 1, 2, 2]


def test_a_smiles_of_other_atoms_or_another_order_is_not_believed() -> None:
    data = molecules("OCCN")
    structure = data.store.structure(0)
    turned = Structure(structure.numbers[::-1].copy(), structure.positions[:, ::-1].copy())
    swapped = Structure(structure.numbers, structure.positions[:, np.r_[2, 1, 0, 3 : len(structure)]].copy())
    wrong = Structure(structure.numbers, structure.positions)
    for other, smiles in ((turned, "OCCN"), (swapped, data.store.smiles[0]), (wrong, "CCCC"), (wrong, "not one")):
        found = bonds_of(other, smiles)
        assert pairs(found) == pairs(bonds_of(other)) and not found.kinds.any()


def test_bonds_reach_over_the_faces_of_a_cell() -> None:
    edge = 3.567
    basis = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]) / 4
    diamond = Structure(np.full(8, 6), edge * basis[None], np.eye(3) * edge)
    found = bonds_of(diamond)
    assert np.bincount(found.edges[1]).tolist() == [4] * 8
    alone = Structure(np.array([6]), np.zeros((1, 1, 3)), np.eye(3) * 1.5)
    assert bonds_of(alone).edges.tolist() == [[0] * 6, [0] * 6], "an atom may be bonded to its own images"
    assert bonds_of(Structure(np.array([18]), np.zeros((1, 1, 3)))).edges.shape == (2, 0)


def test_the_table_holds_every_bond_once_for_each_end() -> None:
    data = molecules("CC(=O)C#N", "O")
    tables, _ = bond_table(data, 3)
    for place, table in enumerate(tables):
        structure = data.store.structure(place)
        most = table.shape[1] // 2
        rows = {
            (int(table[i, s]), i, int(table[i, most + s]))
            for i in range(len(structure))
            for s in range(most)
            if table[i, s] >= 0
        }
        assert rows == pairs(bonds_of(structure, data.store.smiles[place]))
    assert tables[0].shape[1] == tables[1].shape[1] == 8


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("CCO", "OCC", True),
        ("C[C@H](N)O", "C[C@@H](N)O", True),  # mirror images have the same bonds
        ("CCO", "COC", False),
        ("CC=C", "C1CC1", False),
        ("CC", "CC.CC", False),
        ("c1ccccc1", "C1=CC=CC=C1", True),
        ("CCCCC", "CCC(C)C", False),
    ],
)
def test_keys_are_equal_for_equal_graphs(one: str, two: str, same: bool) -> None:
    _, keys = bond_table(molecules(one, two), 3)
    assert (keys[0] == keys[1]) == same and (keys >= 0).all()


def test_keys_do_not_depend_on_the_order_of_atoms_or_on_neighbours_in_the_data() -> None:
    structure = molecules("CC(N)C=O").store.structure(0)
    order = np.random.default_rng(0).permutation(len(structure))
    mixed = Structure(structure.numbers[order], structure.positions[:, order])
    other = molecules("CCCC").store.structure(0)
    domain = AtomsSpec().build()
    _, keys = bond_table(domain.read(Arrays([structure, other, mixed])), 3)
    _, alone = bond_table(domain.read(Arrays([mixed])), 3)
    assert keys[0] == keys[2] == alone[0] != keys[1]
