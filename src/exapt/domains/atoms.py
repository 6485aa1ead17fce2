"""Atoms: molecules, proteins and crystals. An element is an atom, described by its atomic number and its place.

Shapes: N atoms of a batch, B structures, E pairs of neighbours, M hidden atoms. Lengths are in Å, energies in eV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from pydantic import Field, PositiveInt

from exapt.batch import Batch
from exapt.domains.atom_batch import batch_of, turned
from exapt.domains.atom_elements import element_features
from exapt.domains.atom_features import classical_features, fingerprint, in_one_form
from exapt.domains.atom_reading import Reading, read_atoms
from exapt.domains.atom_views import AtomViews, random_turns
from exapt.domains.base import Arrays, Dataset, Domain, Example, Inputs, Masked, Source, Store
from exapt.domains.masking import choose
from exapt.domains.scaffolds import scaffold
from exapt.domains.structure import ELEMENTS, AtomStore, JoinedAtoms, unpacked
from exapt.domains.targets import element_targets_of, targets_of
from exapt.domains.views import Transformation
from exapt.files import write_json
from exapt.spec import Spec

MASK = 0
"""The atomic number of a hidden atom."""
COUNTED = 256
"""Structures whose pairs are counted at once."""


class AtomsSpec(Spec):
    """Atoms: which are neighbours, how molecules get their places, and what a file's numbers mean."""

    kind: Literal["atoms"] = "atoms"
    cutoff: float = Field(default=5.0, gt=0, le=20)
    """Atoms closer than so many Å are neighbours."""
    hydrogens: bool = True
    """SMILES and SDF: whether hydrogens are part of the structure."""
    conformers: PositiveInt = 1
    """SMILES: how many conformers are embedded (ETKDG) for each molecule; training draws among them."""
    seed: int = Field(default=0, ge=0)
    """SMILES: the seed of the conformers."""
    embed_length: PositiveInt = 300
    """SMILES: the largest molecule, hydrogens included, that conformers are embedded for: beyond, it takes minutes."""
    noise: float = Field(default=0.05, ge=0)
    """Å by which views shake each coordinate (standard deviation)."""
    units: dict[str, str] = {}
    """What a file's columns, or its `positions`, count, such as `{energy: kcal/mol, forces: Ha/bohr}`; they are turned
    into eV, Å and elementary charges. A column that is not named is taken as it is."""
    closest: float = Field(default=0.5, ge=0)
    """Two atoms closer than so many Å are a mistake; 0 lets everything pass."""
    length: PositiveInt = 20_000
    """The largest structure in atoms; a larger one is a mistake."""
    backbone_only: bool = False
    """PDB: whether a residue is its N, Cα, C and O alone, so that which amino acid it is cannot be read off its side
    chain."""
    on_error: Literal["stop", "skip"] = "stop"
    """What a structure that cannot be read does: stop with its file and row, or be left out and counted."""

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> AtomsDomain:
        """The domain; nothing is learnt from a corpus."""
        return AtomsDomain(self)

    def restore(self, folder: Path, learned: dict[str, Any]) -> AtomsDomain:
        """The domain that was saved in a folder."""
        return AtomsDomain(self)

    @property
    def reading(self) -> Reading:
        """What decides how files become structures."""
        return Reading(**self.model_dump(include=set(Reading.__dataclass_fields__)))


