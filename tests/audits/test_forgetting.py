"""The audit of forgetting: planted cases, a real small study, its mistakes, and published-style figures on digits."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from exapt.adaptation import EwcSpec, FinetuneSpec, L2spSpec, LwfSpec, ReplaySpec
from exapt.adaptation.fisher import fisher
from exapt.audits.forgetting import ForgettingAudit, Outcome, with_remedy
from exapt.audits.forgetting_planted import Digits, Perceptron, Reading, judged, learn, permuted, source_of
from exapt.errors import InputError
from exapt.evidence.forgetting import retention
from exapt.objectives import MaskedSpec


def outcomes(losses):
    return [Outcome(loss, 0.9, 0.8 + 0.01 * i) for i, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [([1.3, 1.4, 1.35], "FORGETS"), ([1.01, 1.0, 0.99], "KEEPS"), ([1.0, 1.3, 0.9], "UNDECIDED")],
)
def test_the_verdict_is_where_the_interval_of_the_rise_lies(losses, verdict):
    found = {"plain": outcomes(losses), "replay": outcomes([1.0, 1.01, 0.99])}
    finding = ForgettingAudit().conclude(found, 1.0, "accuracy", 40)
    assert finding.verdict == verdict
    assert finding.effect == pytest.approx(np.mean(losses) - 1)
    assert finding.details["verdicts"]["replay"] == "KEEPS"
    assert "replay kept it below" in finding.sentence
    assert finding.interval[0] < finding.effect < finding.interval[1]
    assert [len(s.x) for s in finding.plots[0].series] == [3, 3, 2]
    assert [row[0] for row in finding.listings[0].rows] == ["plain fine-tuning", "replay"]
    finding.plain()


def test_a_remedy_is_the_studys_own_or_the_default():
    own = FinetuneSpec(anchor=[EwcSpec(strength=7), ReplaySpec()], last=1)
    assert with_remedy(own, "plain").anchor == [] and with_remedy(own, "plain").last == 1
    assert with_remedy(own, "ewc").anchor == [EwcSpec(strength=7)]
    assert with_remedy(own, "lwf").anchor == [LwfSpec()]
    given = ForgettingAudit.parse({"anchors": {"kind": "ewc", "strength": 300}}).anchors
    assert with_remedy(own, "ewc+replay", given).anchor == [EwcSpec(strength=300), ReplaySpec()]
    with pytest.raises(InputError, match="nothing to hold"):
        with_remedy(FinetuneSpec(lora={}), "l2sp")


def test_ewc_is_left_out_by_default_where_an_objective_predicts_nothing():
    blind, seeing = SimpleNamespace(guesses=False), SimpleNamespace(guesses=True)
    assert ForgettingAudit().open_to(blind) == ["plain", "l2sp", "replay"]
    assert ForgettingAudit().open_to(seeing) == ["plain", "l2sp", "ewc", "replay"]
    assert ForgettingAudit(remedies=["plain", "ewc"]).open_to(blind) == ["plain", "ewc"], "what was asked for is tried"
    losses = {"plain": [Outcome(1.0, None, 0.5)] * 2}
    assert "ewc was not tried." in ForgettingAudit().conclude(losses, 1.0, "accuracy", 10).caveats


def test_a_corpus_of_which_nothing_was_held_out_is_refused():
    subject = SimpleNamespace(
        corpus=lambda: None, start=SimpleNamespace(record={}, domain=None, objective_spec=MaskedSpec())
    )
    with pytest.raises(InputError, match="nothing of the corpus was held out"):
        ForgettingAudit().run(subject)


def test_weights_that_do_not_move_keep_everything_and_plain_training_loses_it():
    first, second = Digits.ordered(learn=300), permuted(0, 300)
    network = Perceptron(0, hidden=32)
    learn(network, first, 0, 10)
    before = judged(network, first)
    still, plain, again = (copy.deepcopy(network) for _ in range(3))
    learn(still, second, 1, 6, [L2spSpec(alphas=[1e6])])
    learn(plain, second, 1, 6)
    learn(again, second, 1, 6, [ReplaySpec()], source_of(first))
    assert judged(still, first) == pytest.approx(before, rel=1e-4)
    assert judged(plain, first)[1] < judged(again, first)[1] - 0.1


@pytest.mark.slow
def test_the_self_test_passes():
    for trial in ForgettingAudit.self_test(0):
        assert trial.passed, trial


@pytest.fixture(scope="module")
def learnt():
    """A network that reads 1,200 digits."""
    first, network = Digits.ordered(), Perceptron(0)
    learn(network, first, 0, 20)
    return first, network


@pytest.mark.slow
def test_sampled_equals_exact_and_the_squared_mean_gradient_is_far_too_small(learnt):
    first, network = learnt
    parameters = dict(network.named_parameters())
    parts = [first.train.subset(range(at, at + 32)) for at in range(0, 1184, 32)]
    batches = [first.batch(part) for part in parts]

    def guess(batch, rng):
        return Reading().guess(network, batch, rng)

    exact, sampled, empirical = (
        fisher(guess, [network], parameters, batches, how).trace for how in ("exact", "sampled", "empirical")
    )
    wrong = 0.0
    for batch in batches:
        slopes = torch.autograd.grad(guess(batch, None).surprise().mean(), list(parameters.values()))
        wrong += sum(float(slope.square().sum()) for slope in slopes) / len(batches)
    assert sampled == pytest.approx(exact, rel=0.15)
    assert empirical < 0.6 * exact  # the labels are easier than the network's own doubts
    assert wrong < exact / 30


@pytest.mark.slow
def test_the_remedies_rank_as_they_should_on_permuted_digits(learnt):
    first, network = learnt
    second, source = permuted(0), source_of(first)
    ways = {
        "plain": [],
        "ewc": [EwcSpec(fisher="exact", examples=1200)],
        "batched ewc": [EwcSpec(fisher="exact", examples=1200, strength=1.0)],
        "replay": [ReplaySpec()],
        "lwf": [LwfSpec()],
    }
    begun = judged(network, first)[1]
    scores, kept = {}, {}
    for name, anchors in ways.items():
        tuned = copy.deepcopy(network)
        learn(tuned, second, 1, 20, anchors, source)
        rows = [[begun, judged(network, second)[1]], [judged(tuned, first)[1], judged(tuned, second)[1]]]
        scores[name], kept[name] = rows[1], retention(rows).backward
    assert begun > 0.94
    assert kept["plain"] < -0.15
    assert kept["ewc"] > -0.06 and scores["ewc"][1] > 0.85
    assert kept["batched ewc"] < kept["ewc"] - 0.03  # λ that acts a hundred times weaker holds far less
    assert kept["replay"] > -0.03 and scores["replay"][1] > 0.93
    assert scores["lwf"][1] < scores["replay"][1] - 0.02  # the old network's words on shifted inputs mean nothing
