"""Pre-training on energies and forces: a potential of many structures, whose weights others go on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.energies import ELEMENTS, FORCES, EnergyHead, fit_references, potential_loss, surface
from exapt.objectives.guess import Guess
from exapt.objectives.potential_labels import PotentialBase, composition, typical_force

TARGET = "pretext potential"
"""Under which name the labels travel with the corpus."""


class PotentialSpec(PotentialBase, PretextSpec):
    """Learn the corpus's energies, forces and stresses; structures without any cost nothing."""

    kind: Literal["potential"] = "potential"
    references: dict[int, float] | None = None
    """The energy in eV of each element by its atomic number; None: by least squares on the corpus."""
    scale: float | None = None
    """The typical force in eV/Å, the unit of errors; None: that of the corpus."""

    @property
    def reads_labels(self) -> bool:
        return True

    def settled(self, dataset: Dataset, domain: Domain) -> Self:
        """With references and scale written out."""
        if self.references is not None and self.scale is not None:
            return self
        rows = self.rows(dataset)
        fitted = fit_references(composition(dataset), rows[:, 1:3].sum(1))
        found = {int(z): float(fitted[z]) for z in np.flatnonzero(fitted)}
        settled = {"references": self.references, "scale": self.scale}
        given = {name: value for name, value in settled.items() if value is not None}
        return self.model_copy(update={"references": found, "scale": typical_force(rows)} | given)

    def attach(self, dataset: Dataset, domain: Domain) -> Dataset:
        return replace(dataset, targets={**dataset.targets, TARGET: self.rows(dataset)})

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """Raises `InputError` for another field than atoms, or before `settled`."""
        if domain.inputs.kind != "atoms":
            raise InputError(
                f"objective.kind=potential: takes atoms, found {domain.inputs.kind}; set domain.kind=atoms"
            )
        if self.references is None or self.scale is None:
            raise InputError("objective.references is not known before a corpus is read; give references and scale")
        references = np.zeros(ELEMENTS)
        for number, energy in self.references.items():
            references[number] = energy
        head = EnergyHead(backbone.width, self.hidden, seed)
        head.set_units(references, self.scale)
        return Potential(self, head)


class Potential(Objective):
    """A head, its units, and the loss."""

    squared: ClassVar[bool] = True

    def __init__(self, spec: PotentialSpec, head: nn.Module) -> None:
        super().__init__()
        self.spec, self.head = spec, head

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        if TARGET not in batch.targets:
            raise InputError("objective.kind=potential: these structures carry no labels; attach them to the data set")
        assert isinstance(self.head, EnergyHead)
        rows = surface(backbone, self.head, batch)
        return potential_loss(rows, batch.targets[TARGET], **self.spec.weights(self.spec.scale or 1.0))

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        """See `potential_guess`."""
        assert isinstance(self.head, EnergyHead)
        rows, own = surface(backbone, self.head, batch), self.head.own(batch.inputs, batch.offsets)
        return potential_guess(rows, own, batch, batch.targets.get(TARGET), self.spec.weights(self.spec.scale or 1.0))


def potential_guess(rows: Tensor, own: Tensor, batch: Batch, label: Tensor | None, weights: Mapping[str, Any]) -> Guess:
    """The force on every atom and the energy of every structure, as items of three values that weigh as in the loss.

    For n atoms a structure's surprises add up to n times its loss: its energy counts as (E √(3 w / n), 0, 0), w being
    `energy_weight`, less what its atoms have by themselves (`own`, (B,)). All is in typical forces, as the loss is;
    stresses are left out. With labels, what has none is no item.
    """
    output = _items(rows, own, batch, weights)
    owner = batch.segments.to(rows.device)
    owner, order = torch.cat([owner, torch.arange(len(batch), device=rows.device)]).sort(stable=True)
    if label is None:
        return Guess("values", output[order], torch.full_like(output, torch.nan), owner)
    target = _items(label.to(rows), own, batch, weights)[order]
    seen = target.isfinite().all(1)
    return Guess("values", output[order][seen], target[seen], owner[seen])


def _items(rows: Tensor, own: Tensor, batch: Batch, weights: Mapping[str, Any]) -> Tensor:
    """(N + B, 3) float32 forces of all atoms, then energies."""
    owner = batch.segments.to(rows.device)
    place = torch.arange(len(owner), device=rows.device) - batch.offsets.to(rows.device)[owner]
    forces = rows[:, FORCES:].unflatten(1, (-1, 3))[owner, place] * weights["forces"] ** 0.5
    energies = (rows[:, 1:3].sum(1) - own.to(rows)) * (3 * weights["energy"] / rows[:, 0]).sqrt()
    found = torch.cat([forces, F.pad(energies[:, None], (0, 2))]) / weights["scale"]
    return found.float()
