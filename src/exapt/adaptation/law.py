"""Adapting a power law by its posterior: exponents near the source's, a smooth residual, and intervals.

See `law_posterior` for the model. Nothing is tuned, so training and validation labels are used alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from exapt.adaptation.combine import combine
from exapt.adaptation.fitted import Fitted, Saved, Start
from exapt.adaptation.law_posterior import (
    LEAST_SQUARES,
    Grid,
    Known,
    Point,
    Posterior,
    Rows,
    mixture_quantile,
    posterior,
)
from exapt.backbones.base import Backbone
from exapt.backbones.powerlaw import PowerLaw
from exapt.domains.base import Dataset, Domain
from exapt.domains.quantities import QuantitiesDomain
from exapt.errors import InputError
from exapt.spec import Spec
from exapt.tasks.base import Task
from exapt.tasks.regress import RegressTask

MOST = 2000
"""Labels that a residual is worked out for: its cost grows with their cube."""
CHOOSING = 400
"""Labels that the grid is weighed on, where there are more."""
LEVEL = 0.9


class LawSpec(Spec):
    """A power law whose exponents lie near those of the start, with a Gaussian process for what it leaves."""

    kind: Literal["powerlaw"] = "powerlaw"
    prior: Literal["start", "wide", "none"] = "start"
    """Where exponents are expected: near the start's; anywhere within about ±1; or least squares, which expects
    nothing (and then has no residual, and no intervals)."""
    law: bool = True
    """Whether there is a law at all; without one this is a Gaussian process."""
    residual: bool = True
    """Whether a smooth residual is learnt beside the law."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.law or self.residual):
            raise ValueError("law and residual are both off; nothing is left to learn")
        if self.prior == "none" and (not self.law or self.residual):
            raise ValueError("prior none is least squares; set law to true and residual to false")
        return self

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> Fitted:
        """The posterior of all labels; raises `InputError` where task or backbone do not serve."""
        domain, backbone = checked(start, task)
        both = combine(train, valid) if len(valid) else train
        assert isinstance(task, RegressTask)
        targets = np.log(task.truth(both)[:, 0])
        known = np.isfinite(targets)
        rows, targets = rows_of(backbone, domain, both.subset(np.flatnonzero(known))), targets[known]
        if self.residual and len(targets) > MOST:
            raise InputError(
                f"adapt.kind=powerlaw: {len(targets)} labels; the residual takes {MOST} at most; set residual to false"
            )
        found = self.posterior(backbone, rows, targets, seed)
        fitted = LawFitted(self, start.domain, task.calibrated(both), {"diverged": False}, backbone, found)
        fitted.record |= fitted.facts_of_law()
        return fitted

    def posterior(self, backbone: PowerLaw, rows: Rows, targets: np.ndarray, seed: int) -> Posterior:
        """Weighed on some of the labels where there are many, and drawn from all."""
        if self.prior == "none":
            return least_squares(backbone, rows, targets)
        grid = Grid() if self.residual else Grid(residuals=(0.0,))
        some = np.random.default_rng(seed).permutation(len(targets))[:CHOOSING]
        offset = self.prior == "start" and self.law and bool(np.abs(rows.offset).max(initial=0) > 0)
        known = known_of(backbone, self.prior)
        found = posterior(known, rows.some(some), targets[some], grid, law=self.law, offset=offset)
        return found.on(rows, targets)


