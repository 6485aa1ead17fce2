"""2-D against 3-D: a structure's places find their own molecule's bonds among those of all others of a batch.

3D Infomax (Stärk et al. 2022, arXiv 2110.04126) and the contrast of GraphMVP (Liu et al. 2022, arXiv 2110.07728), here
with the network of places as the one that is kept. Shapes: n structures (of all processes together), D the features'
width, W the projectors'.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.atom_bonds import MOST, bond_table
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.bond_network import BondNetwork
from exapt.objectives.gather import gathered
from exapt.objectives.projector import ProjectorSpec, Usual
from exapt.objectives.simclr import similarities
from exapt.objectives.views import seeded

BONDS, KEY = "pretext bonds", "pretext bond graph"
"""Under which names the table of bonds, and what says that two bond graphs are the same, travel with the corpus."""


class Infomax3dSpec(PretextSpec):
    """Tell which bond graph belongs to which structure. Likes large batches."""

    kind: Literal["infomax3d"] = "infomax3d"
    temperature: PositiveFloat = 0.1
    """τ: the lower, the more the nearest of the others count."""
    width: PositiveInt | None = None
    """Width of the small network of bonds, which is thrown away afterwards; None: the backbone's."""
    depth: PositiveInt = 3
    """Its layers: how many bonds far an atom sees."""
    projector: ProjectorSpec = ProjectorSpec()
    """Between the features of either network and the loss."""
    same_apart: bool = False
    """Whether structures of one bond graph (conformers, repeats) are pushed apart like any others: to see what that
    does."""

    def attach(self, dataset: Dataset, domain: Domain) -> Dataset:
        """The corpus with each structure's bonds, and a number that equal bond graphs share."""
        _check_atoms(domain)
        tables, keys = bond_table(dataset, self.depth)
        targets, tables_too = {**dataset.targets, KEY: keys}, {**dataset.element_targets, BONDS: tables}
        return replace(dataset, targets=targets, element_targets=tables_too)

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """Raises `InputError` for another field than atoms."""
        _check_atoms(domain)
        return Infomax3d(self, domain.inputs.vocabulary, backbone.width, seed)


def _check_atoms(domain: Domain) -> None:
    if domain.inputs.kind != "atoms":
        raise InputError(
            f"objective.kind=infomax3d: takes atoms with places, found {domain.inputs.kind}; set domain.kind=atoms"
        )


class Infomax3d(Objective):
    """Symmetric InfoNCE between pooled features of places and of bonds."""

    least: ClassVar[int] = 2

    def __init__(self, spec: Infomax3dSpec, numbers: int, features: int, seed: int | None = None) -> None:
        super().__init__()
        self.spec, rng = spec, seeded(seed)
        width = spec.width or features
        self.network = BondNetwork(width, spec.depth, numbers, MOST, rng)
        usual = Usual(width=128, layers=2)
        self.of_places = spec.projector.build(features, usual, rng)
        self.of_bonds = spec.projector.build(width, usual, rng)

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        if BONDS not in batch.element_targets or KEY not in batch.targets:
            raise InputError("objective.kind=infomax3d: these structures carry no bonds; attach them to the data set")
        with torch.autocast(batch.inputs.device.type, enabled=False):
            places = backbone(batch).pooled("mean")
            bonds = self.network(batch.inputs, batch.element_targets[BONDS], batch.offsets).to(places.dtype)
            keys = batch.targets[KEY][:, None]
            if self.training:
                places, bonds, keys = gathered(places), gathered(bonds), gathered(keys)
            if len(places) < self.least:
                return Loss((places.sum() + bonds.sum()) * 0, 0, dict.fromkeys(TERMS, 0.0))
            return self.told_apart(self.of_places(places), self.of_bonds(bonds), keys[:, 0], len(batch))

    def told_apart(self, places: Tensor, bonds: Tensor, keys: Tensor, count: int) -> Loss:
        """The loss of projections (n, W) of both kinds; those with equal `keys` (n,) are no negatives."""
        scores, other = similarities(places, bonds, self.spec.temperature)
        half = torch.arange(len(scores), device=scores.device) < len(places)
        both = torch.cat([keys, keys])
        alike = both[:, None] == both
        alike = alike.scatter(1, other[:, None], False)
        left_out = half[:, None] == half
        if not self.spec.same_apart:
            left_out = left_out | alike
        scores = scores.masked_fill(left_out, -torch.inf)
        right = (scores.argmax(1) == other).to(scores.dtype).mean().detach()
        repeats = (alike & (half[:, None] != half)).to(scores.dtype).sum(1).mean()
        found = {"accuracy": right, "repeats": repeats}
        return Loss(F.cross_entropy(scores, other), count, found)


TERMS = ("accuracy", "repeats")
"""What is logged: how often the own one is nearest, and how many others of the batch have the same bond graph."""
