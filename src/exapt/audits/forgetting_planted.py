"""Planted cases for the audit of forgetting: handwritten digits, then the same with their pixels permuted.

A network of one hidden layer learns to read scikit-learn's digits (the source) and then digits whose 64 pixels stand in
another order (the target), with the same output layer: what it knew is overwritten unless something holds it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from exapt.adaptation import EwcSpec, Origin, ReplaySpec
from exapt.adaptation.anchor import AnchorBase, Anchored
from exapt.adaptation.anchors import together
from exapt.audits.base import Trial
from exapt.backbones.base import Backbone
from exapt.batch import Batch, Features
from exapt.domains import ImageSpec, from_arrays
from exapt.domains.base import Dataset, Domain
from exapt.evidence.forgetting import relative_rise
from exapt.evidence.paired import compare
from exapt.objectives.base import Loss, Objective
from exapt.objectives.guess import Guess
from exapt.training.batches import Batches
from exapt.training.loop import train
from exapt.training.seeds import derive
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining

if TYPE_CHECKING:
    from exapt.audits.forgetting import ForgettingAudit

HIDDEN = 128
SIMULATED = 200


class Perceptron(Backbone):
    """Pictures of 8 × 8 pixels to the logits of 10 digits, one element an example."""

    def __init__(self, seed: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.second = nn.Linear(64, hidden), nn.Linear(hidden, 10)
        self.width = 10

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.first, self.second]

    def forward(self, batch: Batch) -> Features:
        logits = self.second(torch.relu(self.first(batch.inputs.flatten(1))))
        return Features(logits, torch.arange(len(logits) + 1))


class Reading(Objective):
    """Cross entropy of logits against the batch's labels."""

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        return Loss(self.guess(backbone, batch, rng).surprise().mean(), len(batch))

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        logits = backbone(batch).elements
        return Guess("classes", logits, batch.targets["label"].long(), torch.arange(len(logits)))


@dataclass(frozen=True)
class Digits:
    """The digits with their pixels in one order: 1,200 to learn from, the rest to test on."""

    domain: Domain
    train: Dataset
    test: Dataset

    @classmethod
    def ordered(cls, order: np.ndarray | None = None, learn: int = 1200, first: int = 0) -> Digits:
        """With pixels permuted as `order` (64,) says; `first` is where the examples to learn from begin."""
        from sklearn.datasets import load_digits

        rows, labels = load_digits(return_X_y=True)
        mixed = np.random.default_rng(0).permutation(len(rows))
        rows, labels = rows[mixed], labels[mixed]
        rows = rows if order is None else rows[:, order]
        source = from_arrays((15 * rows).astype(np.uint8).reshape(-1, 8, 8))
        domain = ImageSpec(patch=8).build(source)
        data = domain.read(source)
        data = Dataset(data.store, data.rows, targets={"label": labels.astype(np.int64)})
        return cls(domain, data.subset(range(first, first + learn)), data.subset(range(1200, len(rows))))

    def batch(self, part: Dataset) -> Batch:
        """All of a part at once."""
        return self.domain.collate([part[i] for i in range(len(part))])


def learn(
    network: Backbone,
    digits: Digits,
    seed: int,
    epochs: float,
    anchors: Sequence[AnchorBase] = (),
    source: Origin | None = None,
) -> None:
    """Train in place for some passes, held by anchors at the weights there are."""
    hold = together([one.anchor(network, source) for one in anchors], network)
    model = Pretraining(network, Reading())
    batches = Batches(digits.train, digits.domain.collate, batch=32, seed=derive(seed, "planted"))
    spec = TrainingSpec(epochs=epochs, batch=32, lr=1e-3, weight_decay=0, precision="float32", seed=seed, device="cpu")
    held = Anchored(model, hold.terms) if hold.terms else model
    train(held, batches, spec, progress=False, watchers=hold.watchers)


@torch.no_grad()
def judged(network: Backbone, digits: Digits) -> tuple[float, float]:
    """Loss and accuracy on the test part."""
    batch = digits.batch(digits.test)
    said = Reading().guess(network, batch, torch.Generator())
    right = (said.output.argmax(1) == said.target).float().mean()
    return float(said.surprise().mean()), float(right)