class AtomsDomain(Domain):
    """Structures of atoms."""

    baseline: ClassVar[str] = "fingerprints and descriptors, or shares of elements and distances"

    def __init__(self, spec: AtomsSpec) -> None:
        self.spec: AtomsSpec = spec
        self.inputs = Inputs(
            "atoms", vocabulary=ELEMENTS + 1, special={"mask": MASK}, cutoff=spec.cutoff, length=spec.length
        )
        self.moves = AtomViews(spec.cutoff)

    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        """Every structure with all columns of its file; those per atom are object arrays of (n, …)."""
        return read_atoms(source, self.spec.reading, cache)

    def end_to_end(self, stores: Sequence[Store]) -> Store:
        """As every domain; what atoms keep beside their places (SMILES, counts of pairs) goes along."""
        return JoinedAtoms(cast(Sequence[AtomStore], stores))

    def collate(self, examples: Sequence[Example]) -> Batch:
        batch = batch_of([unpacked(e.inputs) for e in examples], self.spec.cutoff)
        labels = element_targets_of(examples, batch.lengths.tolist(), 0)
        return replace(
            batch,
            targets=targets_of(examples),
            element_targets={**batch.element_targets, **labels},
            index=torch.tensor([e.index for e in examples], dtype=torch.long),
        )

    def mask(self, batch: Batch, ratio: float, rng: torch.Generator) -> Masked:
        """Hide which element a share of each structure's atoms is; the target is their atomic numbers (M,).

        (Hu et al. 2020, "Strategies for pre-training graph neural networks", attribute masking.)
        """
        where = choose(torch.ones_like(batch.inputs, dtype=torch.bool), batch.offsets, ratio, rng)
        return Masked(replace(batch, inputs=batch.inputs.index_fill(0, where, MASK)), where, batch.inputs[where])

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        """Another conformer where there are several, turned at random, and shaken by `noise`."""
        return [self._view(batch, rng) for _ in range(count)]

    def _view(self, batch: Batch, rng: torch.Generator) -> Batch:
        moved = self.moves.another_conformer(batch, rng)
        if self.spec.noise:
            moved = self.moves.shaken(moved, self.spec.noise, rng).batch
        return turned(moved, random_turns(len(batch), rng))

    def transformations(self) -> list[Transformation]:
        """Rotation, reflection, noise."""
        return self.moves.all()

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Another conformer, where there are several. Nothing is turned, for labels may be vectors."""
        return self.moves.another_conformer(batch, rng)

    def cost(self, dataset: Dataset) -> np.ndarray:
        """(n,) atoms and pairs of neighbours of each structure: what the work grows with."""
        store = dataset.store
        if not isinstance(store, AtomStore):
            return dataset.lengths
        if self.spec.cutoff not in store.counted:
            store.counted[self.spec.cutoff] = count_pairs(store, self.spec.cutoff)
        return dataset.lengths + store.counted[self.spec.cutoff][dataset.rows]

    def canonical(self, inputs: np.ndarray) -> np.ndarray:
        """The same for a structure that was turned, moved, or has its atoms in another order, up to 0.01 Å."""
        return in_one_form(unpacked(inputs))

    def scaffolds(self, dataset: Dataset) -> list[str]:
        """The ring systems of every molecule (Bemis & Murcko 1996)."""
        store = dataset.store
        smiles = store.smiles[dataset.rows].tolist() if isinstance(store, AtomStore) else [""] * len(dataset)
        return [scaffold(text, dataset.where(place)) for place, text in enumerate(smiles)]

    def fingerprints(self, example: Example) -> np.ndarray:
        """(k,) Morgan's environments of a molecule, or those of the bonds that distances show."""
        smiles = example.store.smiles[example.index] if isinstance(example.store, AtomStore) else ""
        return fingerprint(unpacked(example.inputs), smiles)

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Morgan fingerprints and RDKit's descriptors where every molecule is known; else shares of elements and a
        histogram of distances."""
        return classical_features([train, *others], self.spec.cutoff)

    def classical_elements(self, dataset: Dataset) -> Any:
        """What stands around every atom, how far; where the file names residues, also around those beside its own."""
        return element_features(dataset, self.spec.cutoff)

    def describe(self) -> dict[str, Any]:
        said = {"kind": "atoms", "element": "atom", "length": self.spec.length, "cutoff": self.spec.cutoff}
        return said | {"hydrogens": self.spec.hydrogens, "conformers": self.spec.conformers}

    def save(self, folder: Path) -> None:
        write_json(folder / "domain.json", {"spec": self.spec.plain(), "learned": {}})


def count_pairs(store: AtomStore, cutoff: float) -> np.ndarray:
    """(n,) pairs of neighbours of each structure, both directions counted."""
    found = []
    for start in range(0, len(store), COUNTED):
        structures = [store.structure(i) for i in range(start, min(start + COUNTED, len(store)))]
        batch = batch_of(structures, cutoff, torch.float64)
        assert batch.edges is not None
        found.append(torch.bincount(batch.segments[batch.edges[1]], minlength=len(batch)).numpy())
    return np.concatenate([np.zeros(0, np.int64), *found])
