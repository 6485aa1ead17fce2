"""Molecules as sequences of actions: atom by atom and ring by ring, in a grammar that ends in nothing but molecules."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from exapt.batch import Batch, offsets_of
from exapt.domains import molecule_graph as graphs
from exapt.domains.atom_features import molecular_features, molecular_fingerprint
from exapt.domains.atom_molecules import rdkit
from exapt.domains.base import Arrays, Dataset, Example, Source
from exapt.domains.gathering import read_tokens
from exapt.domains.molecule_graph import REASONS, LeftOutError
from exapt.domains.molecule_selfies import SelfiesWriting
from exapt.domains.molecule_writing import ActionWriting, Guide, Writing
from exapt.domains.opening import TABLES, File
from exapt.domains.pieces import Piece
from exapt.domains.records import Format, Opened, open_source
from exapt.domains.scaffolds import scaffold
from exapt.domains.spans import SpanViews
from exapt.domains.text import as_texts
from exapt.domains.tokens import SPECIAL, TokenDomain
from exapt.errors import InputError, nearest
from exapt.spec import Spec, digest

MOLECULES = Format(
    ("smiles", "canonical_smiles", "smile", "mol", "structure"),
    frozenset({".smi", ".smiles", ".txt"}) | TABLES,
    "line",
    "SMILES, one a line (.smi, .txt), or in a column (.csv, .tsv, .jsonl, .parquet)",
)
CARRIED = {"rdkit:nci": "NCI/first_5K.smi"}
"""Sets of SMILES that RDKit carries: 5,000 of the National Cancer Institute's."""


class MoleculeSpec(Spec):
    """Molecules: in which order their atoms are written, and how long an example may be."""

    kind: Literal["molecule"] = "molecule"
    writing: Literal["graph", "selfies"] = "graph"
    """Actions that build the graph, whose mask lets nothing end but molecules; or SELFIES' symbols, for comparison."""
    length: int = Field(default=128, ge=4)
    """The longest example in actions or symbols, its start and end token included; longer molecules are left out."""
    order: Literal["canonical", "random"] = "canonical"
    """One order of atoms for each molecule, or in training another one each time it is met."""
    on_error: Literal["stop", "skip"] = "stop"
    """What to do with a row that is no SMILES: stop and name it, or leave it out and count it. Molecules that the
    grammar cannot write are always left out and counted by their reason."""
    views: SpanViews = SpanViews()
    """What objectives that compare views see of a molecule."""

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> MoleculeDomain:
        """The domain; nothing is learnt from a corpus."""
        return MoleculeDomain(self)

    def restore(self, folder: Path, learned: dict[str, Any]) -> MoleculeDomain:
        """The domain that was saved in a folder."""
        return MoleculeDomain(self)


