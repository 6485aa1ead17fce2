"""The stacked solver against scikit-learn, one problem and one penalty at a time."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from exapt.adaptation.linear import PENALTIES, probe_many
from exapt.adaptation.logistic import design, interpolation, levels, minimise, solve_path
from exapt.adaptation.scaling import rotate, standardise

GRID = [0.01, 0.3, 1.0, 20.0, 3000.0]
TIGHT = {"tolerance": 1e-15}


def blobs(n, width, classes, seed=0, spread=1.5):
    """Overlapping Gaussian classes with features of very unlike scales and offsets."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    features = rng.normal(size=(classes, width))[labels] + spread * rng.normal(size=(n, width))
    return features @ rng.normal(size=(width, width)) * np.logspace(-2, 2, width) + 10, labels


def standard(features, rows):
    part = features[rows]
    return (features - part.mean(0)) / part.std(0)


def sklearn_logits(features, labels, rows, penalty, weights=None):
    scaled = standard(features, rows)
    model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=20000)
    model.fit(scaled[rows], labels[rows], sample_weight=None if weights is None else weights[rows])
    return model.decision_function(scaled)


def centred(logits):
    return logits - logits.mean(-1, keepdims=True)


def one(features, labels, train, valid, kind="classes", outputs=3, **options):
    return probe_many(features, labels, [(train, valid)], kind=kind, outputs=outputs, **{**TIGHT, **options})[0]


@pytest.mark.parametrize("penalty", GRID)
@pytest.mark.parametrize(("n", "width", "classes"), [(120, 5, 4), (30, 60, 3)])
def test_softmax_equals_scikit_learn(n, width, classes, penalty):
    features, labels = blobs(n, width, classes)
    rows = np.arange(n)
    found = one(features, labels, rows, rows[:0], outputs=classes, penalties=[penalty])
    expected = sklearn_logits(features, labels, rows, penalty)
    ours = found(torch.from_numpy(features)).numpy()
    assert found.converged
    np.testing.assert_allclose(centred(ours), centred(expected), atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("penalty", GRID)
def test_two_classes_equal_scikit_learn(penalty):
    features, labels = blobs(60, 6, 2)
    rows = np.arange(60)
    found = one(features, labels, rows, rows[:0], outputs=2, penalties=[penalty])
    ours = found(torch.from_numpy(features)).numpy()
    expected = sklearn_logits(features, labels, rows, penalty)
    np.testing.assert_allclose(ours[:, 1] - ours[:, 0], expected, atol=2e-5 * np.abs(expected).max())


def test_several_labels_with_gaps_equal_scikit_learn_on_what_is_there():
    features, first = blobs(90, 5, 2)
    _, second = blobs(90, 5, 2, seed=1)
    labels = np.stack([first, second, first ^ second], 1).astype(float)
    labels[::3, 0] = np.nan
    labels[50:, 2] = np.nan
    rows = np.arange(90)
    found = one(features, labels, rows, rows[:0], "labels", 3, penalties=[0.7])
    ours = found(torch.from_numpy(features)).numpy()
    scaled = standard(features, rows)
    for k in range(3):
        seen = ~np.isnan(labels[:, k])
        model = LogisticRegression(C=1 / 0.7, tol=1e-10, max_iter=20000).fit(scaled[seen], labels[seen, k])
        np.testing.assert_allclose(ours[:, k], model.decision_function(scaled), atol=1e-5)


@pytest.mark.parametrize(("n", "width"), [(50, 4), (12, 40)])
def test_ridge_equals_scikit_learn_also_with_gaps(n, width):
    features, _ = blobs(n, width, 2)
    values = np.random.default_rng(3).normal(size=(n, 3)) + features[:, :1]
    values[::4, 1] = np.nan
    rows = np.arange(n)
    for penalty in GRID:
        found = one(features, values, rows, rows[:0], "values", 3, penalties=[penalty])
        ours = found(torch.from_numpy(features)).numpy()
        for k in range(3):
            seen = np.flatnonzero(~np.isnan(values[:, k]))
            scaled = standard(features, seen)
            expected = Ridge(alpha=penalty).fit(scaled[seen], values[seen, k]).predict(scaled)
            np.testing.assert_allclose(ours[:, k], expected, atol=1e-6 * np.abs(expected).max())


def test_weights_equal_scikit_learns_sample_weights():
    features, labels = blobs(80, 5, 3)
    weights = np.random.default_rng(0).uniform(0.2, 3, size=80)
    rows = np.arange(80)
    found = one(features, labels, rows, rows[:0], penalties=[1.0], weights=[weights[:, None]])
    expected = sklearn_logits(features, labels, rows, 1.0, weights)
    np.testing.assert_allclose(centred(found(torch.from_numpy(features)).numpy()), centred(expected), atol=1e-4)


def test_float32_with_the_usual_tolerances_predicts_the_same_classes():
    features, labels = blobs(400, 20, 5, spread=2.0)
    train, valid = np.arange(300), np.arange(300, 400)
    exact = one(features, labels, train, valid, outputs=5)
    usual = probe_many(features.astype(np.float32), labels, [(train, valid)], kind="classes", outputs=5)[0]
    assert usual.converged
    assert usual.penalty == exact.penalty
    ours, theirs = (f(torch.from_numpy(features)).argmax(1).numpy() for f in (usual, exact))
    assert (ours == theirs).mean() > 0.995


def test_every_penalty_of_the_path_is_the_cold_solution():
    features, labels = blobs(100, 8, 3)
    turned = rotate(torch.from_numpy(features))
    target = torch.nn.functional.one_hot(torch.from_numpy(labels), 3).double()
    stacked = design([(turned.rows, target, None)], softmax=True)
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    path, converged = solve_path(stacked, penalties, 1e-14)
    cold, _ = minimise(stacked, penalties, 1e-14, torch.zeros_like(path))
    assert bool(converged.all())
    logits = [torch.einsum("gpkr,gnr->gpkn", w, stacked.rows) for w in (path, cold)]
    first, second = (one - one.mean(2, keepdim=True) for one in logits)
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-5)


