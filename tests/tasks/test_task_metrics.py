"""Metrics against scikit-learn, scipy and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from exapt.tasks import metrics

TRUTHS = st.lists(st.integers(0, 3), min_size=1, max_size=30)
SEEDS = st.integers(0, 10_000)


def probabilities(truth: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    scores = np.random.default_rng(seed).integers(1, 5, (len(truth), 4)).astype(float)
    scores += np.random.default_rng(seed + 1).random((len(truth), 4)) * 1e-3
    return scores / scores.sum(1, keepdims=True), np.array(truth)


@settings(deadline=None)
@given(TRUTHS, SEEDS)
def test_class_metrics_equal_scikit_learn(truth: list[int], seed: int) -> None:
    p, t = probabilities(truth, seed)
    guess = p.argmax(1)
    assert metrics.accuracy(p, t) == pytest.approx(oracle.accuracy_score(t, guess))
    recall = oracle.recall_score(t, guess, average="macro", labels=np.unique(t))
    assert metrics.balanced_accuracy(p, t) == pytest.approx(recall)
    assert metrics.macro_f1(p, t) == pytest.approx(oracle.f1_score(t, guess, average="macro"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_ranking_metrics_equal_scikit_learn_with_ties(pairs: list[tuple[bool, int]]) -> None:
    truth, scores = np.array([t for t, _ in pairs]), np.array([s for _, s in pairs], dtype=float)
    assume(truth.any() and not truth.all())
    assert metrics.auc(scores, truth) == pytest.approx(oracle.roc_auc_score(truth, scores))
    assert metrics.average_precision(scores, truth) == pytest.approx(oracle.average_precision_score(truth, scores))
    wins = [(a > b) + 0.5 * (a == b) for a in scores[truth] for b in scores[~truth]]
    assert metrics.auc(scores, truth) == pytest.approx(np.mean(wins))


@settings(deadline=None)
@given(st.integers(2, 40), SEEDS)
def test_number_metrics_equal_scipy_and_scikit_learn(count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    p, t = draw.integers(0, 5, count).astype(float), draw.integers(0, 5, count).astype(float)
    assume(len(set(p)) > 1 and len(set(t)) > 1)
    assert metrics.r_squared(p, t) == pytest.approx(oracle.r2_score(t, p))
    assert metrics.pearson(p, t) == pytest.approx(stats.pearsonr(p, t).statistic)
    assert metrics.spearman(p, t) == pytest.approx(stats.spearmanr(p, t).statistic)
    assert metrics.minus_mae(p, t) == pytest.approx(-oracle.mean_absolute_error(t, p))


def test_what_data_cannot_define_is_none() -> None:
    ones, nothing = np.ones(3), np.zeros(0)
    assert metrics.auc(np.arange(3.0), ones) is None
    assert metrics.average_precision(np.arange(3.0), np.zeros(3)) is None
    assert metrics.r_squared(np.arange(3.0), ones) is None
    assert metrics.pearson(ones, np.arange(3.0)) is None
    assert metrics.spearman(ones, np.arange(3.0)) is None
    assert metrics.accuracy(np.zeros((0, 2)), nothing) is None
    assert metrics.minus_mae(nothing, nothing) is None
    assert metrics.average([None, 2.0, 4.0]) == 3.0
    assert metrics.average([None]) is None
