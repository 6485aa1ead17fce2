"""A probe under differential privacy: pre-trained features are free, and only the labels' linear map is paid for.

"Pre-training buys private accuracy" (De et al. 2022, arXiv 2204.13650): a linear map on frozen features has few weights
to spread the noise over. What is promised holds for the labelled examples of the fit, not for the pre-training corpus.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from exapt.adaptation.answers import answers, score_of
from exapt.adaptation.dpsgd import Privacy, Schedule, train_privately
from exapt.adaptation.features import times_wider
from exapt.adaptation.fitted import Start
from exapt.adaptation.judging import loss_of, varied
from exapt.adaptation.knn import targets
from exapt.adaptation.probe import FrozenSpec, LinearFitted
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.tasks.base import Task


class PrivateProbeSpec(FrozenSpec):
    """A linear probe trained by DP-SGD. Nothing is tuned on the labels: that would have to be paid for as well."""

    kind: Literal["private-probe"] = "private-probe"
    epsilon: PositiveFloat = 2.0
    """ε: no training example changes the odds of any outcome by more than e^ε, but for δ."""
    delta: float = Field(default=1e-5, gt=0, lt=1)
    """δ; well below one over the number of labels."""
    clip: PositiveFloat = 1.0
    """The norm that each example's gradient is cut to."""
    epochs: PositiveInt = 30
    """Expected passes over the labels."""
    batch: PositiveInt = 256
    """Expected examples a step; with fewer labels every step takes all of them."""
    lr: PositiveFloat = 2.0
    """Step size, constant."""

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> PrivateProbeFitted:
        """Train on the training part; validation is scored for the record and chooses nothing."""
        inputs = torch.as_tensor(self.inputs(start, task, train))
        known, wanted, loss = _wanted(task, train, start)
        network = nn.Linear(inputs.shape[1], task.outputs)
        nn.init.zeros_(network.weight)
        nn.init.zeros_(network.bias)
        privacy = Privacy(self.epsilon, self.delta, self.clip)
        schedule = Schedule(self.epochs, self.batch, self.lr)
        record = train_privately(network, inputs[known], wanted[known], loss, privacy, schedule, seed)
        learned = network.weight.detach().double(), network.bias.detach().double()
        fitted = PrivateProbeFitted(self, start.domain, task, record | {"diverged": False}, start, *learned)
        fitted.record |= _judged(fitted, valid)
        return fitted

    def inputs(self, start: Start, task: Task, dataset: Dataset) -> np.ndarray:
        """(n, D) features, each vector centred and of length 1 by itself: other examples' statistics would leak."""
        rows = self.features(start, task, dataset)
        if not len(rows):
            return np.zeros((0, start.network(self.kind).width * times_wider(self.pooling)), np.float32)
        centred = rows - rows.mean(axis=1, keepdims=True)
        return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12))


class PrivateProbeFitted(LinearFitted):
    """A linear map that was trained privately."""

    described_by = PrivateProbeSpec


def _wanted(task: Task, train: Dataset, start: Start) -> tuple[np.ndarray, Tensor, nn.Module]:
    """Which examples have all their labels, the labels as the loss takes them, and the loss.

    Raises `InputError` where the unit of privacy, one example with its label, does not fit the task.
    """
    if task.per_element:
        raise InputError("adapt.kind=private-probe: labels of elements; privacy is promised for examples only")
    said = answers(task, train, start.domain)
    if said.kind == "values":
        raise InputError(
            "adapt.kind=private-probe: classes only; the scale of a regression is taken from its labels, which is not "
            "private"
        )
    if said.kind == "classes":
        return said.labels >= 0, torch.as_tensor(np.maximum(said.labels, 0)), nn.CrossEntropyLoss()
    labels = torch.as_tensor(said.labels, dtype=torch.float32)
    return ~np.isnan(said.labels).any(axis=1), labels.nan_to_num(), nn.BCEWithLogitsLoss()


def _judged(fitted: PrivateProbeFitted, valid: Dataset) -> dict[str, float]:
    if not len(valid):
        return {"valid_score": float("nan"), "valid_loss": float("nan")}
    said, output = answers(fitted.task, valid, fitted.domain), fitted.outputs(valid)
    wanted = targets(said)
    score = score_of(fitted.task, output, said.labels) if varied(wanted) else float("nan")
    return {"valid_score": score, "valid_loss": loss_of(output, wanted, said.kind)}