def test_problems_solved_together_equal_problems_solved_alone():
    features, labels = blobs(200, 10, 3)
    rng = np.random.default_rng(0)
    draws = [np.split(rng.permutation(200)[:size], [size * 4 // 5]) for size in (15, 18, 20, 60, 150, 160, 200)]
    problems = [(a, b) for a, b in draws]
    together = probe_many(features, labels, problems, kind="classes", outputs=3, **TIGHT)
    for problem, found in zip(problems, together, strict=True):
        alone = one(features, labels, *problem)
        assert found.penalty == alone.penalty
        torch.testing.assert_close(found.weights, alone.weights, atol=1e-4, rtol=1e-4)


def test_order_of_examples_does_not_matter():
    features, labels = blobs(80, 6, 3)
    train, valid = np.arange(60), np.arange(60, 80)
    first = one(features, labels, train, valid)
    second = one(features, labels, train[::-1].copy(), valid[::-1].copy())
    assert first.penalty == second.penalty
    torch.testing.assert_close(first.weights, second.weights, atol=1e-6, rtol=1e-6)


def test_validation_and_other_rows_leave_no_trace_without_refit():
    features, labels = blobs(80, 6, 3)
    train, valid = np.arange(40), np.arange(40, 60)
    clean = one(features, labels, train, valid, penalties=[1.0], refit=False)
    spoiled = features.copy()
    spoiled[40:] *= 1e6
    again = one(spoiled, labels, train, valid, penalties=[1.0], refit=False)
    assert torch.equal(clean.weights, again.weights)
    scale = standardise(torch.from_numpy(features[train]))
    np.testing.assert_allclose(scale.mean.numpy(), features[train].mean(0))


def test_refit_is_the_fit_on_both_parts_at_the_chosen_penalty():
    features, labels = blobs(80, 6, 3)
    found = one(features, labels, np.arange(60), np.arange(60, 80))
    both = one(features, labels, np.arange(80), np.arange(0), penalties=[found.penalty])
    torch.testing.assert_close(found.weights, both.weights, atol=1e-6, rtol=1e-6)


def test_the_penalty_is_the_best_on_validation_alone():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(400, 1))
    labels = (signal[:, 0] > 0).astype(int)
    features = np.concatenate([signal + rng.normal(size=(400, 1)), rng.normal(size=(400, 60))], 1)
    train, valid = np.arange(80), np.arange(80, 400)
    found = one(features, labels, train, valid, outputs=2)
    losses = []
    for penalty in PENALTIES:
        logits = sklearn_logits(features, labels, train, penalty)[valid]
        losses.append(np.logaddexp(0, np.where(labels[valid] == 1, -logits, logits)).mean())
    assert found.penalty == PENALTIES[int(np.argmin(losses))]
    assert found.penalty > 10  # sixty columns of noise need a strong one
    assert found.choice.by == "loss"
    np.testing.assert_allclose(found.losses, losses, rtol=1e-4)
    # what validation says decides, though train would rather have no penalty at all
    greedy = one(features, labels, train, train, outputs=2)
    assert greedy.penalty == min(PENALTIES)


def test_choosing_by_the_metric():
    features, labels = blobs(90, 6, 3)
    train, valid = np.arange(60), np.arange(60, 90)
    found = one(features, labels, train, valid, by="metric", refit=False)
    best = max((sklearn_logits(features, labels, train, p)[valid].argmax(1) == labels[valid]).mean() for p in PENALTIES)
    assert found.choice.by == "metric"
    assert found.score == pytest.approx(best)
    backwards = one(
        features, labels, train, valid, by="metric", score=lambda out, y: -float((out.argmax(1).numpy() == y).mean())
    )
    assert -backwards.score < best


def test_missing_labels_cost_nothing():
    features, labels = blobs(80, 6, 3)
    gaps = labels.copy()
    gaps[[3, 10, 70]] = -1
    train, valid = np.arange(60), np.arange(60, 80)
    first = one(features, gaps, train, valid)
    second = one(features, labels, np.setdiff1d(train, [3, 10]), np.setdiff1d(valid, [70]))
    assert torch.equal(first.weights, second.weights)


def test_two_labels_a_class_and_many_features():
    features, labels = blobs(200, 50, 4, spread=0.5)
    train = np.concatenate([np.flatnonzero(labels == c)[:2] for c in range(4)])
    found = probe_many(features, labels, [(train, train[:0])], kind="classes", outputs=4, penalties=[1.0])[0]
    predicted = found(torch.from_numpy(features)).argmax(1).numpy()
    assert (predicted == labels).mean() > 0.8
    np.testing.assert_array_equal(predicted[train], labels[train])


def test_without_validation_the_middle_of_the_grid_is_taken():
    features, labels = blobs(40, 4, 3)
    found = one(features, labels, np.arange(40), np.arange(0), penalties=[0.1, 1.0, 10.0])
    assert (found.penalty, found.choice.by) == (1.0, "default")


def test_one_class_in_validation_falls_back_on_the_loss():
    features, labels = blobs(60, 4, 3)
    train, valid = np.arange(50), np.flatnonzero(labels == 1)[-3:]
    found = one(features, labels, train, valid, by="metric")
    assert found.choice.by == "loss"
    assert np.isnan(found.score)


def test_constant_features_and_a_class_unseen_in_training():
    features, labels = blobs(60, 4, 3)
    features = np.concatenate([features, np.full((60, 1), 1e8), np.zeros((60, 1))], 1)
    train = np.flatnonzero(labels != 2)
    found = probe_many(features, labels, [(train, train[:5])], kind="classes", outputs=3)[0]
    logits = found(torch.from_numpy(features[train]))
    assert bool(found.weights.isfinite().all())
    assert bool((logits.argmax(1) != 2).all())
    np.testing.assert_allclose(found.weights[:, -2:].numpy(), 0, atol=1e-12)


def test_a_level_holds_every_place_once_and_the_ends_first():
    for count in (1, 2, 7, 8, 9, 32, 45):
        found = levels(count)
        assert sorted(np.concatenate(found).tolist()) == list(range(count))
        assert {0, count - 1} <= set(found[0].tolist())


def test_interpolation_is_exact_on_cubics():
    known, wanted = np.array([-3.0, -1, 0, 2, 5]), np.array([-2.5, 0.3, 4.9])
    cubic = np.poly1d([0.5, -1, 2, 3])
    np.testing.assert_allclose(interpolation(known, wanted) @ cubic(known), cubic(wanted))
