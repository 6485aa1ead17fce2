"""Which examples make which batch: a plan for every pass, fixed by (seed, pass) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from exapt.batch import Batch
from exapt.domains.base import Dataset, Example
from exapt.errors import InputError
from exapt.training.seeds import derive

POOL = 64
"""Examples are sorted by length within so many steps' worth: enough to save padding, few enough to stay random."""
POOLS = 4
"""A pass has at least so many pools, so that a small data set's batches differ from pass to pass."""

Step = list[np.ndarray]
"""The micro-batches of one optimiser step, each the places of its examples."""


@dataclass(frozen=True)
class Batches:
    """Batches of a data set by number of examples or by number of elements.

    Elements are counted as the data set does, without the ends that `collate` may add. Iterating yields the batches
    of pass 0.
    """

    dataset: Dataset
    collate: Callable[[Sequence[Example]], Batch]
    batch: int | None = None
    """Examples in a micro-batch."""
    batch_elements: int | None = None
    """Elements a micro-batch may hold; an example longer than that raises `InputError`."""
    seed: int = 0
    bucket: bool = True
    """Sort by length within pools of steps; every example still comes once a pass."""
    shuffle: bool = True
    """False: the same order in every pass, for evaluation."""
    windows: Callable[[Dataset, int], Dataset] | None = None
    """Cuts long examples at a phase, which is drawn anew for every pass."""
    phases: int = 1
    """How many phases there are to draw from: the length of a window."""
    lengths: Callable[[Dataset], np.ndarray] | None = None
    """How many elements `collate` keeps of each example; None: all."""
    cost: Callable[[Dataset], np.ndarray] | None = None
    """What each example counts for in `batch_elements` and in sorting; None: its elements."""

    def __post_init__(self) -> None:
        if (self.batch is None) == (self.batch_elements is None):
            raise InputError(f"give either batch or batch_elements (found {self.batch}, {self.batch_elements})")
        if not len(self.dataset):
            raise InputError(f"{self.dataset.source}: no examples to make batches of")

    def phase(self, epoch: int) -> int:
        """Where a pass cuts its windows."""
        return derive(self.seed, "phase", epoch) % max(1, self.phases) if self.shuffle else 0

    def examples(self, epoch: int) -> Dataset:
        """The examples of a pass, windows cut."""
        return self.dataset if self.windows is None else self.windows(self.dataset, self.phase(epoch))

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The micro-batches of a pass in order, as places in `examples(epoch)`."""
        return [places for step in self.steps(epoch) for places in step]

    def steps(self, epoch: int, accumulate: int = 1, ranks: int = 1) -> list[Step]:
        """The steps of a pass, each of at most `accumulate · ranks` micro-batches; rank r takes every ranks-th.

        With `batch`, only the product of batch, accumulate and ranks decides which examples share a step. A step's
        micro-batches are a multiple of `ranks`: the largest is halved where it must be, and fewer than `ranks`
        examples of a last step may be left out.
        """
        lengths = self.costs_of(self.examples(epoch))
        rng = np.random.default_rng(derive(self.seed, "order", epoch))
        order = rng.permutation(len(lengths)) if self.shuffle else np.arange(len(lengths))
        parts = accumulate * ranks
        steps = []
        for pool in np.split(order, range(0, len(order), self._pool(lengths, parts))[1:]):
            ordered = pool[np.argsort(lengths[pool], kind="stable")] if self.bucket else pool
            micro = self._cut(ordered, lengths)
            groups = [micro[at : at + parts] for at in range(0, len(micro), parts)]
            steps += [group for group in (even(group, ranks) for group in groups) if group]
        if not steps:
            raise InputError(f"{self.dataset.source}: {len(lengths)} examples cannot feed {ranks} processes")
        return [steps[i] for i in rng.permutation(len(steps))] if self.shuffle and self.bucket else steps

    def load(self, examples: Dataset, places: np.ndarray) -> Batch:
        """Collate the examples at some places."""
        return self.collate([examples[i] for i in places.tolist()])

    def __iter__(self) -> Iterator[Batch]:
        examples = self.examples(0)
        return (self.load(examples, places) for places in self.plan(0))

    def __len__(self) -> int:
        return len(self.plan(0))

    def lengths_of(self, examples: Dataset) -> np.ndarray:
        """(n,) elements of each example as `collate` keeps them."""
        return np.asarray(self.lengths(examples) if self.lengths else examples.lengths)

    def costs_of(self, examples: Dataset) -> np.ndarray:
        """(n,) what each example counts for in `batch_elements`."""
        return np.asarray(self.cost(examples)) if self.cost else self.lengths_of(examples)

    def _pool(self, lengths: np.ndarray, parts: int) -> int:
        """How many examples are sorted together: a whole number of steps' worth."""
        if not self.bucket or (lengths == lengths[0]).all():
            return len(lengths)
        each = self.batch or max(1, int((self.batch_elements or 1) / max(1.0, float(lengths.mean()))))
        steps = len(lengths) / (each * parts)
        return each * parts * int(min(POOL, max(1, steps // POOLS)))

    def _cut(self, ordered: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        """Consecutive micro-batches of a pool."""
        if self.batch is not None:
            return [ordered[at : at + self.batch] for at in range(0, len(ordered), self.batch)]
        assert self.batch_elements is not None
        ends = lengths[ordered].cumsum()
        cuts, filled = [0], 0
        while cuts[-1] < len(ordered):
            upto = int(np.searchsorted(ends, filled + self.batch_elements, side="right"))
            if upto == cuts[-1]:
                raise InputError(
                    f"{self.dataset.source}: an example has {lengths[ordered[upto]]} elements, "
                    f"more than batch_elements = {self.batch_elements}; raise it, or give batch"
                )
            cuts.append(upto)
            filled = int(ends[upto - 1])
        return np.split(ordered, cuts[1:-1])


def even(group: Step, ranks: int) -> Step:
    """The micro-batches of a step, the largest halved until they share out evenly; what then still cannot is left."""
    group = list(group)
    while len(group) % ranks:
        largest = max(range(len(group)), key=lambda i: len(group[i]))
        if len(group[largest]) < 2:
            break
        group[largest : largest + 1] = np.array_split(group[largest], 2)
    return group[: len(group) // ranks * ranks]


class Feed:
    """This process's micro-batches, step after step and pass after pass, from any place on."""

    def __init__(self, batches: Batches, accumulate: int = 1, rank: int = 0, ranks: int = 1) -> None:
        self.batches, self.accumulate, self.rank, self.ranks = batches, accumulate, rank, ranks
        self.seek(0, 0)

    def seek(self, epoch: int, position: int) -> None:
        """Stand before step `position` of a pass; at the start it is planned afresh."""
        self.epoch, self.position = epoch, position
        self._examples = self.batches.examples(epoch)
        self._steps = self.batches.steps(epoch, self.accumulate, self.ranks)

    @property
    def per_epoch(self) -> int:
        """Steps in the pass at hand."""
        return len(self._steps)

    @property
    def micro_elements(self) -> float:
        """The mean number of elements of a micro-batch."""
        lengths = self.batches.lengths_of(self._examples)
        return float(lengths.sum()) / sum(len(step) for step in self._steps)

    def take(self) -> list[Batch]:
        """The micro-batches of the next step."""
        if self.position >= len(self._steps):
            self.seek(self.epoch + 1, 0)
        step = self._steps[self.position]
        self.position += 1
        return [self.batches.load(self._examples, places) for places in step[self.rank :: self.ranks]]
