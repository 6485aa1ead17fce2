"""With nine labels in ten deleted, many heads still learn: against the mean, all labels, and labels dealt anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from exapt.backbones import TransformerSpec
from exapt.domains import DnaSpec
from exapt.domains.base import Arrays
from exapt.objectives import PropertiesSpec
from exapt.objectives.properties import Properties
from exapt.objectives.property_answers import answers

HEADS, LENGTH, TEST = 12, 24, 160
NOISE = 0.5
"""Deviation of the errors of labels that are learnt from, about a quarter of the values'; scores are of true values."""
WORDS = ("A", "C", "G", "CG")
"""What the planted values follow from: how often these stand in a sequence."""


def planted(count: int) -> tuple[list[str], np.ndarray]:
    """Sequences, and twelve numbers of each that all follow from the same few."""
    draw = np.random.default_rng(0)
    chances = draw.dirichlet([2.0] * 4, size=count)
    texts = ["".join(draw.choice(list("ACGT"), size=LENGTH, p=chance)) for chance in chances]
    known = np.array([[text.count(word) for word in WORDS] for text in texts], dtype=np.float64)
    return texts, (known - known.mean(0)) / known.std(0) @ draw.normal(size=(len(WORDS), HEADS))


class Trial:
    """Training on some heads with a share of the labels, and how well they tell examples that were held out."""

    def __init__(self, count: int = 480, shuffle: bool = False) -> None:
        self.texts, self.values = planted(count)
        if shuffle:
            self.values = self.values[np.random.default_rng(5).permutation(count)]

    def r_squared(self, kept: float, heads: list[int], steps: int = 60, seed: int = 0) -> float:
        """The mean R² over heads; the mean of the labels has 0."""
        draw = np.random.default_rng(seed + 1)
        measured = self.values + NOISE * draw.normal(size=self.values.shape)
        holed = np.where(draw.random(self.values.shape) < kept, measured, np.nan)
        columns: dict[str, Any] = {f"p{k}": holed[:-TEST, k].tolist() for k in heads}
        domain = DnaSpec(length=LENGTH + 2, reverse_complement=False).build()
        data = domain.read(Arrays(self.texts[:-TEST], columns, label=list(columns)))
        spec = PropertiesSpec().settled(data, domain)
        data = spec.attach(data, domain)
        backbone = TransformerSpec(width=16, depth=1, heads=2).build(domain.inputs, seed=seed)
        objective = spec.build(domain, backbone, seed=seed)
        assert isinstance(objective, Properties)
        train(backbone, objective, domain.collate([data[i] for i in range(len(data))]), steps, seed)
        test = domain.read(Arrays(self.texts[-TEST:]))
        said = answers(objective, backbone.eval(), domain.collate([test[i] for i in range(TEST)]))
        truth = self.values[-TEST:]
        errors = [np.square(said[f"p{k}"].numpy() - truth[:, k]).mean() / truth[:, k].var() for k in heads]
        return 1 - float(np.mean(errors))


def train(backbone: Any, objective: Any, batch: Any, steps: int, seed: int) -> None:
    optimiser = torch.optim.AdamW([*backbone.parameters(), *objective.parameters()], lr=1e-2, weight_decay=0.01)
    draws = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        optimiser.zero_grad()
        chosen = torch.randperm(len(batch), generator=draws)[:64]
        objective(backbone, batch.select(chosen), draws).value.backward()
        optimiser.step()


ALL = list(range(HEADS))


def test_a_tenth_of_the_labels_keeps_most_of_what_all_of_them_give() -> None:
    trial = Trial()
    sparse, full = trial.r_squared(0.1, ALL), trial.r_squared(1.0, ALL)
    assert full > 0.8, full
    assert sparse > 0.8 * full, (sparse, full)


def test_labels_dealt_out_anew_teach_nothing() -> None:
    assert Trial(shuffle=True).r_squared(0.1, ALL) < 0.1
