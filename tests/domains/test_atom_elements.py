"""The baseline of labels per atom: surroundings, and those of the residues beside an atom's own."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.domains import AtomsSpec
from exapt.domains.atom_elements import BINS, KINDS, REACH, element_features, surroundings
from exapt.domains.base import Arrays
from exapt.domains.structure import Structure

CHAIN = Structure(np.array([6, 7, 8, 26]), np.array([[[0.0, 0, 0], [1.5, 0, 0], [3.0, 0, 0], [4.5, 0, 0]]]))
WIDTH = (len(KINDS) + 1) * (BINS + 1)


def test_surroundings_count_kinds_by_distance() -> None:
    found = surroundings(CHAIN, 4.0).toarray()
    assert found.shape == (4, WIDTH)
    kinds = found[:, : len(KINDS) + 1]
    assert kinds.argmax(1).tolist() == [1, 2, 3, 5] and kinds.sum() == 4
    counts = (found[:, len(KINDS) + 1 :] ** 2).reshape(4, len(KINDS) + 1, BINS)
    near, far = int(1.5 / 4.0 * BINS), int(3.0 / 4.0 * BINS)
    assert counts[0].sum() == 2 and counts[0, 2, near] == 1 and counts[0, 3, far] == 1  # nitrogen, oxygen
    assert counts[1].sum() == 3 and counts[1, 1, near] == counts[1, 3, near] == counts[1, 5, far] == 1


def test_periodic_images_count() -> None:
    copper = Structure(np.array([29]), np.zeros((1, 1, 3)), np.eye(3) * 3.0)
    counts = surroundings(copper, 3.5).toarray()[0, len(KINDS) + 1 :] ** 2
    assert counts.sum() == pytest.approx(6)


def test_residues_beside_an_atoms_own_are_seen_and_ends_are_zero() -> None:
    residue = [np.array([0, 0, 1, 2])]
    dataset = AtomsSpec(cutoff=4.0).build().read(Arrays([CHAIN], {"residue": residue}))
    found = element_features(dataset, 4.0).toarray().reshape(4, 2 * REACH + 2, WIDTH)
    own = found[:, 0]
    mean = np.stack([own[:2].mean(0), own[2], own[3]])
    assert np.allclose(found[0, 1 + REACH], mean[0])  # its own residue
    assert np.allclose(found[0, 2 + REACH], mean[1])  # the next
    assert np.allclose(found[3, REACH], mean[1]) and not found[3, 2 + REACH :].any()
    assert not found[0, 1 : 1 + REACH].any()


def test_structures_without_residues_stand_beside_those_with() -> None:
    residue = [np.array([0, 0, 1, 2]), np.full(1, np.nan)]
    iron = Structure(np.array([26]), np.zeros((1, 1, 3)))
    dataset = AtomsSpec(cutoff=4.0).build().read(Arrays([CHAIN, iron], {"residue": residue}))
    domain = AtomsSpec(cutoff=4.0).build()
    found = domain.classical_elements(dataset)
    assert found.shape == (5, WIDTH * (2 * REACH + 2))
    assert not found[4, WIDTH:].toarray().any()