@dataclass
class LawFitted(Fitted):
    """A posterior, and the network whose law and residual it goes on from."""

    spec: LawSpec
    network: PowerLaw
    found: Posterior

    def backbone(self) -> Backbone | None:
        return self.network

    def outputs(self, dataset: Dataset) -> Tensor:
        means, _ = self.found.predict(self._rows(dataset))
        task = self.task
        assert isinstance(task, RegressTask)
        return torch.from_numpy(task.standard(np.exp(self.found.weights @ means)[:, None]))

    def intervals(self, dataset: Dataset, level: float = LEVEL) -> np.ndarray | None:
        """(n, 2) between which a new measurement lies with a probability of `level`; None for least squares."""
        if self.spec.prior == "none":
            return None
        means, spreads = self.found.predict(self._rows(dataset))
        ends = [(1 - level) / 2, (1 + level) / 2]
        return np.exp(np.column_stack([mixture_quantile(e, self.found.weights, means, spreads) for e in ends]))

    def outside(self, dataset: Dataset) -> list[str]:
        """For every example the quantities that lie beyond those of the labels, '' where none does."""
        logs, learnt = self._rows(dataset).logs, self.found.rows.logs
        beyond = (logs < learnt.min(0) - 1e-9) | (logs > learnt.max(0) + 1e-9)
        names = np.array(_names(self.domain), dtype=object)
        return [", ".join(names[one]) for one in beyond]

    def facts_of_law(self) -> dict[str, Any]:
        """Exponents with 90 % intervals (least squares has none) for every regime that has labels, and the noise."""
        middle, spread = self.found.coefficients()
        shape = (self.network.inputs.regimes, -1)
        middle, spread = middle.reshape(shape)[:, 1:], 1.645 * spread.reshape(shape)[:, 1:]
        kept = 1 if self.spec.prior == "none" else 3
        said = [
            {
                n: [float(v) for v in (m, m - s, m + s)[:kept]]
                for n, m, s in zip(_names(self.domain), *pair, strict=True)
            }
            for pair in zip(middle, spread, strict=True)
        ]
        held = sorted(set(self.found.rows.regimes.tolist()))
        noise = float(self.found.weights @ np.array([p.noise for p in self.found.points]))
        facts: dict[str, Any] = {"exponents": {str(r + 1): said[r] for r in held} if self.spec.law else {}}
        return facts | ({} if self.spec.prior == "none" else {"noise": noise})

    def tensors(self) -> dict[str, Tensor]:
        found = self.found
        points = np.array([[p.move, p.width, p.residual, p.length, p.noise, p.offset] for p in found.points])
        arrays = {"weights": found.weights, "points": points, "targets": found.targets, "scale": found.scale}
        arrays |= {"logs": found.rows.logs, "regimes": found.rows.regimes, "offset": found.rows.offset}
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}

    @classmethod
    def restore(cls, saved: Saved) -> Self:
        """The model again from its folder."""
        spec, network = LawSpec.parse(saved.spec), saved.network()
        assert isinstance(network, PowerLaw)
        arrays = {name: tensor.numpy() for name, tensor in saved.tensors.items()}
        rows = Rows(arrays["regimes"], arrays["logs"], arrays["offset"])
        points = [Point(*one) for one in arrays["points"].tolist()]
        known = known_of(network, spec.prior)
        found = Posterior(known, points, arrays["weights"], rows, arrays["targets"], arrays["scale"], spec.law)
        return cls(spec, saved.domain, saved.task, saved.record, network, found)

    def _rows(self, dataset: Dataset) -> Rows:
        assert isinstance(self.domain, QuantitiesDomain)
        return rows_of(self.network, self.domain, dataset)


def checked(start: Start, task: Task) -> tuple[QuantitiesDomain, PowerLaw]:
    """Domain and backbone; raises `InputError` where a posterior of a power law makes no sense."""
    backbone = start.network("powerlaw")
    if not isinstance(backbone, PowerLaw) or not isinstance(start.domain, QuantitiesDomain):
        raise InputError("adapt.kind=powerlaw needs backbone.kind=powerlaw and domain.kind=quantities")
    if not isinstance(task, RegressTask) or task.outputs != 1 or not task.spec.log:
        raise InputError("adapt.kind=powerlaw needs one label and task: {kind: regress, log: true}")
    return start.domain, backbone


def known_of(backbone: PowerLaw, prior: str) -> Known:
    """What the start tells, or nothing."""
    law = backbone.law
    told = Known(law.information.numpy(), law.moment.numpy())
    return told if prior == "start" else Known(np.zeros_like(told.information), np.zeros_like(told.moment))


def least_squares(backbone: PowerLaw, rows: Rows, targets: np.ndarray) -> Posterior:
    """The least-squares law: of several that fit alike the one with the smallest exponents."""
    known = known_of(backbone, "none")
    return Posterior(known, [LEAST_SQUARES], np.ones(1), rows, targets, np.ones(rows.logs.shape[1]), True)


@torch.no_grad()
def rows_of(backbone: PowerLaw, domain: QuantitiesDomain, dataset: Dataset) -> Rows:
    """Regimes, logarithms in float64, and what the network's residual says."""
    regimes, logs = domain.logarithms(dataset)
    weight = backbone.law.exponents
    at = torch.from_numpy(regimes)
    offset, _ = backbone.residual(backbone.seen(at, torch.from_numpy(logs).to(weight.dtype)))
    return Rows(regimes, logs, offset.double().numpy())


def _names(domain: Domain) -> list[str]:
    assert isinstance(domain, QuantitiesDomain)
    return domain.spec.columns
