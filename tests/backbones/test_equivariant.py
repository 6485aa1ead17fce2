"""What the laws of physics ask of a network of atoms, in float64: everything to 1e-10."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from exapt.backbones import Equivariant, EquivariantSpec, TransformerSpec
from exapt.backbones.radial import bessel, envelope
from exapt.batch import Batch
from exapt.domains.atom_batch import batch_of, turned
from exapt.domains.atom_views import random_turns
from exapt.domains.base import Inputs
from exapt.domains.structure import Structure
from exapt.errors import InputError

ATOMS = Inputs("atoms", vocabulary=119, special={"mask": 0}, cutoff=5.0)
CUTOFF = 4.0


def network(long_range: bool = False, **changes: object) -> Equivariant:
    spec = EquivariantSpec(width=8, depth=2, radial=6, cutoff=CUTOFF, long_range=long_range, **changes)
    net = spec.build(ATOMS, seed=0).double()
    if net.far is not None:
        torch.nn.init.normal_(net.far.tell.weight, generator=torch.Generator().manual_seed(1))
    return net


def molecule(seed: int, count: int = 7, side: float = 4.0) -> Structure:
    """Atoms at least 0.9 Å apart."""
    rng = np.random.default_rng(seed)
    places: list[np.ndarray] = []
    while len(places) < count:
        place = rng.uniform(0, side, 3)
        if all(np.linalg.norm(place - other) > 0.9 for other in places):
            places.append(place)
    return Structure(rng.choice([1, 6, 8], count), np.array(places)[None])


def crystal(seed: int) -> Structure:
    inside = molecule(seed, 4, 3.5)
    return Structure(inside.numbers, inside.positions, np.array([[4.2, 0.2, 0], [0, 3.9, 0.3], [0.4, 0, 4.1]]))


def batch(*structures: Structure, cutoff: float = CUTOFF) -> Batch:
    return batch_of(structures, cutoff, torch.float64)


def energy(net: Equivariant, given: Batch) -> Tensor:
    """(B,) a fixed linear read-out of the scalars, summed over atoms."""
    weights = torch.linspace(-1, 1, net.width, dtype=torch.float64)
    return net(given).pooled("sum") @ weights


@pytest.fixture(params=[False, True], ids=["local", "long range"])
def net(request: pytest.FixtureRequest) -> Equivariant:
    return network(request.param)


SYSTEMS = (molecule(0), crystal(1), molecule(2, 5), crystal(3))


def test_turned_and_mirrored(net: Equivariant) -> None:
    """Scalars stay, vectors turn along; so does a mirror image: the network does not tell left from right."""
    given = batch(*SYSTEMS)
    turns = random_turns(4, torch.Generator().manual_seed(0))
    turns[2:] *= -1
    before, after = net(given), net(turned(given, turns))
    assert before.vectors is not None and after.vectors is not None
    assert (after.elements - before.elements).abs().max() < 1e-10
    moved = torch.einsum("nid,nij->njd", before.vectors, turns[given.segments])
    assert (after.vectors - moved).abs().max() < 1e-10
    assert before.vectors.abs().mean() > 1e-3


def test_moved_and_wrapped(net: Equivariant) -> None:
    """Moving everything, or an atom by a cell vector, changes nothing."""
    moved = replace(SYSTEMS[1], positions=SYSTEMS[1].positions + np.array([3.1, -2.0, 0.7]))
    wrapped = SYSTEMS[1].positions.copy()
    wrapped[0, 1] += SYSTEMS[1].cell[0] - 2 * SYSTEMS[1].cell[2]
    same = replace(SYSTEMS[1], positions=wrapped)
    first, second, third = net(batch(SYSTEMS[1], moved, same)).elements.chunk(3)
    assert (first - second).abs().max() < 1e-10
    assert (first - third).abs().max() < 1e-10


def test_renumbered(net: Equivariant) -> None:
    order = np.array([3, 0, 6, 1, 5, 2, 4])
    structure = SYSTEMS[0]
    other = Structure(structure.numbers[order], structure.positions[:, order])
    first, second = net(batch(structure, other)).elements.chunk(2)
    assert (first[order] - second).abs().max() < 1e-10
    given = batch(structure)
    assert given.edges is not None and given.edge_inputs is not None
    mixed = torch.randperm(given.edges.shape[1], generator=torch.Generator().manual_seed(0))
    unsorted = replace(given, edges=given.edges[:, mixed], edge_inputs=given.edge_inputs[mixed])
    assert (net(unsorted).elements - first).abs().max() < 1e-10


def test_a_batch_equals_each_of_its_structures(net: Equivariant) -> None:
    together = net(batch(*SYSTEMS)).elements
    alone = torch.cat([net(batch(s)).elements for s in SYSTEMS])
    assert (together - alone).abs().max() < 1e-10


def test_twice_the_cell_holds_twice_the_energy(net: Equivariant) -> None:
    single = SYSTEMS[1]
    copies = np.concatenate([single.positions, single.positions + single.cell[1]], axis=1)
    double = Structure(np.tile(single.numbers, 2), copies, single.cell * np.array([[1], [2], [1]]))
    one, two = energy(net, batch(single, double)).tolist()
    assert two == pytest.approx(2 * one, rel=1e-6 if net.far else 1e-10)


def test_forces_are_minus_the_slope_of_the_energy(net: Equivariant) -> None:
    given = batch(SYSTEMS[0], SYSTEMS[1])
    assert given.positions is not None
    places = given.positions.clone().requires_grad_()
    (slope,) = torch.autograd.grad(energy(net, replace(given, positions=places)).sum(), places)
    step = 1e-5
    for atom, axis in ((0, 0), (3, 2), (8, 1), (10, 0)):
        ahead, behind = (given.positions.clone() for _ in range(2))
        ahead[atom, axis] += step
        behind[atom, axis] -= step
        up, down = (energy(net, replace(given, positions=p)).sum() for p in (ahead, behind))
        assert float((up - down).detach() / (2 * step)) == pytest.approx(float(slope[atom, axis]), abs=1e-6)


def test_stress_is_the_slope_under_strain(net: Equivariant) -> None:
    """Places, shifts and cell times 1 + ε: what a stress is read from."""
    given = batch(SYSTEMS[1])

    def strained(strain: Tensor) -> Tensor:
        bend = torch.eye(3, dtype=torch.float64) + (strain + strain.T) / 2
        return energy(net, turned(given, bend[None])).sum()

    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(strained(strain), strain)
    for place in ((0, 0), (1, 2)):
        nudge = torch.zeros(3, 3, dtype=torch.float64)
        nudge[place] = 1e-5
        measured = (strained(nudge) - strained(-nudge)).detach() / 2e-5
        assert float(measured) == pytest.approx(float(slope[place]), abs=1e-5)


def test_forces_can_be_learnt_from(net: Equivariant) -> None:
    """The gradient of a loss of forces exists and is that of finite differences."""
    given = batch(SYSTEMS[0])
    weight = net.layers[1].filter.weight

    def loss() -> Tensor:
        assert given.positions is not None
        places = given.positions.clone().requires_grad_()
        total = energy(net, replace(given, positions=places)).sum()
        (slope,) = torch.autograd.grad(total, places, create_graph=True)
        return slope.square().sum()

    (slope,) = torch.autograd.grad(loss(), weight)
    with torch.no_grad():
        weight[2, 1] += 1e-5
    up = loss()
    with torch.no_grad():
        weight[2, 1] -= 2e-5
    assert float(((up - loss()) / 2e-5).detach()) == pytest.approx(float(slope[2, 1]), rel=1e-5, abs=1e-8)


def test_an_atom_comes_smoothly_into_sight() -> None:
    """Energy, slope and curvature of a dimer vanish together at the cut-off; a pair beyond it changes nothing."""
    net = network()
    distances = torch.tensor([CUTOFF - 1e-3, CUTOFF + 1e-3, CUTOFF - 0.3], dtype=torch.float64)

    def at(distance: Tensor) -> Tensor:
        near = batch(Structure(np.array([6, 8]), np.array([[[0.0, 0, 0], [2.0, 0, 0]]])), cutoff=CUTOFF + 1)
        assert near.positions is not None
        far = torch.zeros_like(near.positions).index_put((torch.tensor(1), torch.tensor(0)), distance)
        return energy(net, replace(near, positions=far)).sum()

    found = []
    for distance in distances:
        r = distance.clone().requires_grad_()
        value = at(r)
        (slope,) = torch.autograd.grad(value, r, create_graph=True)
        curve = torch.autograd.grad(slope, r)[0] if slope.requires_grad else torch.zeros(())
        found.append([float(value.detach()), float(slope.detach()), float(curve)])
    inside, outside, further = found
    assert np.abs(np.array(inside) - outside).max() < 1e-2 * np.abs(np.array(further) - outside).max()
    assert abs(outside[1]) == abs(outside[2]) == 0
    assert abs(inside[1]) < 1e-4 * max(abs(further[1]), 1e-3)


def test_the_envelope_is_flat_to_its_second_derivative() -> None:
    r = torch.tensor([CUTOFF * (1 - 1e-6), CUTOFF, CUTOFF * 1.5], dtype=torch.float64, requires_grad=True)
    value = envelope(r, CUTOFF)
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curve,) = torch.autograd.grad(slope.sum(), r)
    assert value.abs().max() < 1e-12
    assert slope.abs().max() < 1e-9
    assert curve.abs().max() < 1e-4
    assert float(envelope(torch.zeros(1), CUTOFF)) == 1
    waves = bessel(torch.tensor([1.3], dtype=torch.float64), CUTOFF, 3)
    naive = [np.sin(k * np.pi * 1.3 / CUTOFF) / 1.3 * float(envelope(torch.tensor(1.3), CUTOFF)) for k in (1, 2, 3)]
    assert waves[0].tolist() == pytest.approx(naive)


def test_distant_fragments_add_up() -> None:
    net, (one, two) = network(), (SYSTEMS[0], SYSTEMS[2])
    far = Structure(
        np.concatenate([one.numbers, two.numbers]), np.concatenate([one.positions, two.positions + 50.0], axis=1)
    )
    together, first, second = energy(net, batch(far, one, two)).tolist()
    assert together == pytest.approx(first + second, abs=1e-10)


def test_plain_and_sparse_sums_agree() -> None:
    net, given = network(), batch(*SYSTEMS)
    net.fast = True
    fast = net(given)
    net.fast = False
    plain = net(given)
    assert fast.vectors is not None and plain.vectors is not None
    assert (fast.elements - plain.elements).abs().max() < 1e-12
    assert (fast.vectors - plain.vectors).abs().max() < 1e-12


def test_charge_is_told() -> None:
    net, neutral = network(charge=True), SYSTEMS[0]
    ion = replace(neutral, charge=1.0)
    first, second = net(batch(neutral, ion)).elements.chunk(2)
    assert (first - second).abs().max() > 1e-3
    with pytest.raises(InputError, match=r"backbone.charge: the batch does not say"):
        net(replace(batch(neutral), whole=None))


def test_sizes_blocks_and_seeds() -> None:
    nets = [EquivariantSpec(size="nano", long_range=True).build(ATOMS, seed=s) for s in (0, 0, 1)]
    first, again, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    held = [id(p) for block in nets[0].blocks for p in block.parameters()]
    assert sorted(held) == sorted(id(p) for p in nets[0].parameters())
    assert nets[0].width == 32
    assert len(nets[0].blocks) == 5
    assert EquivariantSpec(size="tiny").shape == (128, 3)


def test_single_atoms_hidden_atoms_and_nothing() -> None:
    net = network()
    lone = batch(Structure(np.array([2]), np.zeros((1, 1, 3))))
    assert net(lone).elements.isfinite().all()
    hidden = replace(lone, inputs=torch.zeros(1, dtype=torch.long))
    assert (net(hidden).elements - net(lone).elements).abs().max() > 1e-3
    assert net(batch()).elements.shape == (0, 8)


def test_other_fields_are_refused() -> None:
    with pytest.raises(InputError, match=r"equivariant: takes atoms, found tokens; set domain.kind=atoms"):
        EquivariantSpec().build(Inputs("tokens", vocabulary=9))
    with pytest.raises(InputError, match=r"backbone.cutoff: 6.0 Å, but the domain finds neighbours within"):
        EquivariantSpec(cutoff=6.0).build(ATOMS)
    assert EquivariantSpec(size="nano").build(ATOMS, seed=0).cutoff == 5.0
    with pytest.raises(InputError, match="the batch has no positions or edges"):
        network()(replace(batch(SYSTEMS[0]), edges=None))


def test_a_transformer_takes_no_atoms() -> None:
    with pytest.raises(InputError, match="transformer: takes tokens or pictures, not atoms"):
        TransformerSpec().build(ATOMS)