class MoleculeDomain(TokenDomain):
    """Molecules of one part, without stereo. See `molecule_actions` and `molecule_selfies` for the ids."""

    baseline: ClassVar[str] = "Morgan fingerprints and RDKit's descriptors"
    ends: ClassVar[bool] = True
    form: ClassVar[Format] = MOLECULES

    def __init__(self, spec: MoleculeSpec) -> None:
        self.writing: Writing = SelfiesWriting() if spec.writing == "selfies" else ActionWriting()
        super().__init__(self.writing.vocabulary, spec.length)
        self.spec: MoleculeSpec = spec
        self.element = self.writing.element

    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        rdkit()
        opened = _open(source)
        key = f"{self.digest()}-{self.spec.length}"
        return read_tokens(opened, self.encode_piece, self.inputs.vocabulary, key, cache, REASONS)

    def encode_piece(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """Ids and lengths; a molecule that is left out has −1 − its place in `REASONS`."""
        rows, lengths = [np.zeros(0, dtype=np.int64)], []
        for at, text in enumerate(as_texts(piece)):
            words = text.split(None, 1)
            if not words or (piece.first + at == 1 and piece.noun == "line" and words[0].lower() == "smiles"):
                lengths.append(0)
                continue
            try:
                ids = self._actions(words[0])
            except LeftOutError as why:
                self._refuse(why, words[0], piece.where(at))
                lengths.append(-1 - why.reason)
            else:
                rows.append(np.array(ids, dtype=np.int64))
                lengths.append(len(ids))
        return np.concatenate(rows), np.array(lengths, dtype=np.int64)

    def _actions(self, smiles: str) -> list[int]:
        ids = self.writing.ids(graphs.parse(smiles))
        if len(ids) > self.room:
            raise LeftOutError(graphs.LONG)
        return ids

    def _refuse(self, why: LeftOutError, smiles: str, where: str) -> None:
        if why.reason == graphs.UNREADABLE and self.spec.on_error == "stop":
            raise InputError(
                f"{where}: '{smiles[:60]}' is no SMILES that RDKit can read; correct it, or set on_error=skip"
            )

    def encode(self, text: str) -> np.ndarray:
        """The ids (n,) of one SMILES, without ends; raises `InputError` for one that the grammar cannot write."""
        try:
            return np.array(self._actions(text), dtype=np.int64)
        except LeftOutError as why:
            raise InputError(f"'{text[:60]}': {why}; valid: one molecule of the valence table") from None

    def decode(self, ids: np.ndarray | torch.Tensor) -> str:
        """The canonical SMILES of some ids; '' where they build no molecule."""
        molecule = self.molecule(ids)
        return "" if molecule is None else graphs.smiles_of(molecule)

    def molecule(self, ids: np.ndarray | torch.Tensor) -> Any | None:
        """RDKit's molecule of some ids, sanitised; None where they build none."""
        return self.writing.molecule([int(i) for i in ids])

    def guide(self, count: int, length: int, atoms: int | None = None) -> Guide:
        """What `count` walks from the start token may write in at most `length` ids."""
        return self.writing.guide(count, length, length if atoms is None else atoms)

    def windows(self, dataset: Dataset, phase: int = 0) -> Dataset:
        """As they are: a part of a molecule is none, and longer ones were left out."""
        return dataset

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        """With `order: random`, every whole molecule walked anew from another atom on."""
        if self.spec.order == "canonical" or batch.element_targets:
            return batch
        draws = random.Random(int(torch.randint(2**62, (1,), generator=rng)))
        rows = [self._walked(part, draws) for part in batch.inputs.cpu().split(batch.lengths.tolist())]
        offsets = offsets_of(torch.tensor([len(row) for row in rows]))
        return replace(batch, inputs=torch.cat(rows).to(batch.inputs), offsets=offsets.to(batch.offsets))

    def _walked(self, ids: torch.Tensor, draws: random.Random) -> torch.Tensor:
        """One example in another order; as it is where it has hidden tokens, or would be too long or deep."""
        new = self.writing.shuffled(ids.tolist(), draws)
        if new is None:
            return ids
        whole = torch.tensor([SPECIAL["start"], *new, SPECIAL["end"]])
        return whole if len(whole) <= self.inputs.length else ids

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Counts of Morgan's environments beside descriptors, scaled on `train`."""
        return list(molecular_features([self.smiles(dataset) for dataset in (train, *others)]))

    def smiles(self, dataset: Dataset) -> list[str]:
        """The canonical SMILES of every example."""
        return [self.decode(dataset.store[int(row)]) for row in dataset.rows]

    def scaffolds(self, dataset: Dataset) -> list[str]:
        """The ring systems of every molecule (Bemis & Murcko 1996)."""
        return [scaffold(text, dataset.where(place)) for place, text in enumerate(self.smiles(dataset))]

    def fingerprints(self, example: Example) -> np.ndarray:
        """(k,) hashes of Morgan's environments."""
        return molecular_fingerprint(self.decode(example.inputs))

    def learned(self) -> dict[str, Any]:
        return {}

    def digest(self) -> str:
        """As before there was a choice of `writing`, where it is the first one."""
        given = self.spec.model_dump(mode="json", exclude={"length", "views"})
        if self.spec.writing == "graph":
            del given["writing"]
        return digest([given, self.learned(), ""])

    def describe(self) -> dict[str, Any]:
        facts = {"atoms and bonds": self.writing.atoms, "order": self.spec.order}
        return super().describe() | facts | {"writing": self.spec.writing}


def _open(source: Source | Arrays) -> Opened:
    """A source found; `rdkit:nci` is a file that RDKit carries."""
    if isinstance(source, Arrays) or not source.path.startswith("rdkit:"):
        return open_source(source, MOLECULES)
    if source.path not in CARRIED:
        raise InputError(f"{source.path}: no such built-in set; {nearest(source.path, CARRIED)}")
    from rdkit import RDConfig

    return Opened(source, MOLECULES, [File(Path(RDConfig.RDDataDir) / CARRIED[source.path])])
