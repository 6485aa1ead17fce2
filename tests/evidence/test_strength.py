"""a/σ of real features without optimism, and the learning curve it predicts."""

import numpy as np
import pytest

from exapt.audits.signal import planted
from exapt.errors import InputError
from exapt.evidence.signal import centroid
from exapt.evidence.strength import (
    Gaussians,
    binary_accuracy,
    calibrate,
    fit_gaussians,
    held_out_accuracy,
    held_out_scores,
    labels_to_reach,
    predicted_accuracy,
    strength,
)


def two(ratio, width=1):
    means = np.zeros((2, width))
    means[:, 0] = [-ratio, ratio]
    return Gaussians(means, np.ones(width), np.array([0.5, 0.5]))


@pytest.mark.parametrize("ratio", [0.5, 1.5])
def test_planted_strength_is_recovered(ratio):
    x, y = planted(ratio, 2000, 12, np.random.default_rng(0))
    found = strength(held_out_scores(x, y), y)
    assert found.value == pytest.approx(ratio, rel=0.06)
    assert found.low < ratio < found.high


def test_noise_has_no_strength_however_wide():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 80)), np.arange(200) % 2
    found = strength(held_out_scores(x, y), y)
    assert found.low < 0 < found.high
    assert held_out_accuracy(x, y) == pytest.approx(0.5, abs=0.11)


def test_scores_of_an_example_do_not_know_its_label():
    x, y = planted(1.0, 100, 5, np.random.default_rng(1))
    changed = y.copy()
    changed[7] = 1 - changed[7]
    before, after = held_out_scores(x, y, folds=100), held_out_scores(x, changed, folds=100)
    raw = before[7, 1] - after[7, 1]
    assert abs(raw) < 1e-6 or abs(raw) < 0.2 * np.abs(before[:, 1]).mean()


def test_strength_does_not_change_with_the_scale_of_a_feature():
    x, y = planted(1.0, 4000, 6, np.random.default_rng(1))
    one, two_ = (strength(held_out_scores(v, y), y).value for v in (x, 10 * x))
    assert one == pytest.approx(two_, rel=1e-6)


def test_model_spread_is_that_of_the_means_not_of_their_noise():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((400, 50)), np.arange(400) % 4
    model = fit_gaussians(x, y)
    naive = np.stack([x[y == k].mean(0) for k in range(4)])
    assert ((model.means - model.means.mean(0)) ** 2).sum() < 0.45 * ((naive - naive.mean(0)) ** 2).sum()


@pytest.mark.parametrize("labels", [10, 40, 160])
def test_drawn_prediction_equals_the_closed_form_of_two_classes(labels):
    model = two(1.2, 20)
    drawn = predicted_accuracy(model, labels, np.random.default_rng(0), repeats=120)
    assert drawn == pytest.approx(binary_accuracy(model, labels), abs=0.02)


def test_one_dimension_is_the_midpoint_rule():
    for labels in (20, 100):
        assert binary_accuracy(two(1.0), labels) == pytest.approx(centroid(1.0, 1.0, labels), abs=0.02)


def test_prediction_is_what_regularised_discriminants_do():
    """Discriminants fitted to 60 drawn labels in 30 dimensions, at the best of their penalties."""
    rng = np.random.default_rng(3)
    model = Gaussians(two(1.3, 30).means, 1 / np.arange(1, 31.0), np.array([0.5, 0.5]))
    scores = np.zeros(12)
    for _ in range(30):
        y = np.arange(60) % 2
        x = model.means[y] + rng.standard_normal((60, 30)) * np.sqrt(model.spectrum)
        truth = np.arange(400) % 2
        test = model.means[truth] + rng.standard_normal((400, 30)) * np.sqrt(model.spectrum)
        means = np.stack([x[y == k].mean(0) for k in (0, 1)])
        within = (x - means[y]).T @ (x - means[y]) / 58
        for i, penalty in enumerate(np.geomspace(1e-3, 10, 12)):
            w = np.linalg.solve(within + penalty * np.eye(30), means[1] - means[0])
            scores[i] += ((test @ w > means.mean(0) @ w) == truth).mean() / 30
    assert binary_accuracy(model, 60) == pytest.approx(scores.max(), abs=0.02)


def test_calibration_meets_the_accuracy_measured():
    model = two(2.0, 10)
    weaker = calibrate(model, 0.85, 200)
    assert predicted_accuracy(weaker, 200, np.random.default_rng(5)) == pytest.approx(0.85, abs=0.02)
    assert np.abs(weaker.means).max() < 2.0


def test_a_stronger_signal_needs_fewer_labels_and_an_unreachable_target_none_will_do():
    rng = np.random.default_rng(0)
    strong, weak = (labels_to_reach(two(r, 10), 0.8, 1000, rng) for r in (2.0, 1.0))
    assert strong < weak
    assert labels_to_reach(two(0.5, 10), 0.9, 400, rng) is None


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((40, 2)), np.zeros(30, dtype=int), "expected \\(n, D\\)"),
        (np.zeros((40, 2)), np.zeros(40, dtype=int), "needs two classes or more of 20 each"),
        (np.zeros((40, 2)), np.arange(40) % 3, "13 labelled examples in the smallest class"),
        (np.full((40, 2), np.inf), np.arange(40) % 2, "not finite"),
    ],
)
def test_mistakes_are_one_line(x, y, said):
    with pytest.raises(InputError, match=said):
        fit_gaussians(x, y)
