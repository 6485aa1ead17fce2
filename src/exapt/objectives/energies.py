"""An energy as a sum over atoms, and what follows from it: forces and stress, its derivatives.

Shapes: N atoms, B structures, A atoms of the largest structure, D width. Energies are in eV, lengths in Å. What a
network says of a structure, and what is known of it, are rows of one form (B, 9 + 3 A): the number of atoms, the energy
in two parts whose sum it is (so that float32 carries it), six entries of the stress (xx yy zz yz xz xy), and the forces
of one atom after another. What is not known is NaN.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch, pad, segment_sum
from exapt.errors import InputError
from exapt.objectives.base import Loss

FORCES = 9
"""The first column of a row's forces."""
ELEMENTS = 119
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


class EnergyHead(nn.Module):
    """Scalars (N, D) -> SiLU layer -> one energy an atom. The last layer starts at zero: no forces at all.

    It also holds what turns its outputs into eV: `scale`, and the energy of every element, in float64.
    """

    references: Tensor
    scale: Tensor

    def __init__(self, width: int, hidden: int | None = None, seed: int | None = None) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden or width)
        self.out = nn.Linear(hidden or width, 1)
        self.register_buffer("references", torch.zeros(ELEMENTS, dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        nn.init.normal_(self.hidden.weight, std=width**-0.5, generator=rng)
        for part in (self.hidden.bias, self.out.weight, self.out.bias):
            nn.init.zeros_(part)

    def forward(self, elements: Tensor) -> Tensor:
        """(N,) in eV, without the elements' own."""
        return self.out(F.silu(self.hidden(elements))).squeeze(1) * self.scale.to(elements.dtype)

    def own(self, numbers: Tensor, offsets: Tensor) -> Tensor:
        """(B,) float64 energies of the atoms (N,) of every structure by themselves."""
        return segment_sum(self.references[numbers], offsets)

    def set_units(self, references: np.ndarray, scale: float) -> None:
        """What turns outputs into eV; in place."""
        self.references.copy_(torch.from_numpy(references))
        self.scale.fill_(scale)


def surface(backbone: Backbone, head: EnergyHead, batch: Batch) -> Tensor:
    """(B, 9 + 3 A) float64 rows: energies, forces −dE/dx, and where the cell is whole the stress dE/dε / V.

    Works where gradients are off, and can itself be differentiated where they are on.
    """
    return shares_and_surface(backbone, head, batch)[1]


def shares_and_surface(backbone: Backbone, head: EnergyHead, batch: Batch) -> tuple[Tensor, Tensor]:
    """(N,) float64 what each atom adds to the energy, its element's own included; and the rows of `surface`."""
    if batch.positions is None:
        raise InputError("a potential needs positions; set domain.kind=atoms")
    again = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(batch.positions.device.type, enabled=False):
        batch = unlocked(batch)
        assert batch.positions is not None
        places = batch.positions.detach().requires_grad_()
        strain = places.new_zeros(len(batch), 3, 3).requires_grad_()
        features = backbone(strained(replace(batch, positions=places), strain))
        shares = head(features.elements).double()
        energies = segment_sum(shares, batch.offsets)
        slopes = torch.autograd.grad(energies.sum(), [places, strain], create_graph=again, materialize_grads=True)
        energies = energies + head.own(batch.inputs, batch.offsets)
        shares = shares + head.references[batch.inputs]
        rows = _rows(batch, energies if again else energies.detach(), -slopes[0].double(), slopes[1].double())
        return (shares if again else shares.detach()), rows


def unlocked(batch: Batch) -> Batch:
    """A batch whose tensors may take part in gradients, also where it was made in inference mode."""
    names = ("inputs", "offsets", "positions", "edges", "edge_inputs", "cell", "whole")
    found = {name: getattr(batch, name) for name in names}
    return replace(batch, **{n: v.clone() for n, v in found.items() if v is not None and v.is_inference()})


def strained(batch: Batch, strain: Tensor) -> Batch:
    """Positions, shifts and cells (1 + ε) times as long, ε the symmetric part of (B, 3, 3)."""
    even = (strain + strain.transpose(1, 2)) / 2
    owner = batch.segments.to(strain.device)

    def moved(rows: Tensor, of: Tensor) -> Tensor:
        return rows + torch.einsum("ni,nij->nj", rows, even[of].to(rows))

    shifts, edges = batch.edge_inputs, batch.edges
    assert batch.positions is not None
    return replace(
        batch,
        positions=moved(batch.positions, owner),
        edge_inputs=None if shifts is None or edges is None else moved(shifts, owner[edges[1]]),
        cell=None if batch.cell is None else batch.cell + batch.cell @ even.to(batch.cell),
    )


def _rows(batch: Batch, energies: Tensor, forces: Tensor, slopes: Tensor) -> Tensor:
    count = len(batch)
    volume = energies.new_zeros(count) if batch.cell is None else torch.linalg.det(batch.cell.double()).abs()
    whole = volume > 1e-9
    stress = torch.stack([slopes[:, i, j] for i, j in VOIGT], 1) / torch.where(whole, volume, 1.0)[:, None]
    stress = torch.where(whole[:, None], stress, torch.nan)
    padded, real = pad(forces, batch.offsets)
    flat = torch.where(real[..., None], padded, torch.nan).flatten(1)
    atoms = batch.lengths.to(energies)[:, None]
    return torch.cat([atoms, energies[:, None], torch.zeros_like(atoms), stress, flat], 1)


def row_of(energy: float, stress: np.ndarray, forces: np.ndarray, most: int) -> np.ndarray:
    """(9 + 3 · most,) float64 one structure's row from its energy, stress (6,) and forces (n, 3)."""
    row = np.full(FORCES + 3 * most, np.nan)
    high = float(np.float32(energy))
    row[:3] = len(forces), high, energy - high
    row[3:FORCES] = stress
    row[FORCES : FORCES + forces.size] = forces.reshape(-1)
    return row


def potential_loss(
    output: Tensor, label: Tensor, *, energy: float, forces: float, stress: float, scale: float, huber: float | None
) -> Loss:
    """Weighted mean errors of energies per atom, force components and stresses, in units of `scale` (eV, eV/Å).

    Squared, or by Huber's function beyond `huber` units. What is missing costs nothing; the mean is over structures.
    """
    label = label.to(output)
    output = F.pad(output, (0, label.shape[1] - output.shape[1])) if label.shape[1] > output.shape[1] else output
    gaps = {
        "energy": (energy, _gap((output[:, 1:3].sum(1) / label[:, 0]), label[:, 1:3].sum(1) / label[:, 0])),
        "forces": (forces, _gap(output[:, FORCES : label.shape[1]], label[:, FORCES:])),
        "stress": (stress, _gap(output[:, 3:FORCES], label[:, 3:FORCES])),
    }
    known = label[:, 1:].isfinite().any(1)
    value = output.new_zeros(())
    terms: dict[str, float | Tensor] = {}
    for name, (weight, (gap, count)) in gaps.items():
        if weight:
            value = value + weight * _cost(gap / scale, huber).sum() / max(count, 1)
        if name != "stress":
            terms[f"{name} error"] = gap.detach().abs().sum() / max(count, 1)
    return Loss(value.float(), int(known.sum()), terms)


def _gap(output: Tensor, wanted: Tensor) -> tuple[Tensor, int]:
    """Output minus what is wanted, 0 where that is not known, and how many are."""
    seen = wanted.isfinite()
    return torch.where(seen, torch.where(seen, output, 0.0) - torch.where(seen, wanted, 0.0), 0.0), int(seen.sum())


def _cost(gap: Tensor, huber: float | None) -> Tensor:
    if huber is None:
        return gap.square()
    return 2 * F.huber_loss(gap, torch.zeros_like(gap), reduction="none", delta=huber)


def fit_references(counts: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """(119,) the energy of each element by least squares from atoms of each (n, 119) and energies (n,), NaN left out.

    The smallest such energies where they are not determined; 0 for elements that do not occur.
    """
    seen = np.isfinite(energies)
    there = counts[seen].any(0)
    found = np.zeros(counts.shape[1])
    if there.any():
        found[there] = np.linalg.lstsq(counts[seen][:, there], energies[seen], rcond=None)[0]
    return found
