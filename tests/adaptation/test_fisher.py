"""Fisher diagonals: one packed backward pass equals a loop over examples, for every kind of weight and source."""

import pytest
import torch
from adapt_standins import classify, pictures, regress, sequences, several, small_start, tag
from torch import nn

from exapt.adaptation import Supervised
from exapt.adaptation.fisher import fisher
from exapt.audits.forgetting_planted import Digits, Perceptron, Reading
from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.batch import Features
from exapt.domains import ProteinSpec, from_arrays
from exapt.errors import InputError
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.objectives.base import Loss, Objective
from exapt.objectives.guess import Guess


def oracle(said, parameters, targets=None, exact=False):
    """A loop over examples over one graph: squared gradients of each example's summed −log p, a mean over items."""
    total = [torch.zeros_like(p) for p in parameters]
    for example in range(int(said.owner.max()) + 1):
        mine = said.owner == example
        surprise = said.surprise(targets)[mine].sum()
        terms = [(1.0, surprise)]
        if exact:
            logs = said.output[mine][0].log_softmax(-1)
            terms = [(float(log.detach().exp()), -log) for log in logs]
        for weight, term in terms:
            slopes = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
            for part, slope in zip(total, slopes, strict=True):
                if slope is not None:
                    part.add_(weight * slope**2)
    return [part / len(said.owner) for part in total]


def masked():
    domain = ProteinSpec(length=32).build()
    data = domain.read(from_arrays(sequences(9)[0]))
    backbone = small_start(domain).backbone
    return MaskedSpec().build(domain, backbone, seed=0), backbone, domain.collate([data[i] for i in range(9)])


def causal():
    domain = ProteinSpec(length=32).build()
    data = domain.read(from_arrays([*sequences(7)[0], "A", "AW"]))
    backbone = TransformerSpec(width=16, depth=2, heads=2, hidden=24, causal=True).build(domain.inputs, seed=0)
    batch = domain.collate([data[i] for i in range(9)])
    return AutoregressiveSpec().build(domain, backbone, seed=0), backbone, batch


def patches():
    start, _, data = pictures(9)
    objective = MaskedSpec(decoder_depth=1).build(start.domain, start.backbone, seed=0)
    return objective, start.backbone, start.domain.collate([data[i] for i in range(9)])


def supervised(make):
    start, task, data = make()
    head = task.head(16, 0)
    with torch.no_grad():
        for p in head.parameters():
            p.normal_(generator=torch.Generator().manual_seed(1))
    batch = start.domain.collate([data[i] for i in range(9)])
    return Supervised(head, task), start.backbone, batch


SOURCES = {
    "masked tokens, tied embedding": masked,
    "autoregressive": causal,
    "masked patches": patches,
    "classes": lambda: supervised(classify),
    "labels": lambda: supervised(several),
    "values": lambda: supervised(regress),
    "tags": lambda: supervised(tag),
}


def wrong_by(found, wanted):
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("how", ["empirical", "sampled"])
@pytest.mark.parametrize("name", SOURCES)
def test_one_backward_pass_equals_a_loop_over_examples(name, how, monkeypatch):
    objective, backbone, batch = SOURCES[name]()
    objective.eval(), backbone.eval()
    said = objective.guess(backbone, batch, torch.Generator().manual_seed(5))
    target = said.target if how == "empirical" else said.draw(torch.Generator().manual_seed(6))

    def guess(given, rng):  # the same elements hidden and the same targets drawn, whatever the generator
        found = objective.guess(backbone, given, torch.Generator().manual_seed(5))
        whole = len(found.target) == len(target)  # not where a few examples are checked by themselves
        return Guess(found.kind, found.output, target if whole else found.target, found.owner)

    parameters = dict(backbone.named_parameters())
    monkeypatch.setattr(Guess, "draw", lambda self, rng: self.target)
    found = fisher(guess, [backbone, objective], parameters, [batch], how)
    assert not found.one_by_one
    wanted = oracle(guess(batch, None), list(parameters.values()))
    assert wrong_by(found.diagonal.values(), wanted) < 1e-5
    assert all(p.requires_grad and p.grad is None for p in parameters.values())


