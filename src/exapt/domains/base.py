"""What a field must provide: files -> Dataset -> Batch, and what may be hidden in a batch."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, final

import numpy as np
import torch
from pydantic import Field

from exapt.batch import Batch
from exapt.domains.views import Transformation
from exapt.errors import InputError
from exapt.spec import Spec


class Source(Spec):
    """Where examples come from, and which columns of the file matter."""

    later = ("also",)

    path: str
    """A file, a folder of files of one kind, a member of an archive `file.zip::member`, or `hf:owner/name` (optionally
    `hf:owner/name:split` or `hf:owner/name:config:split`). Pictures that libraries carry: `sklearn:digits`,
    `sklearn:photos`, `skimage:photos`, `skimage:textures` and `skimage:inked`. Pictures with boxes: a folder of Pascal
    VOC's or COCO's form, `crops:FOLDER`, `sklearn:digit-scenes`, `sklearn:digit-single`, `collage:FILE.npz` and
    `collage-single:FILE.npz` (see the page on detection). DNA: `shuffled:FILE` (see the page on genomes)."""
    column: str | None = None
    """The column or key that holds the text, sequence or picture; None picks the field's usual name."""
    label: str | list[str] | None = None
    """The column(s) that hold the label; per-element labels are strings or lists as long as the example. For FASTA:
    a `key=value` of the headers, or a second FASTA (beside the first, or in the same archive) with the same names."""
    group: str | None = None
    """A column whose equal values must stay on one side of a split."""
    split: str | None = None
    """A column that says train, valid or test for each example. A column `validation` beside a column `set` that is
    True turns train into valid (the FLIP benchmarks' convention)."""
    mask: str | None = None
    """A column (or second FASTA) of 0 and 1 as long as the example: per-element labels under a 0 are missing, which
    is written `MISSING` in a string of labels and None in a list."""
    record: Literal["file", "line", "paragraph"] | None = None
    """What one example of a .txt file is; paragraphs end at blank lines. None: text takes the whole file, sequences
    one a line."""
    limit: int | None = None
    """Read at most so many examples, from the start."""
    header: list[str] | None = Field(default=None, min_length=1)
    """Names of the columns of a csv or tsv that has no header line."""
    also: list[Source] = []
    """Further sources of the same field, read after this one, each with keys of its own (`limit` says how much of it).
    All columns are there for all examples, missing where a source lacks them; the column `source` says whence each
    example came."""

    def each(self) -> list[Source]:
        """This source and the further ones, one by one, in order."""
        alone = self.model_copy(update={"also": []})
        return [alone, *(one for further in self.also for one in further.each())]

    @property
    def name(self) -> str:
        """What messages and reports call it."""
        return " + ".join(one.path for one in self.each())


MISSING = "?"
"""A per-element label that is not known, in a string of labels."""


@dataclass(frozen=True)
class Arrays:
    """Examples in memory: the source for Python users. Build it with `exapt.domains.from_arrays`."""

    values: Sequence[Any] | np.ndarray
    """Texts or sequences (n,), or pictures (n, H, W), (n, H, W, C) or (n, 1 | 3, H, W)."""
    columns: Mapping[str, Sequence[Any] | np.ndarray] = field(default_factory=dict)
    """Labels, groups and splits by name, (n,) each."""
    label: str | list[str] | None = None
    group: str | None = None
    split: str | None = None
    path: str = "memory"
    """The name in messages."""

    @property
    def name(self) -> str:
        """What messages and reports call it."""
        return self.path


@dataclass(frozen=True)
class Inputs:
    """What the elements of a domain look like to a backbone."""

    kind: Literal["tokens", "pictures", "nodes", "atoms", "quantities"]
    vocabulary: int = 0
    """Number of token ids (kind 'tokens'), or of atomic numbers and the mask's 0 (kind 'atoms')."""
    special: Mapping[str, int] = field(default_factory=dict)
    """Ids of pad, unknown, start, end, mask (kind 'tokens'); of mask (kind 'atoms')."""
    complement: tuple[int, ...] = field(default=(), repr=False)
    """The id on the other strand of every id, where tokens have one (kind 'tokens' of DNA)."""
    channels: int = 0
    """Colour channels (kind 'pictures')."""
    patch: int = 0
    """Side of a square patch in pixels (kind 'pictures'); an element is one patch."""
    mean: tuple[float, ...] = ()
    """(C,) each channel's mean, which was taken off the raw values; () where nothing was (kind 'pictures'); or the mean
    of each quantity's logarithm in the corpus, which was not (kind 'quantities')."""
    spread: tuple[float, ...] = ()
    """(C,) each channel's deviation, which they were then divided by; () as above."""
    features: int = 0
    """Numbers that describe a node (kind 'nodes'), which `Batch.edges` join; or quantities of a row, whose logarithms
    follow the number of its regime (kind 'quantities')."""
    regimes: int = 1
    """How many laws there are (kind 'quantities')."""
    edge_features: int = 0
    """Numbers that describe an edge (kind 'nodes'); 0: edges are alike."""
    cutoff: float = 0.0
    """Å within which atoms are neighbours (kind 'atoms')."""
    length: int = 0
    """The longest example in elements, ends included."""
    letters: str = ""
    """What ids after the special ones stand for, where each is one letter: residues (kind 'tokens')."""