def source_of(digits: Digits) -> Origin:
    """The first task as a source."""
    return Origin(Reading(), digits.domain, lambda: digits.train)


def permuted(seed: int, learn_from: int = 1200) -> Digits:
    """The second task: another order of the pixels for every seed."""
    return Digits.ordered(np.random.default_rng([seed, 1]).permutation(64), learn_from)


def trials(audit: ForgettingAudit, seed: int, seeds: int = 5) -> list[Trial]:
    """Trained cases over some seeds, and the verdict's own error rates on simulated rises."""
    rises: dict[str, list[float]] = {"plain": [], "ewc": [], "replay": [], "same": []}
    for one in range(seed, seed + seeds):
        for name, rise in _sequence(one).items():
            rises[name].append(rise)
    verdicts = {name: _verdict(audit, np.array(each)) for name, each in rises.items()}
    means = {name: float(np.mean(each)) for name, each in rises.items()}
    half = ("less than half of the plain rise",)
    kept = {name: sum(r < p / 2 for r, p in zip(rises[name], rises["plain"], strict=True)) for name in rises}
    trained = [
        Trial("digits, then permuted digits: must be caught", ("FORGETS",), int(verdicts["plain"] == "FORGETS"), 1, 1),
        Trial("digits, then more of the same digits: clean", ("KEEPS",), int(verdicts["same"] == "KEEPS"), 1, 1),
        Trial("permuted digits with EWC: keeps more", half, kept["ewc"], seeds, 1),
        Trial("permuted digits with replay: keeps more", half, kept["replay"], seeds, 1),
    ]
    figures = [means["plain"], means["same"], means["ewc"], means["replay"]]
    done = [Trial(**{**vars(t), "figures": {"mean rise": f}}) for t, f in zip(trained, figures, strict=True)]
    return done + _simulated(audit, seed)


def _sequence(seed: int) -> dict[str, float]:
    """The relative rise of the first task's test loss after a second one, by how it was learnt."""
    first, second, rest = Digits.ordered(learn=600), permuted(seed, 600), Digits.ordered(learn=600, first=600)
    network = Perceptron(seed)
    learn(network, first, seed, 10)
    before = judged(network, first)[0]
    source = source_of(first)
    ways: dict[str, tuple[Digits, list[AnchorBase]]] = {
        "plain": (second, []),
        "ewc": (second, [EwcSpec(fisher="exact", examples=300)]),
        "replay": (second, [ReplaySpec()]),
        "same": (rest, []),
    }
    found = {}
    for name, (digits, anchors) in ways.items():
        tuned = copy.deepcopy(network)
        learn(tuned, digits, seed + 1, 10, anchors, source)
        found[name] = float(relative_rise(before, judged(tuned, first)[0]))
    return found


def _verdict(audit: ForgettingAudit, rises: np.ndarray) -> str:
    from exapt.audits.forgetting import verdict_of

    return verdict_of(compare(rises, audit.margin, resamples=0), audit.margin)


def _simulated(audit: ForgettingAudit, seed: int) -> list[Trial]:
    """Five seeds whose rises have a deviation of half the margin, around a true rise."""
    rng = np.random.default_rng(seed)
    cases = {
        "simulated rise of exactly the margin: FORGETS is not claimed": (1.0, ("KEEPS", "UNDECIDED"), 0.92),
        "simulated rise of exactly the margin: KEEPS is not claimed": (1.0, ("FORGETS", "UNDECIDED"), 0.92),
        "simulated rise of three margins": (3.0, ("FORGETS",), 0.95),
        "simulated rise of none": (0.0, ("KEEPS",), 0.9),
    }
    out = []
    for what, (times, wanted, least) in cases.items():
        drawn = audit.margin * (times + 0.5 * rng.normal(size=(SIMULATED, 5)))
        right = sum(_verdict(audit, rises) in wanted for rises in drawn)
        out.append(Trial(what, wanted, right, SIMULATED, least, {"planted": times * audit.margin}))
    return out
