"""A power law learnt from labelled rows: its exponents by least squares, and then what it leaves by a small network.

Trained together the two share the work at will, and the exponents come out as anything; so the law is solved first, in
closed form, and the network, which starts at zero, learns the rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.backbones.powerlaw import PowerLaw
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.domains.label_values import numbers
from exapt.domains.labels import one_column, row
from exapt.domains.quantities import QuantitiesDomain
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.spec import Spec

TARGET = "logarithm of the label"
WEAK = 1e-8
"""Prior precision of the coefficients in least squares: what never varied comes out as 0."""


class LawFacts(Spec):
    """What least squares found in the corpus, a list for every regime."""

    constants: list[float]
    """log C."""
    exponents: list[list[float]]
    """One for each of `domain.columns`."""
    noise: float
    """Deviation of the labels' logarithms from the law, over all regimes."""
    information: list[list[list[float]]]
    """ΦᵀΦ / noise², Φ = (1, log x)."""
    moment: list[list[float]]
    """Φᵀ log y / noise²."""


class PowerLawObjectiveSpec(PretextSpec):
    """Learn y = C Π xⱼ^aⱼ from `corpus.label`: the law by least squares, then the residual network."""

    kind: Literal["powerlaw"] = "powerlaw"
    law: LawFacts | None = None
    """What was found; None: it is worked out from the corpus."""

    @property
    def reads_labels(self) -> bool:
        return True

    def check_network(self, network: Spec) -> None:
        kind = network.plain()["kind"]
        if kind != "powerlaw":
            raise InputError(f"objective.kind=powerlaw needs backbone.kind=powerlaw, not {kind}")

    def settled(self, dataset: Dataset, domain: Domain) -> Self:
        """With the law written out; raises `InputError` for fewer rows than coefficients, and for bad labels."""
        if self.law is not None:
            return self
        regimes, logs = _quantities(domain).logarithms(dataset)
        return self.model_copy(update={"law": least_squares(dataset, regimes, logs, domain.inputs.regimes)})

    def attach(self, dataset: Dataset, domain: Domain) -> Dataset:
        """The corpus with the labels' logarithms."""
        return replace(dataset, targets={**dataset.targets, TARGET: log_labels(dataset)})

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """Puts the law into the backbone; raises `InputError` where it is not known, or the backbone has none."""
        if self.law is None:
            raise InputError("objective.law is not known before a corpus is read")
        if not isinstance(backbone, PowerLaw):
            raise InputError("objective.kind=powerlaw needs backbone.kind=powerlaw")
        with torch.no_grad():
            for name in ("constants", "exponents", "information", "moment"):
                value = getattr(backbone.law, name)
                value.copy_(torch.tensor(getattr(self.law, name), dtype=value.dtype))
        return PowerLawObjective(max(self.law.noise, 1e-6))


class PowerLawObjective(Objective):
    """Mean squared error of the logarithm, in units of the noise; the law itself does not move."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = noise

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        if TARGET not in batch.targets:
            raise InputError("objective.kind=powerlaw: these rows carry no labels; attach them to the data set")
        assert isinstance(backbone, PowerLaw)
        regimes, logs = backbone.split(batch)
        correction, _ = backbone.residual(backbone.seen(regimes, logs))
        left: Tensor = batch.targets[TARGET].to(correction) - backbone.law(regimes, logs).detach()
        error = (left - correction) / self.noise
        return Loss(error.square().mean(), len(batch), {"law alone": (left / self.noise).square().mean().detach()})


def log_labels(dataset: Dataset) -> np.ndarray:
    """(n,) logarithms of the corpus's label; raises `InputError` naming file and row of what has none."""
    name = one_column(dataset, "powerlaw")
    values = numbers(dataset, name, "a power law needs positive numbers")
    bad = np.flatnonzero(~(values > 0))
    if len(bad):
        found = "empty" if np.isnan(values[bad[0]]) else f"{values[bad[0]]:g}"
        raise InputError(f"{row(dataset, int(bad[0]))}: '{name}' is {found}; a power law needs positive numbers")
    return np.asarray(np.log(values))


def least_squares(dataset: Dataset, regimes: np.ndarray, logs: np.ndarray, count: int) -> LawFacts:
    """The law of every regime that has rows; one that has none is left at 0, without information."""
    targets, size = log_labels(dataset), 1 + logs.shape[1]
    rows = np.column_stack([np.ones(len(logs)), logs])
    found = np.zeros((count, size))
    for regime in np.unique(regimes).tolist():
        here = regimes == regime
        varied = int((np.ptp(logs[here], axis=0) > 0).sum())
        if here.sum() <= 1 + varied:
            raise InputError(
                f"{dataset.source}: {int(here.sum())} rows in regime {regime + 1} for {1 + varied} coefficients; "
                "give more rows, or fewer of domain.columns"
            )
        gram = rows[here].T @ rows[here] + WEAK * np.eye(size)
        found[regime] = np.linalg.solve(gram, rows[here].T @ targets[here])
    left = targets - (rows * found[regimes]).sum(1)
    noise = float(max(np.sqrt((left**2).sum() / max(len(left) - size, 1)), 1e-6))
    masks = [regimes == r for r in range(count)]
    facts: dict[str, Any] = {
        "information": [(rows[m].T @ rows[m] / noise**2).tolist() for m in masks],
        "moment": [(rows[m].T @ targets[m] / noise**2).tolist() for m in masks],
    }
    return LawFacts(
        constants=found[:, 0].tolist(),
        exponents=found[:, 1:].tolist(),
        noise=noise,
        **facts,
    )


def _quantities(domain: Domain) -> QuantitiesDomain:
    if not isinstance(domain, QuantitiesDomain):
        raise InputError("objective.kind=powerlaw needs domain.kind=quantities")
    return domain
