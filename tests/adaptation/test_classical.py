"""The classical baseline and the stack, against scikit-learn used plainly."""

import numpy as np
import pytest
import torch
from adapt_standins import TASKS, classify, halves, regress, several, tag, texts
from sklearn.linear_model import LogisticRegression, Ridge

from exapt.adaptation import ClassicalSpec, ProbeSpec, StackSpec, Start, fit
from exapt.adaptation.classical_linear import apply, fit_path
from exapt.adaptation.combine import combine
from exapt.domains import ProteinSpec, from_arrays

GRID = [0.01, 0.3, 4.0]


@pytest.mark.parametrize("build", [classify, texts])
def test_the_baseline_equals_scikit_learn_used_plainly(build):
    start, task, data = build()
    train, valid, test = halves(data)
    fitted = fit(ClassicalSpec(penalties=GRID), start, task, train, valid, 0)
    first, second = start.domain.classical(train, [valid])
    losses = []
    for penalty in GRID:
        model = LogisticRegression(C=1 / penalty, max_iter=2000, tol=1e-6).fit(first, task.truth(train))
        p = model.predict_proba(second)
        losses.append(-np.log(p[np.arange(len(valid)), task.truth(valid)]).mean())
    chosen = GRID[int(np.argmin(losses))]
    assert fitted.record["penalty"] == chosen
    assert fitted.record["valid_loss"] == pytest.approx(min(losses), rel=0.01)
    both = combine(train, valid)
    matrix, held = start.domain.classical(both, [test])
    model = LogisticRegression(C=1 / chosen, max_iter=2000, tol=1e-6).fit(matrix, task.truth(both))
    np.testing.assert_allclose(fitted.predict(test), model.predict_proba(held), atol=2e-3)


def test_a_number_is_fitted_by_ridge():
    start, task, data = regress()
    train, valid, test = halves(data)
    fitted = fit(ClassicalSpec(penalties=[0.3], refit=False), start, task, train, valid, 0)
    first, held = start.domain.classical(train, [test])
    expected = Ridge(alpha=0.3).fit(first, task.truth(train)).predict(held)
    np.testing.assert_allclose(fitted.predict(test).ravel(), expected.ravel(), rtol=1e-5)


def test_labels_with_gaps_are_fitted_one_by_one_on_what_is_there():
    start, task, data = several()
    train, valid, test = halves(data, 25, 8)
    fitted = fit(ClassicalSpec(penalties=[0.3], refit=False), start, task, train, valid, 0)
    first, held = start.domain.classical(train, [test])
    for k in range(2):
        truth = task.truth(train)[:, k]
        seen = np.isfinite(truth)
        model = LogisticRegression(C=1 / 0.3, max_iter=2000, tol=1e-6).fit(first[seen], truth[seen])
        np.testing.assert_allclose(fitted.predict(test)[:, k], model.predict_proba(held)[:, 1], atol=2e-3)


def test_elements_are_judged_by_the_letters_around_them():
    start, task, data = tag()
    train, valid, test = halves(data, 14, 5)
    fitted = fit(ClassicalSpec(), start, task, train, valid, 0)
    truth = task.truth(test, start.domain.kept(test))
    assert task.metric(fitted.predict(test), truth) > 0.95


def test_a_class_that_training_lacks_is_unlikely_and_finite():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(30, 4))
    labels = rng.integers(2, size=30) * 2
    weights = fit_path(matrix, labels, "classes", 3, GRID, None)
    outputs = torch.from_numpy(apply(weights[1], matrix)).softmax(1).numpy()
    assert outputs[:, 1].max() < 0.01
    alone = fit_path(matrix, np.full(30, 2), "classes", 3, GRID, None)
    assert torch.from_numpy(apply(alone[0], matrix)).argmax(1).eq(2).all()


def test_validation_is_not_learnt_from_before_the_refit():
    start, task, data = texts()
    train, valid, test = halves(data)
    spec = ClassicalSpec(penalties=[1.0], refit=False)
    first = fit(spec, start, task, train, valid, 0).predict(test)
    second = fit(spec, start, task, train, valid.subset([0, 1]), 0).predict(test)
    np.testing.assert_array_equal(first, second)


def test_no_network_is_needed():
    _, task, data = classify()
    train, valid, test = halves(data)
    fitted = fit(ClassicalSpec(), Start(ProteinSpec(length=32).build()), task, train, valid, 0)
    assert task.metric(fitted.predict(test), task.truth(test)) > 0.7


@pytest.mark.parametrize("name", TASKS)
def test_a_stack_at_its_ends_is_one_of_its_parts(name):
    if name == "pictures":
        pytest.skip("as classify")
    start, task, data = TASKS[name]()
    train, valid, test = halves(data, len(data) // 2, len(data) // 4)
    gentle = ProbeSpec(penalties=[1.0, 10.0])  # weaker ones leave float32 a slack
    probe = fit(gentle, start, task, train, valid, 0).outputs(test)
    classical = fit(ClassicalSpec(), start, task, train, valid, 0).outputs(test)
    for share, expected in ((0.0, classical), (1.0, probe), (0.5, (probe + classical) / 2)):
        found = fit(StackSpec(probe=gentle, shares=[share]), start, task, train, valid, 0).outputs(test)
        torch.testing.assert_close(found, expected.double(), atol=1e-3, rtol=1e-3)


def test_the_share_is_the_best_on_validation():
    start, task, data = classify(60)
    train, valid, _ = halves(data, 30, 20)
    losses = {}
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        losses[share] = fit(StackSpec(shares=[share]), start, task, train, valid, 0).record["valid_loss"]
    found = fit(StackSpec(shares=list(losses)), start, task, train, valid, 0).record
    assert found["share"] == min(losses, key=losses.__getitem__)
    assert found["valid_loss"] == min(losses.values())


def test_two_parts_of_different_files_combine():
    domain = ProteinSpec(length=32).build()
    first, second = domain.read(from_arrays(["ACD", "EF"])), domain.read(from_arrays(["GHIK"]))
    both = combine(first, second.subset([0, 0]))
    assert [len(both[i].inputs) for i in range(4)] == [3, 2, 4, 4]
    assert both.lengths.tolist() == [3, 2, 4, 4]
    assert combine(first, first.subset([])) is first
