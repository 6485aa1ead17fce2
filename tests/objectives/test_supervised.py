"""Supervised pre-training: its loss against a plain computation, its labels, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains import DnaSpec
from exapt.domains.base import Arrays, Dataset, Domain
from exapt.errors import InputError
from exapt.objectives import SupervisedSpec
from exapt.objectives.base import Objective

SEQUENCES = ["ACGTACGT", "AAAAAAAA", "CCCC", "GTGTGT", "ACAC"]
KINDS = ["b", "a", "", "a", "b"]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def parts(labels: list[str] = KINDS) -> tuple[Domain, Dataset, Backbone, Objective, Batch]:
    domain = DnaSpec(length=16, reverse_complement=False).build()
    data = domain.read(Arrays(SEQUENCES, {"kind": labels}, label="kind"))
    spec = SupervisedSpec().settled(data, domain)
    backbone = TransformerSpec(size="nano", depth=1).build(domain.inputs, seed=0)
    data = spec.attach(data, domain)
    batch = domain.collate([data[i] for i in range(len(data))])
    return domain, data, backbone, spec.build(domain, backbone, seed=1), batch


def test_the_classes_are_written_out_and_empty_labels_cost_nothing() -> None:
    _, _, backbone, objective, batch = parts()
    assert batch.targets["pretext class"].tolist() == [1, 0, -1, 0, 1]
    loss = objective(backbone, batch, rng())
    assert loss.count == 4
    out = objective.get_submodule("out")
    assert isinstance(out, nn.Linear)
    surprise = []
    for place, target in ((0, 1), (1, 0), (3, 0), (4, 1)):
        mean = backbone(batch.select([place])).elements.double().mean(0)
        logits = mean @ out.weight.double().T + out.bias.double()
        surprise.append(float((logits.logsumexp(0) - logits[target]).detach()))
    assert float(loss.value.detach()) == pytest.approx(np.mean(surprise), rel=1e-5)


def test_its_guess_belongs_to_the_examples_with_a_class() -> None:
    _, _, backbone, objective, batch = parts()
    guess = objective.guess(backbone, batch, rng())
    assert guess.kind == "classes" and guess.owner.tolist() == [0, 1, 3, 4] and guess.target.tolist() == [1, 0, 0, 1]
    loss = objective(backbone, batch, rng())
    assert float(guess.surprise().mean().detach()) == pytest.approx(float(loss.value.detach()), rel=1e-6)


def test_a_batch_without_any_class_has_a_loss_of_zero_that_trains() -> None:
    _, _, backbone, objective, batch = parts()
    loss = objective(backbone, batch.select([2]), rng())
    loss.value.backward()
    assert loss.count == 0 and float(loss.value.detach()) == 0.0


def test_it_learns_and_the_same_seed_gives_the_same_head() -> None:
    _, _, backbone, objective, batch = parts()
    again = parts()[3]
    for one, two in zip(objective.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    optimiser = torch.optim.AdamW([*backbone.parameters(), *objective.parameters()], lr=3e-3)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = objective(backbone, batch, rng())
        loss.value.backward()
        optimiser.step()
        losses.append(float(loss.value.detach()))
    assert losses[0] == pytest.approx(math.log(2), abs=0.5) and losses[-1] < 0.1


def test_settled_classes_build_without_a_corpus_and_know_no_others() -> None:
    domain, data, backbone, _, _ = parts()
    settled = SupervisedSpec().settled(data, domain)
    assert settled.classes == ["a", "b"] and settled.settled(data, domain) is settled
    settled.build(domain, backbone, seed=0)
    with pytest.raises(InputError, match=r"objective\.classes is not known"):
        SupervisedSpec().build(domain, backbone, seed=0)
    with pytest.raises(InputError, match="row 1: 'kind' is 'b'; known classes: a, c"):
        SupervisedSpec(classes=["a", "c"]).attach(data, domain)


def test_a_corpus_without_a_named_column_or_with_numbers_is_refused() -> None:
    domain = parts()[0]
    unnamed = domain.read(Arrays(SEQUENCES, {"kind": KINDS}))
    with pytest.raises(InputError, match=r"set corpus.label to it \(no column was read\)"):
        SupervisedSpec().settled(unnamed, domain)
    numbers = [str(i) for i in range(30)]
    many = domain.read(Arrays(["ACGT"] * 30, {"kind": numbers}, label="kind"))
    with pytest.raises(InputError, match="30 different values in 30 rows; is it a number"):
        SupervisedSpec().settled(many, domain)


def test_training_takes_one_view_and_evaluation_none(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, data, backbone, _, batch = parts()
    seen: list[int] = []

    def views(batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        seen.append(count)
        return [batch] * count

    monkeypatch.setattr(domain, "views", views)
    objective = SupervisedSpec(augment=True).settled(data, domain).build(domain, backbone, seed=1)
    objective(backbone, batch, rng())
    objective.eval()
    objective(backbone, batch, rng())
    assert seen == [1]


def test_examples_without_classes_are_guessed_but_never_trained_on() -> None:
    domain, data, backbone, objective, _ = parts()
    plain = domain.collate([domain.read(Arrays(SEQUENCES))[i] for i in range(len(data))])
    guess = objective.guess(backbone, plain, rng())
    assert guess.output.shape == (5, 2) and guess.target.tolist() == [-1] * 5 and guess.owner.tolist() == list(range(5))
    with pytest.raises(InputError, match="these examples carry no classes"):
        objective(backbone, plain, rng())