@pytest.mark.parametrize("make", [classify])
def test_exact_is_the_sum_over_classes(make):
    objective, backbone, batch = supervised(make)
    objective.eval(), backbone.eval()
    parameters = dict(backbone.named_parameters())

    def guess(given, rng):
        return objective.guess(backbone, given, rng)

    exact = fisher(guess, [backbone, objective], parameters, [batch], "exact")
    wanted = oracle(guess(batch, None), list(parameters.values()), exact=True)
    assert wrong_by(exact.diagonal.values(), wanted) < 1e-5


@pytest.mark.parametrize("kind", ["classes", "labels", "values"])
def test_exact_is_the_mean_of_sampled_ones(kind):
    rng = torch.Generator().manual_seed(0)
    output = torch.randn(1, 3, generator=rng, requires_grad=True)
    said = Guess(kind, output, torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))
    exact = sum(torch.autograd.grad(part, output, retain_graph=True)[0] ** 2 for part in said.directions())
    drawn = torch.stack(
        [
            torch.autograd.grad(said.surprise(said.draw(rng)).sum(), output, retain_graph=True)[0] ** 2
            for _ in range(2000)
        ]
    )
    assert ((drawn.mean(0) - exact).abs() < 4 * drawn.std(0) / 2000**0.5).all()


def test_what_it_gives_does_not_depend_on_the_batches():
    digits = Digits.ordered(learn=60)
    network = Perceptron(0, hidden=16)
    parameters = dict(network.named_parameters())

    def trace(size, how):
        parts = [digits.train.subset(range(at, at + size)) for at in range(0, 60, size)]
        batches = [digits.batch(part) for part in parts]
        return fisher(lambda b, r: Reading().guess(network, b, r), [network], parameters, batches, how).trace

    for how in ("exact", "empirical"):
        assert trace(60, how) == pytest.approx(trace(12, how), rel=1e-4)


class Odd(Backbone):
    """A weight that enters by a plain product, which has no rule."""

    width = 4

    def __init__(self):
        super().__init__()
        self.table, self.scale = nn.Embedding(40, 4), nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))

    @property
    def blocks(self):
        return [self]

    def forward(self, batch):
        return Features(self.table(batch.inputs) * self.scale, batch.offsets)


def test_unknown_uses_are_found_and_taken_one_by_one():
    domain = ProteinSpec(length=32).build()
    data = domain.read(from_arrays(["ACDW", "WW", "AAC"]))
    torch.manual_seed(0)
    network, head = Odd(), nn.Linear(4, 3)
    batch = domain.collate([data[i] for i in range(3)])

    def guess(given, rng):
        logits = head(network(given).pooled())
        return Guess("classes", logits, given.offsets.diff() % 3, torch.arange(len(given)))

    parameters = dict(network.named_parameters())
    found = fisher(guess, [network], parameters, [batch], "empirical")
    assert found.one_by_one
    wanted = oracle(guess(batch, None), list(parameters.values()))
    assert wrong_by(found.diagonal.values(), wanted) < 1e-5


def test_a_short_cut_that_is_wrong_is_caught_by_the_check(monkeypatch):
    from exapt.adaptation import per_example

    objective, backbone, batch = masked()
    parameters = dict(backbone.named_parameters())

    def guess(given, rng):
        return objective.guess(backbone, given, rng)

    monkeypatch.setattr(per_example.Scale, "gradients", lambda self, a, b: torch.zeros(b - a, self.slope.shape[1]))
    assert fisher(guess, [backbone], parameters, [batch], "empirical").one_by_one


def test_exact_of_hidden_tokens_is_refused():
    objective, backbone, batch = masked()
    with pytest.raises(InputError, match="use fisher: sampled"):
        fisher(
            lambda b, r: objective.guess(backbone, b, r),
            [backbone],
            dict(backbone.named_parameters()),
            [batch],
            "exact",
        )


def test_an_objective_without_single_items_says_so():
    class Contrast(Objective):
        def forward(self, backbone, batch, rng):
            return Loss(torch.zeros(()), 1)

    with pytest.raises(InputError, match="Contrast: predicts no single item"):
        Contrast().guess(None, None, None)
