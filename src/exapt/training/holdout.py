"""A part of the corpus that is only evaluated on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.domains.cutting import window_dataset
from exapt.errors import InputError
from exapt.training.batches import Batches
from exapt.training.launch import Launch
from exapt.training.seeds import derive
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Trainable

BLOCK = 16
"""Records longer than so many windows (a genome is one record) are first cut into blocks of that size."""
MOST = 1024
"""The largest number of windows that are evaluated; more would cost time and tell little more."""


def hold_out(dataset: Dataset, domain: Domain, share: float, seed: int) -> tuple[Dataset, Dataset | None]:
    """The examples to train on, and those held out (None with share 0), which never share a record or a block.

    Raises `InputError` when nothing would be left to train on.
    """
    if share == 0:
        return dataset, None
    if domain.inputs.kind == "tokens":
        dataset = window_dataset(dataset, BLOCK * domain.inputs.length)
    count = max(1, round(share * len(dataset)))
    if count >= len(dataset):
        raise InputError(f"{dataset.source}: {len(dataset)} example cannot be split; set training.holdout to 0")
    order = np.random.default_rng(derive(seed, "hold out")).permutation(len(dataset))
    return dataset.subset(np.sort(order[count:])), dataset.subset(np.sort(order[:count]))


class HeldOut:
    """The loss on held-out windows, with the same windows and the same masks at every call."""

    def __init__(self, model: Trainable, domain: Domain, held: Dataset, spec: TrainingSpec, launch: Launch) -> None:
        self.model, self.launch, self.seed = model, launch, derive(spec.seed, "held out")
        windows = domain.windows(held, 0)
        chosen = np.random.default_rng(self.seed).permutation(len(windows))[:MOST]
        self.batches = Batches(
            windows.subset(np.sort(chosen)),
            domain.collate,
            **{**spec.batching(), "bucket": True},
            shuffle=False,
            cost=domain.cost,
        )
        self.rng = torch.Generator()

    def __call__(self) -> dict[str, float]:
        """`loss` and every term, means over all items of all windows; nothing where no item counted.

        A single example has none to be compared with, and one without a label teaches no classes: a mean over none
        of them would look like the lowest loss there can be, and the first evaluation like the best.
        """
        sums, names = torch.zeros(0), ["loss"]
        for number, batch in self._share():
            self.rng.manual_seed(derive(self.seed, number))
            loss = self.model(batch.to(self.launch.device), self.rng)
            names = ["loss", *loss.terms]
            means = [torch.as_tensor(value).detach().cpu().double() for value in (loss.value, *loss.terms.values())]
            row = torch.stack([torch.ones((), dtype=torch.double), *means]) * loss.count
            sums = sums + row if len(sums) else row
        total = self.launch.total(sums).tolist()
        return {name: value / total[0] for name, value in zip(names, total[1:], strict=True) if total[0]}

    def _share(self) -> Iterator[tuple[int, Batch]]:
        """This process's batches with their numbers among all."""
        steps = self.batches.steps(0, ranks=self.launch.ranks)
        for number, places in enumerate(places for step in steps for places in step):
            if number % self.launch.ranks == self.launch.rank:
                yield number, self.batches.load(self.batches.dataset, places)