@dataclass(frozen=True)
class Example:
    """One example as the data set holds it, before packing."""

    inputs: np.ndarray
    """Token ids (n,), a picture (H, W, C) in uint8 or float, a node's number (1,), or a graph or atoms packed into one
    array."""
    index: int
    """Its row in the store."""
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    element_targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    store: Store | None = None
    """Where it stands, for examples that are seen with their surroundings: a node with its graph."""


class Store(Protocol):
    """Random access to raw examples; may be memory-mapped and larger than memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...

    @property
    def lengths(self) -> np.ndarray:
        """(n,) elements of each example, without any ends that `collate` adds."""
        ...

    def fingerprint(self) -> str:
        """A content hash that does not depend on where the files lie."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Examples of one source in file order, with raw columns and, once a task has read them, targets."""

    store: Store
    rows: np.ndarray
    """(n,) which example of the store stands at each place; a subset keeps the store and picks rows."""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Raw values per example (labels, groups, splits), (n,) each, as read."""
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Encoded labels per example, (n, …) each."""
    element_targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Encoded labels per element, object arrays (n,) of arrays each as long as its example."""
    source: str = "memory"
    """The path, for messages."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """How many records were left out when reading, by reason."""
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Which columns the source named as `label`, `group` and `split`."""
    parts: tuple[tuple[str, int], ...] = ()
    """Of several sources: the path of each, and the row of the store that its examples begin at."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        return Example(
            inputs=self.store[int(self.rows[index])],
            index=int(self.rows[index]),
            targets={k: v[index] for k, v in self.targets.items()},
            element_targets={k: v[index] for k, v in self.element_targets.items()},
            store=self.store,
        )

    @property
    def lengths(self) -> np.ndarray:
        """(n,) elements of each example."""
        return self.store.lengths[self.rows]

    def where(self, place: int) -> str:
        """File and row of an example for messages, counted from 1 below any header."""
        row = int(self.rows[place])
        path, first = next((part for part in reversed(self.parts) if part[1] <= row), (self.source, 0))
        return f"{path}: row {row - first + 1}"

    def subset(self, places: Sequence[int] | np.ndarray) -> Self:
        """The examples at some places, in the order asked for."""
        at = np.asarray(places, dtype=np.int64)
        return replace(
            self,
            rows=self.rows[at],
            columns={k: v[at] for k, v in self.columns.items()},
            targets={k: v[at] for k, v in self.targets.items()},
            element_targets={k: v[at] for k, v in self.element_targets.items()},
        )

    def column(self, name: str) -> np.ndarray:
        """A raw column; raises `InputError` naming the file and the columns there are."""
        if name not in self.columns:
            there = ", ".join(sorted(self.columns)) or "none"
            raise InputError(f"{self.source}: no column '{name}' was read; there are: {there}")
        return self.columns[name]

    def fingerprint(self) -> str:
        """A content hash of the examples, their order and their columns."""
        parts = hashlib.sha256(self.store.fingerprint().encode())
        parts.update(np.ascontiguousarray(self.rows, dtype=np.int64).tobytes())
        for name in sorted(self.columns):
            parts.update(json.dumps([name, self.columns[name].tolist()], default=np.ndarray.tolist).encode())
        return parts.hexdigest()[:16]


class Masked(NamedTuple):
    """A batch with something hidden, and what was hidden."""

    batch: Batch
    """What the backbone may see: tokens replaced in place, or only the visible patches."""
    where: torch.Tensor
    """(M,) places of the hidden elements among all N elements of the unhidden batch."""
    target: torch.Tensor
    """(M,) original token ids, or (M, patch · patch · C) pixels normalised patch by patch."""
    queries: Batch | None = None
    """Where the elements were removed rather than replaced: M empty elements with positions and offsets (B + 1,)."""


class Domain(ABC):
    """One field of data. Every random choice takes an explicit generator."""

    spec: Spec
    inputs: Inputs
    baseline: ClassVar[str] = "classical features"
    """What `classical` gives, in words for the report."""

    @property
    def transductive(self) -> bool:
        """Whether examples lie in one whole that is always seen, labels apart: the nodes of a graph. Their test part
        then stays in the corpus, as the field does it."""
        return False

    @final
    def read(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        """Read a source into a data set, and the further ones it names after it."""
        from exapt.domains.joining import joined  # not above: it is built on this file

        if isinstance(source, Arrays) or not source.also:
            return self.read_one(source, cache)
        return joined([self.read_one(one, cache) for one in source.each()], self.end_to_end)

    @abstractmethod
    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        """Read a single source; large corpora are encoded once into `cache` and memory-mapped from there."""

    def end_to_end(self, stores: Sequence[Store]) -> Store:
        """Several stores as one, nothing copied."""
        from exapt.domains.stores import JoinedStore  # not above, as `joined`

        return JoinedStore(stores)

    @abstractmethod
    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pack examples; float pictures in (B, C, H, W), token ids as int64 with any ends added."""

    def collate_training(self, examples: Sequence[Example]) -> Batch:
        """As `collate`, for a step of training: it may draw a part of what surrounds the examples."""
        return self.collate(examples)

    @abstractmethod
    def mask(self, batch: Batch, ratio: float, rng: torch.Generator) -> Masked:
        """Hide a share of each example's elements."""

    def windows(self, dataset: Dataset, phase: int = 0) -> Dataset:
        """The data set cut to examples no longer than `inputs.length`; `phase` shifts where the cuts fall."""
        return dataset

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        """Independent random views of every example, each a batch of as many examples in the same order."""
        raise InputError(f"{type(self).__name__}: this domain has no views")

    def viewing(self, changes: Mapping[str, Any]) -> Self:
        """The same domain with some keys of its views set otherwise."""
        raise InputError(f"objective.viewing: {type(self).__name__} has no keys of views to change; leave it out")

    def transformations(self) -> Sequence[Transformation]:
        """Named changes that a representation may be invariant to; by default none."""
        return ()

    def canonical(self, inputs: np.ndarray) -> np.ndarray:
        """An example's stored inputs in one form, equal for examples that mean the same (DNA: both strands)."""
        return inputs

    def without(self, corpus: Dataset, tests: Dataset) -> Dataset:
        """A corpus without the parts of its examples that test examples share, where the field has such (DNA)."""
        return corpus

    def fingerprints(self, example: Example) -> np.ndarray:
        """(k,) uint64 hashes of the example's parts, for overlap with other data."""
        raise InputError(f"{type(self).__name__}: this domain has no fingerprints")

    def scaffolds(self, dataset: Dataset) -> list[str]:
        """A name for each example's scaffold, for a split that keeps those of one scaffold together."""
        raise InputError(f"{dataset.source}: split.by=scaffold is for molecules; valid: domain.kind=atoms or molecule")

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        """A random change that keeps what a batch means (for DNA, the other strand); by default none."""
        return batch

    def kept(self, dataset: Dataset) -> np.ndarray:
        """(n,) how many elements of each example `collate` keeps; the rest, at its end, is cut off."""
        return dataset.lengths

    def cost(self, dataset: Dataset) -> np.ndarray:
        """(n,) what each example counts for in `batch_elements`: elements, or whatever the field's work grows with."""
        return self.kept(dataset)

    def truncated(self, dataset: Dataset) -> int:
        """How many examples are longer than `collate` keeps."""
        return int((self.kept(dataset) < dataset.lengths).sum())

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Features (n, p), dense or scipy-sparse, of the field's classical baseline (TF-IDF, k-mers, pixels).

        One matrix for `train` and one for each of the others; vocabularies and weights are learnt on `train` alone.
        """
        raise InputError(f"{type(self).__name__}: this domain has no classical baseline")

    def classical_raw(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """As `classical`, from each example's own values alone, where that is something else: a node's features."""
        raise InputError(f"{type(self).__name__}: its classical baseline has no raw form; use features=usual")

    def classical_elements(self, dataset: Dataset) -> Any:
        """Features (N, p) of every element that `collate` keeps, for the baseline of per-element tasks."""
        raise InputError(f"{type(self).__name__}: this domain has no classical baseline for single elements")

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Plain facts for the report: what an element is, how many kinds, the longest example."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write whatever was learned from data (a tokenizer) beside the spec, as JSON."""
