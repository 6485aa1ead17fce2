"""Latent charges: against direct sums, Madelung's constant, and a dimer that a local network cannot see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import erfc
from torch import Tensor

from exapt.backbones import EquivariantSpec
from exapt.backbones.long_range import ewald_potentials, open_potentials, potentials
from exapt.domains.atom_batch import batch_of
from exapt.domains.base import Inputs
from exapt.domains.structure import Structure
from exapt.errors import InputError

ATOMS = Inputs("atoms", vocabulary=119, cutoff=5.0)
MADELUNG = 1.7475645946
"""Of rock salt, by the distance of nearest neighbours."""


def double(values: object) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def test_open_structures_against_a_double_loop() -> None:
    rng = np.random.default_rng(0)
    places, charges, blur = rng.uniform(0, 5, (7, 3)), rng.normal(size=(7, 2)), 0.8
    offsets, naive = torch.tensor([0, 4, 4, 7]), np.zeros((7, 2))
    for first, last in ((0, 4), (4, 7)):
        for i in range(first, last):
            for j in set(range(first, last)) - {i}:
                r = np.linalg.norm(places[i] - places[j])
                naive[i] += charges[j] * math.erf(r / (math.sqrt(2) * blur)) / r
    found = open_potentials(double(charges), double(places), offsets, blur)
    assert found.numpy() == pytest.approx(naive, abs=1e-12)


@pytest.mark.parametrize("blur", [0.6, 1.0])
def test_rock_salt_has_its_madelung_constant(blur: float) -> None:
    """The blurred far part by Ewald and the sharp rest by images within reach, whatever the blur."""
    side = 5.64
    grid = np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(2)])
    places, charges = grid * side / 2, np.where(grid.sum(1) % 2, -1.0, 1.0)
    far = ewald_potentials(double(charges)[:, None], double(places), double(np.eye(3) * side), blur)[0, 0]
    near = 0.0
    for shift in np.array(np.meshgrid(*[range(-2, 3)] * 3)).reshape(3, -1).T * side:
        r = np.linalg.norm(places + shift - places[0], axis=1)
        apart = r > 1e-9
        near += float((charges[apart] * erfc(r[apart] / (math.sqrt(2) * blur)) / r[apart]).sum())
    assert -(float(far) + near) * side / 2 == pytest.approx(MADELUNG, abs=2e-5)


def test_a_wide_empty_cell_is_open() -> None:
    """Of neutral charges, the images of a cell 60 Å wide hardly matter."""
    places, charges = double([[30.0, 30, 30], [32.5, 30, 30]]), double([[1.0], [-1.0]])
    periodic = ewald_potentials(charges, places, torch.eye(3, dtype=torch.float64) * 60, 1.0)
    alone = open_potentials(charges, places, torch.tensor([0, 2]), 1.0)
    assert (periodic - alone).abs().max() < 1e-4


def test_a_slab_is_refused() -> None:
    slab = Structure(np.array([6]), np.zeros((1, 1, 3)), np.diag([3.0, 3.0, 0.0]))
    with pytest.raises(InputError, match="periodic in all three directions or in none"):
        potentials(torch.ones(1, 1), batch_of([slab], 4.0), 1.0)


def dimers(distances: np.ndarray) -> tuple[list[Structure], Tensor]:
    """Two ions, and their energy −14.4 eV Å / r."""
    found = [Structure(np.array([11, 17]), np.array([[[0.0, 0, 0], [0, 0, r]]])) for r in distances]
    return found, double(-14.3996 / distances)


def fitted(long_range: bool) -> np.ndarray:
    """(m,) errors of the attraction between 7 and 14 Å, as shares of it, after training between 2.5 and 6.5 Å."""
    spec = EquivariantSpec(width=16, depth=1, radial=8, cutoff=4.0, long_range=long_range)
    net, head = spec.build(ATOMS, seed=0).double(), torch.nn.Linear(16, 1).double()
    with torch.no_grad():
        head.weight.copy_(torch.linspace(-0.3, 0.3, 16)[None])
        head.bias.zero_()
    structures, truth = dimers(np.linspace(2.5, 6.5, 25))
    given = batch_of(structures, 4.0, torch.float64)
    optimiser = torch.optim.LBFGS([*net.parameters(), *head.parameters()], lr=0.5, max_iter=300, history_size=20)

    def energies(batch: object) -> Tensor:
        features = net(batch)
        return head(features.elements).squeeze(1).unflatten(0, (-1, 2)).sum(1)

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = (energies(given) - truth).square().mean()
        value.backward()
        return value

    optimiser.step(loss)
    others, wanted = dimers(np.linspace(7.0, 14.0, 8))
    with torch.no_grad():
        found = energies(batch_of(others, 4.0, torch.float64))
    return ((found - wanted) / wanted).abs().numpy()


def test_a_charged_dimer_beyond_the_cut_off() -> None:
    """The local network gives one energy at all distances; latent charges follow the curve where none was shown."""
    local, far = fitted(long_range=False), fitted(long_range=True)
    assert local.max() > 0.5
    assert far.max() < 0.1


def test_a_mixed_batch_equals_each_of_its_structures() -> None:
    """Small, large, periodic and empty structures side by side."""
    rng = np.random.default_rng(1)
    sizes, cells = (3, 120, 4, 0, 2), [np.zeros((3, 3))] * 5
    cells[2] = np.diag([4.0, 5.0, 6.0])
    structures = [
        Structure(np.full(n, 6), rng.uniform(0, 9, (1, n, 3)), cell) for n, cell in zip(sizes, cells, strict=True)
    ]
    batch = batch_of(structures, 1.0, torch.float64)
    charges = double(rng.normal(size=(sum(sizes), 2)))
    both = potentials(charges, batch, 1.0)
    parts = charges.split(sizes)
    alone = [potentials(c, batch_of([s], 1.0, torch.float64), 1.0) for c, s in zip(parts, structures, strict=True)]
    assert torch.allclose(both, torch.cat(alone), atol=1e-12)
    assert both.abs().max() > 0.1
