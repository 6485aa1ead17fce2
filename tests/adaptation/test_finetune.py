"""Fine-tuning: what moves, how fast, from where, and what is recorded."""

import copy

import numpy as np
import pytest
import torch
from adapt_standins import TASKS, classify, halves, several, small_start, tag

from exapt.adaptation import FinetuneSpec, ProbeSpec, fit
from exapt.adaptation.headstart import last_layer, start_from_probe
from exapt.adaptation.tuning import Tuning, layer_groups
from exapt.domains import ProteinSpec
from exapt.errors import InputError
from exapt.tasks import HeadSpec
from exapt.training.batches import Batches
from exapt.training.loop import train as run_loop
from exapt.training.spec import TrainingSpec

QUICK = {"min_steps": 8, "max_steps": 8, "batch": 8, "evaluations": 4, "rates": [3e-3]}


def weights_of(network):
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def moved(before, network):
    return {name: float((value - before[name]).abs().max()) for name, value in network.state_dict().items()}


def tuning_of(start, task, last=None):
    return Tuning(copy.deepcopy(start.backbone), task.head(start.backbone.width, 0), task, None, last)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_learns_and_the_start_is_left_alone(name):
    start, task, data = TASKS[name]()
    before = weights_of(start.backbone)
    train, valid, test = halves(data, len(data) // 2, len(data) // 4)
    spec = FinetuneSpec(min_steps=60, max_steps=60, batch=8, rates=[1e-2, 3e-2], probe_first=False)
    fitted = fit(spec, start, task.calibrated(train), train, valid, 0)
    truth = task.truth(train, start.domain.kept(train) if task.per_element else None)
    assert task.metric(fitted.predict(train), truth) > task.chance(truth) + 0.1
    assert len(fitted.predict(test)) == len(task.truth(test, start.domain.kept(test) if task.per_element else None))
    assert set(moved(before, start.backbone).values()) == {0.0}
    assert fitted.record["diverged"] is False


@pytest.mark.parametrize(("last", "free"), [(None, 4), (2, 3), (1, 2), (0, 0)])
def test_frozen_blocks_stay_bit_identical_and_the_others_move(last, free):
    start, task, data = classify()
    train, valid, _ = halves(data)
    fitted = fit(FinetuneSpec(**QUICK, last=last), start, task, train, valid, 0)
    pairs = zip(start.backbone.blocks, fitted.backbone().blocks, strict=True)
    changed = [any(moved(weights_of(old), new).values()) for old, new in pairs]
    assert changed == [i >= 4 - free for i in range(4)]
    frozen = sum(p.numel() for block in list(start.backbone.blocks)[: 4 - free] for p in block.parameters())
    assert fitted.record["trained_parameters"] == start.backbone.size() - frozen + 2 * 16 + 2


def test_frozen_blocks_have_no_gradient_and_no_dropout():
    start, task, data = classify()
    deep = small_start(start.domain, dropout=0.5)
    tuning = tuning_of(deep, task, last=1).train()
    modes = [block.training for block in tuning.backbone.blocks]
    assert modes == [False, False, True, True]
    loss = tuning(start.domain.collate([data[i] for i in range(8)]), torch.Generator())
    loss.value.backward()
    has = [[p.grad is not None for p in block.parameters()] for block in tuning.backbone.blocks]
    assert not any(has[0] + has[1])
    assert all(has[2] + has[3])


def test_more_last_blocks_than_there_are_is_a_mistake():
    start, task, data = classify()
    train, valid, _ = halves(data)
    with pytest.raises(InputError, match="3 blocks, but the backbone has 2"):
        fit(FinetuneSpec(**QUICK, last=3), start, task, train, valid, 0)


def test_layer_wise_rates_are_real():
    start, task, data = classify()
    tuning = tuning_of(start, task)
    with torch.no_grad():
        last_layer(tuning.head, 2).weight.normal_()
    groups = layer_groups(tuning, 0.01, 0.1, 0.0)
    owned = [id(p) for group in groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for p in tuning.parameters())
    before = [weights_of(block) for block in tuning.backbone.blocks]
    batches = Batches(data, start.domain.collate, batch=len(data))
    spec = TrainingSpec(
        steps=1, batch=len(data), lr=1.0, schedule={"kind": "constant", "warmup": 0}, precision="float32", clip=0
    )
    run_loop(tuning, batches, spec, progress=False, groups=groups)
    # AdamW's first step moves every weight by its rate, whatever the gradient.
    sizes = [max(moved(old, block).values()) for old, block in zip(before, tuning.backbone.blocks, strict=True)]
    np.testing.assert_allclose(sizes, [1e-5, 1e-4, 1e-3, 1e-2], rtol=0.02)


@pytest.mark.parametrize("name", ["tag", "pictures"])
def test_the_head_starts_as_the_probe(name):
    start, task, data = TASKS[name]()  # fields and tasks whose head sees what the probe sees
    train, valid, test = halves(data, len(data) // 2, len(data) // 4)
    probe = fit(ProbeSpec(refit=False), start, task, train, valid, 0)
    tuning = tuning_of(start, task.calibrated(train))
    record = start_from_probe(tuning, start.domain, train, valid, ProbeSpec())
    assert record["penalty"] == probe.record["penalty"]
    torch.testing.assert_close(tuning.output(start.domain, test).double(), probe.outputs(test), atol=1e-3, rtol=1e-3)


def test_the_probes_head_gives_scikit_learns_outputs():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    start, task, data = classify()
    train, valid, test = halves(data)
    tuning = tuning_of(start, task)
    record = start_from_probe(tuning, start.domain, train, valid, ProbeSpec())
    features = [tuning.output(start.domain, part, lambda f: f.pooled()).double().numpy() for part in (train, test)]
    scaler = StandardScaler().fit(features[0])
    model = LogisticRegression(C=1 / record["penalty"], tol=1e-8, max_iter=10000)
    model.fit(scaler.transform(features[0]), task.truth(train))
    expected = model.predict_proba(scaler.transform(features[1]))
    np.testing.assert_allclose(task.decode(tuning.output(start.domain, test)), expected, atol=2e-3)


def test_a_head_with_a_hidden_layer_can_start_as_a_probe_too():
    start, task, data = classify()
    train, valid, _ = halves(data)
    task.spec = task.spec.model_copy(update={"head": HeadSpec(hidden=12)})
    fitted = fit(FinetuneSpec(**QUICK), start, task, train, valid, 0)
    assert fitted.record["probe"]["penalty"] > 0


def test_a_huge_rate_is_recorded_and_out_of_the_running():
    start, task, data = classify()
    train, valid, _ = halves(data)
    spec = FinetuneSpec(**{**QUICK, "rates": [1e30, 1e-3]})
    fitted = fit(spec, start, task, train, valid, 0)
    assert [attempt.get("diverged", False) for attempt in fitted.record["grid"]] == [True, False]
    assert fitted.record["rate"] == 1e-3
    assert fitted.record["diverged"] is False


def test_where_every_rate_diverges_the_fit_says_so_and_still_predicts():
    start, task, data = classify()
    train, valid, test = halves(data)
    fitted = fit(FinetuneSpec(**{**QUICK, "rates": [1e30, 1e35]}, probe_first=False), start, task, train, valid, 0)
    assert fitted.record["diverged"] is True
    assert "step" in fitted.record["grid"][0]["why"]
    np.testing.assert_allclose(fitted.predict(test), 0.5)


def test_the_best_rate_on_validation_is_kept_with_its_weights():
    start, task, data = classify(60)
    train, valid, _ = halves(data, 30, 20)
    fitted = fit(FinetuneSpec(**{**QUICK, "rates": [1e-7, 1e-2]}, probe_first=False), start, task, train, valid, 0)
    tries = fitted.record["grid"]
    best = max(tries, key=lambda a: (a["valid_score"], -a["valid_loss"]))
    assert (fitted.record["rate"], fitted.record["valid_score"]) == (best["rate"], best["valid_score"])
    assert task.metric(fitted.predict(valid), task.truth(valid)) == pytest.approx(best["valid_score"])


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    start, task, data = classify()
    train, valid, test = halves(data)
    first, second, other = (fit(FinetuneSpec(**QUICK), start, task, train, valid, s).predict(test) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0


def test_refit_trains_on_validation_too():
    start, task, data = classify()
    train, valid, test = halves(data)
    plain = fit(FinetuneSpec(**QUICK), start, task, train, valid, 0)
    again = fit(FinetuneSpec(**QUICK, refit=True), start, task, train, valid, 0)
    assert again.record["refit"] is True
    assert again.record["rate"] == plain.record["rate"]
    assert np.abs(plain.predict(test) - again.predict(test)).max() > 0


@pytest.mark.parametrize("probe_first", [False, True])
def test_missing_labels_are_taken(probe_first):
    start, task, data = several()
    train, valid, test = halves(data, 20, 12)
    spec = FinetuneSpec(**{**QUICK, "batch": 64}, probe_first=probe_first)
    fitted = fit(spec, start, task, train, valid, 0)
    assert np.isfinite(fitted.predict(test)).all()
    elements = tag()
    parts = halves(elements[2], 12, 6)
    again = fit(spec, *elements[:2], parts[0], parts[1], 0)
    assert np.isfinite(again.predict(parts[2])).all()


def test_one_class_in_validation_is_judged_by_the_loss():
    start, task, data = classify()
    truth = task.truth(data)
    train, valid = data.subset(range(20)), data.subset(20 + np.flatnonzero(truth[20:] == 1)[:3])
    fitted = fit(FinetuneSpec(**QUICK), start, task, train, valid, 0)
    assert fitted.record["chosen_by"] == "loss"
    assert np.isnan(fitted.record["valid_score"])
    assert np.isfinite(fitted.record["valid_loss"])


def test_two_labels_a_class_and_no_validation():
    start, task, data = classify()
    truth = task.truth(data)
    few = data.subset(np.concatenate([np.flatnonzero(truth == c)[:2] for c in (0, 1)]))
    fitted = fit(FinetuneSpec(**{**QUICK, "rates": [1e-3, 2e-3, 3e-3]}), start, task, few, data.subset([]), 0)
    assert (fitted.record["rate"], fitted.record["chosen_by"]) == (2e-3, "default")
    assert np.isfinite(fitted.predict(data)).all()


def test_steps_stay_within_bounds():
    spec = FinetuneSpec(epochs=10, batch=32, min_steps=100, max_steps=500)
    assert [spec.steps(n) for n in (2, 320, 1000, 100_000)] == [100, 100, 320, 500]


def test_without_a_backbone_there_is_nothing_to_tune():
    from exapt.adaptation import Start

    _, task, data = classify()
    train, valid, _ = halves(data)
    for spec in (FinetuneSpec(), ProbeSpec()):
        with pytest.raises(InputError, match="needs a backbone"):
            fit(spec, Start(ProteinSpec(length=32).build()), task, train, valid, 0)


def test_the_default_schedule_is_the_warmup_and_a_line_to_zero():
    start, task, data = classify()
    train, valid, test = halves(data)
    written = {"kind": "linear", "warmup": 0.1}
    plain, said = (
        fit(FinetuneSpec.parse(QUICK | more), start, task, train, valid, 0) for more in ({}, {"schedule": written})
    )
    assert torch.equal(plain.outputs(test), said.outputs(test))
    other = fit(FinetuneSpec.parse(QUICK | {"schedule": {"kind": "step", "warmup": 0}}), start, task, train, valid, 0)
    assert not torch.equal(plain.outputs(test), other.outputs(test))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"schedule": {"kind": "step"}, "warmup": 0.2}, "warmup does nothing beside schedule"),
        ({"schedule": {"kind": "step", "warmup": 5}}, "schedule.warmup 5 counts steps"),
        ({"schedule": {"kind": "stair"}}, "schedule.kind"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_a_mistake(keys, words):
    with pytest.raises(InputError, match=words):
        FinetuneSpec.parse(keys)
