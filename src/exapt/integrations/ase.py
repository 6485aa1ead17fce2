"""A fitted potential as ASE's calculator: energies, forces and stresses for its optimisers and dynamics."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from exapt.adaptation.finetune import FinetuneFitted
from exapt.adaptation.fit import load_fitted
from exapt.batch import Batch
from exapt.domains.atom_ase import frame_of
from exapt.domains.atom_batch import batch_of
from exapt.domains.atom_frames import SYMBOLS, charge_and_spin
from exapt.domains.atoms import AtomsDomain
from exapt.domains.neighbours import Skin
from exapt.errors import InputError
from exapt.objectives.energies import FORCES, EnergyHead, shares_and_surface
from exapt.tasks.potential import PotentialTask

try:
    from ase.calculators.calculator import Calculator, all_changes
except ImportError:
    raise InputError("exapt.integrations.ase needs ASE: pip install 'exapt[chem]'") from None


class ExaptCalculator(Calculator):
    """The potential that `exapt adapt --task potential` wrote into a folder. Computes in float64.

    Neighbours are searched within the cut-off and a skin (Å), and anew only once an atom has moved by about half the
    skin; a cell that changes, as under a barostat, keeps them as long. Elements whose energy was never learnt are
    refused, or with `unseen="warn"` warned of. Raises `InputError` for another kind of model.
    """

    implemented_properties = ["energy", "energies", "free_energy", "forces", "stress"]

    def __init__(
        self, folder: Path | str, skin: float = 0.5, unseen: Literal["refuse", "warn"] = "refuse", **keys: Any
    ) -> None:
        super().__init__(**keys)
        if skin < 0:
            raise InputError(f"skin: {skin}; valid: 0 Å or more")
        fitted = load_fitted(folder)
        task, domain = fitted.task, fitted.domain
        if not isinstance(fitted, FinetuneFitted) or not isinstance(task, PotentialTask):
            raise InputError(f"{folder}: no potential; fit one with `exapt adapt … --task potential`")
        assert isinstance(domain, AtomsDomain)
        self.tuning = fitted.tuning.double().eval().requires_grad_(False)
        self.skin, self.unseen = Skin(domain.spec.cutoff, skin), unseen
        assert isinstance(self.tuning.head, EnergyHead)
        self.head: EnergyHead = self.tuning.head

    def calculate(
        self,
        atoms: Any = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """All properties at once: the energy's derivatives cost little more than the energy.

        `energies` are what each atom adds to the energy. Stress is given where the cell repeats in all directions.
        """
        super().calculate(atoms, properties, system_changes)
        if "numbers" in system_changes:
            self._check_elements()
        batch = self._batch()
        with torch.no_grad():
            shares, rows = shares_and_surface(self.tuning.backbone, self.head, batch)
        row, count = rows[0].numpy(), len(self.atoms)
        energy = float(row[1] + row[2])
        forces = row[FORCES : FORCES + 3 * count].reshape(count, 3)
        self.results = {"energy": energy, "free_energy": energy, "energies": shares.numpy(), "forces": forces}
        if np.isfinite(row[3:FORCES]).all():
            self.results["stress"] = row[3:FORCES]

    def check_state(self, atoms: Any, tol: float = 1e-15) -> list[str]:
        """What ASE looks at, and the charge and spin that `atoms.info` says."""
        changes: list[str] = super().check_state(atoms, tol)
        told = None if self.atoms is None else charge_and_spin(self.atoms.info)
        return changes if told in (None, charge_and_spin(atoms.info)) else [*changes, "info"]

    def _check_elements(self) -> None:
        known = self.head.references.numpy() != 0
        strange = sorted({int(number) for number in self.atoms.numbers if not known[number]})
        if not known.any() or not strange:
            return
        names, learnt = (", ".join(SYMBOLS[n] for n in some) for some in (strange, np.flatnonzero(known)))
        said = f"the potential learnt no energy of a structure with {names}; it knows {learnt}"
        if self.unseen == "refuse":
            raise InputError(f'{said}. ExaptCalculator(…, unseen="warn") computes nevertheless')
        warnings.warn(f"{said}; energies of such structures mean nothing", stacklevel=2)

    def _batch(self) -> Batch:
        """The atoms in float64, with neighbours from the skin."""
        structure = frame_of(self.atoms, "ase.Atoms").structure
        batch = batch_of([structure], 1e-3, torch.float64)  # its neighbours are replaced
        assert batch.positions is not None
        pairs = self.skin(batch.positions, batch.offsets, batch.cell)
        return replace(batch, edges=pairs.edges, edge_inputs=pairs.shifts)
