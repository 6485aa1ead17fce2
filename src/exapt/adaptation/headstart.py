"""LP-FT: the head starts as the converged linear probe (Kumar et al. 2022, arXiv 2202.10054)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exapt.adaptation.answers import answers, score_of, weights
from exapt.adaptation.linear import probe_many
from exapt.adaptation.probe import ProbeSpec, pairs_of_runs
from exapt.adaptation.tuning import Tuning
from exapt.batch import Features
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError


def start_from_probe(tuning: Tuning, domain: Domain, train: Dataset, valid: Dataset, spec: ProbeSpec) -> dict[str, Any]:
    """Set the head's last layer to a probe fitted on `train` of what that layer is given; returns the probe's record.

    The standardisation is folded into the weights, so that the network's outputs are the probe's. `valid` chooses the
    penalty and is not fitted.
    """
    task, last = tuning.task, last_layer(tuning.head, tuning.task.outputs)
    parts = [part for part in (train, valid) if len(part)]
    said = [answers(task, part, domain) for part in parts]
    sizes = [len(one.labels) for one in said] + [0] * (2 - len(parts))
    labels = np.concatenate([one.labels for one in said])
    probe = probe_many(
        torch.cat([_given(tuning, last, domain, part) for part in parts]),
        labels,
        pairs_of_runs([sizes]),
        kind=said[0].kind,
        outputs=task.outputs,
        penalties=spec.penalties,
        by=spec.choose,
        score=lambda output, given: score_of(task, output, given),
        weights=[weights(task, labels)],
        refit=False,
    )[0]
    with torch.no_grad():
        last.weight.copy_(probe.weights)
        last.bias.copy_(probe.intercept)
    return probe.record


def last_layer(head: nn.Module, outputs: int) -> nn.Linear:
    """The linear layer that gives a head's outputs; raises `InputError` where there is none."""
    linear = [part for part in head.modules() if isinstance(part, nn.Linear) and part.out_features == outputs]
    if not linear or linear[-1].bias is None:
        raise InputError("adapt.probe_first: this task's head does not end in a linear layer; leave probe_first out")
    return linear[-1]


def _given(tuning: Tuning, last: nn.Linear, domain: Domain, dataset: Dataset) -> Tensor:
    """What the last layer is given for each example or kept element, in evaluation mode."""
    caught: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _layer, inputs: caught.append(inputs[0]))

    def before(features: Features) -> Tensor:
        tuning.head(features)
        return caught.pop()

    try:
        return tuning.output(domain, dataset, before)
    finally:
        handle.remove()
