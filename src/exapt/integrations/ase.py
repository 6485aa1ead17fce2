"""A fitted potential as ASE's calculator: energies, forces and stresses for its optimisers and dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exapt.adaptation.finetune import FinetuneFitted
from exapt.adaptation.fit import load_fitted
from exapt.batch import Batch
from exapt.domains.atom_ase import frame_of
from exapt.domains.atom_batch import batch_of
from exapt.domains.atoms import AtomsDomain
from exapt.domains.neighbours import Skin
from exapt.errors import InputError
from exapt.objectives.energies import FORCES
from exapt.tasks.potential import PotentialTask

try:
    from ase.calculators.calculator import Calculator, all_changes
except ImportError:
    raise InputError("exapt.integrations.ase needs ASE: pip install 'exapt[chem]'") from None


class ExaptCalculator(Calculator):
    """The potential that `exapt adapt --task potential` wrote into a folder. Computes in float64.

    Neighbours are searched within the cut-off and a skin, and anew only once an atom has moved by half the skin.
    Raises `InputError` for another kind of model.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, folder: Path | str, skin: float = 0.5, **keys: Any) -> None:
        super().__init__(**keys)
        fitted = load_fitted(folder)
        task, domain = fitted.task, fitted.domain
        if not isinstance(fitted, FinetuneFitted) or not isinstance(task, PotentialTask):
            raise InputError(f"{folder}: no potential; fit one with `exapt adapt … --task potential`")
        assert isinstance(domain, AtomsDomain)
        self.task, self.tuning = task, fitted.tuning.double().eval().requires_grad_(False)
        self.cutoff = domain.spec.cutoff
        self.skin = Skin(self.cutoff, skin)

    def calculate(
        self,
        atoms: Any = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """All properties at once: the energy's derivatives cost little more than the energy."""
        super().calculate(atoms, properties, system_changes)
        row = self._row(self._batch())
        count = len(self.atoms)
        energy = float(row[1] + row[2])
        forces = row[FORCES : FORCES + 3 * count].reshape(count, 3)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if np.isfinite(row[3:FORCES]).all():
            self.results["stress"] = row[3:FORCES]

    def _batch(self) -> Batch:
        """The atoms in float64, with neighbours from the skin."""
        structure = frame_of(self.atoms, "ase.Atoms").structure
        batch = batch_of([structure], 1e-3, torch.float64)  # its neighbours are replaced
        assert batch.positions is not None
        pairs = self.skin(batch.positions, batch.offsets, batch.cell)
        return replace(batch, edges=pairs.edges, edge_inputs=pairs.shifts)

    def _row(self, batch: Batch) -> np.ndarray:
        with torch.no_grad():
            return self.task.ask(self.tuning.backbone, self.tuning.head, batch)[0].numpy()
