"""Probing measures against naive oracles, and against the numbers they gave before on scikit-learn's digits."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from exapt.evidence.probing import (
    RANKINGS,
    control_labels,
    disentanglement,
    duplicate_types,
    fit_linear,
    from_importance,
    online_code,
    rank,
    score_linear,
    selectivity,
    sparse_curve,
)
from exapt.evidence.probing.factor import interval
from exapt.evidence.probing.linear import chances
from exapt.evidence.probing.ranking import entry, information, mean_difference, one_hot


@pytest.fixture(scope="module")
def digits():
    """Pixels (1797, 64), digits, and a split of 1200 and the rest."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x, y, (order[:1200], order[1200:])


@pytest.fixture(scope="module")
def planted():
    """Two classes of 200 rows that differ in dimensions 3 and 7 of 12."""
    rng = np.random.default_rng(1)
    factor = rng.integers(0, 2, 200)
    x = rng.normal(size=(200, 12))
    x[:, 3] += 2.0 * factor
    x[:, 7] -= 1.5 * factor
    return x, factor


def test_the_probe_is_scikit_learns(digits):
    x, y, (train, test) = digits
    scale = StandardScaler().fit(x[train])
    theirs = LogisticRegression(max_iter=5000, tol=1e-7).fit(scale.transform(x[train]), y[train])
    [ours] = fit_linear(x, y, [train])
    assert np.abs(chances(ours, x[test]) - theirs.predict_proba(scale.transform(x[test]))).max() < 0.03
    assert score_linear(x, y, [(train, test)])[0] == pytest.approx(
        theirs.score(scale.transform(x[test]), y[test]), abs=0.005
    )


def test_balanced_weights_are_scikit_learns(planted):
    x, _ = planted
    rare = (x[:, 0] + x[:, 1] > 1.5).astype(int)
    rows = np.arange(150)
    scale = StandardScaler().fit(x[rows])
    theirs = LogisticRegression(class_weight="balanced", max_iter=2000).fit(scale.transform(x[rows]), rare[rows])
    [ours] = fit_linear(x, rare, [rows], balanced=True)
    assert chances(ours, x)[:, 1] == pytest.approx(theirs.predict_proba(scale.transform(x))[:, 1], abs=0.02)


@pytest.mark.parametrize("by", RANKINGS)
def test_every_ranking_finds_the_planted_dimensions(planted, by):
    x, factor = planted
    assert set(rank(x, factor, by)[:2].tolist()) == {3, 7}
    hidden = factor.copy()
    hidden[:20] = -1  # rows whose class is not known count for nothing
    assert rank(x, hidden, by).tolist() == rank(x[20:], factor[20:], by).tolist()


def test_mean_difference_is_the_largest_over_classes(planted):
    x, _ = planted
    kinds = np.arange(len(x)) % 3
    expected = [max(abs(c[kinds == k].mean() - c[kinds != k].mean()) for k in range(3)) for c in x.T]
    assert mean_difference(x, kinds) == pytest.approx(expected)


def test_information_is_that_of_the_table_of_tenths(planted):
    x, factor = planted
    column = x[:, 3]
    cuts = np.quantile(column, np.arange(1, 10) / 10)
    cells = [(sum(v >= c for c in cuts), k) for v, k in zip(column, factor, strict=True)]
    expected = 0.0
    for cell in set(cells):
        p = cells.count(cell) / len(cells)
        row = sum(c[0] == cell[0] for c in cells) / len(cells)
        expected += p * np.log(p / (row * sum(c[1] == cell[1] for c in cells) / len(cells)))
    assert information(x, factor)[3] == pytest.approx(expected)


def test_the_l1_path_enters_where_the_gradient_is_largest(planted):
    x, factor = planted
    z = (x - x.mean(0)) / x.std(0)
    hot = one_hot(factor)
    slopes = np.linalg.norm(z.T @ (hot - hot.mean(0)), axis=1)
    assert entry(z, factor).argmax() == slopes.argmax()
    assert entry(z, np.zeros(len(z), dtype=int)).max() == 0  # one class: nothing to tell


def test_the_l1_path_agrees_with_scikit_learns_zeros(planted):
    x, factor = planted
    z = (x - x.mean(0)) / x.std(0)
    first = np.argsort(-entry(z, factor))[:2]
    theirs = LogisticRegression(l1_ratio=1, C=0.025, solver="saga", max_iter=2000).fit(z, factor).coef_[0]
    assert set(np.flatnonzero(np.abs(theirs) > 1e-6).tolist()) == set(first.tolist())


def test_digits_read_from_few_pixels(digits):
    x, y, split = digits
    curve = sparse_curve(x, y, [split], sizes=[1, 4, 8, 16, 32])
    expected = [0.199, 0.508, 0.631, 0.906, 0.961, 0.982]
    assert curve.scores[0] == pytest.approx(expected, abs=0.02)
    zero = sparse_curve(x, (y == 0).astype(int), [split], measure="F1", sizes=[1, 2])
    assert zero.scores[0] == pytest.approx([0.667, 0.878, 0.984], abs=0.01)


def test_the_fewest_dimensions_within_a_tolerance(planted):
    x, factor = planted
    splits = [(np.arange(0, 150), np.arange(150, 200)), (np.arange(50, 200), np.arange(0, 50))]
    curve = sparse_curve(x, factor, splits, measure="balanced-accuracy")
    assert curve.sizes == (1, 2, 4, 8, 12)
    each = [next(k for k, s in zip(curve.sizes, row, strict=True) if s >= row[-1] - 0.02) for row in curve.scores]
    mean = curve.scores.mean(0)
    first = next(k for k, s in zip(curve.sizes, mean, strict=True) if s >= mean[-1] - 0.02)
    assert curve.enough(0.02) == (first, min(each), max(each))
    assert [d for d, share in curve.chosen(2) if share == 1] == [3, 7]


def test_ranking_sees_the_training_rows_only(planted):
    x, factor = planted
    train, test = np.arange(100), np.arange(100, 200)
    changed = x.copy()
    changed[test, 0] += 50 * factor[test]  # would win any ranking that looked
    before, after = (sparse_curve(v, factor, [(train, test)]).orders for v in (x, changed))
    assert (before == after).all()


def test_control_labels_belong_to_types_in_the_factors_shares():
    factor = np.repeat([0, 0, 0, 1], 500)
    types = np.arange(2000) // 2
    drawn = control_labels(factor, types, seed=0)
    assert (drawn[::2] == drawn[1::2]).all() and drawn.mean() == pytest.approx(0.25, abs=0.04)
    assert (drawn == control_labels(factor, types, seed=0)).all() and (drawn != control_labels(factor, types, 1)).any()
    assert control_labels(np.array([-1, 0, 1]), np.arange(3), 0)[0] == -1


def test_types_by_content():
    rows = [np.array([1, 2]), np.array([1]), np.array([1, 2]), np.array([2])]
    types = duplicate_types(rows)
    assert types[0] == types[2] and len(set(types.tolist())) == 3


@pytest.mark.parametrize(
    ("name", "accuracy", "control", "bits"),
    [
        ("raw", 0.982, 0.313, 559),
        ("pca16", 0.966, 0.270, 656),
        ("pca4", 0.804, 0.179, 1392),
        ("rand256", 0.983, 0.501, 491),
        ("noise", 0.112, 0.102, 6135),
    ],
)
def test_the_table_of_digits(digits, name, accuracy, control, bits):
    """Equal accuracies, unlike selectivities: 256 random features memorise what 64 pixels cannot."""
    x, y, (train, test) = digits
    rng = np.random.default_rng(0)
    features = {
        "raw": lambda: x,
        "pca16": lambda: PCA(16, random_state=0).fit(x[train]).transform(x),
        "pca4": lambda: PCA(4, random_state=0).fit(x[train]).transform(x),
        "rand256": lambda: np.maximum((x - x[train].mean(0)) @ rng.normal(size=(64, 256)) / 8, 0),
        "noise": lambda: rng.normal(size=x.shape),
    }[name]()
    types = KMeans(300, n_init=1, random_state=0).fit(x).labels_
    found = selectivity(features, y, types, [(train, test)])
    assert found.task[0] == pytest.approx(accuracy, abs=0.025)
    assert found.control[0] == pytest.approx(control, abs=0.09)
    code = online_code(features, y, train, cap=False)
    assert code.uniform == pytest.approx(3986.3, abs=0.1)
    assert code.bits == pytest.approx(bits, rel=0.1)
    assert code.bits >= online_code(features, y, train).bits


def test_random_features_are_less_selective_than_principal_axes(digits):
    x, y, (train, test) = digits
    types = KMeans(300, n_init=1, random_state=0).fit(x).labels_
    wide = np.maximum((x - x[train].mean(0)) @ np.random.default_rng(0).normal(size=(64, 256)) / 8, 0)
    few = PCA(16, random_state=0).fit(x[train]).transform(x)
    a, b = (selectivity(v, y, types, [(train, test)]) for v in (wide, few))
    assert b.each[0] - a.each[0] > 0.08 and abs(a.task[0] - b.task[0]) < 0.03


def test_the_code_is_the_sum_over_blocks(planted):
    x, factor = planted
    order = np.random.default_rng(0).permutation(200)
    code = online_code(x, factor, order, cap=False)
    assert code.ends == (2, 3, 6, 12, 25, 50, 100, 200)
    bits = 2.0
    for start, end in zip(code.ends[:-1], code.ends[1:], strict=True):
        [probe] = fit_linear(x, factor, [order[:start]])
        chance = chances(probe, x)[order[start:end], factor[order[start:end]]]
        bits -= np.log2(np.maximum(chance, 0.005)).sum()
    assert code.bits == pytest.approx(bits, rel=1e-3)
    assert code.compression == pytest.approx(200 / bits, rel=1e-3)
    noise = online_code(np.random.default_rng(5).normal(size=(200, 12)), factor, order)
    assert noise.compression == pytest.approx(1.0, abs=0.05) and noise.bits <= noise.uniform


def naive_dci(matrix):
    """Eastwood & Williams' scores, entry by entry."""
    dims, factors = matrix.shape
    disentangled = complete = 0.0
    for d in range(dims):
        row = matrix[d] / matrix[d].sum()
        entropy = -sum(p * np.log(p) / np.log(factors) for p in row if p > 0)
        disentangled += (1 - entropy) * matrix[d].sum() / matrix.sum()
    for k in range(factors):
        column = matrix[:, k] / matrix[:, k].sum()
        complete += (1 + sum(p * np.log(p) / np.log(dims) for p in column if p > 0)) / factors
    return disentangled, complete


def test_scores_from_importance():
    matrix = np.random.default_rng(0).random((6, 3))
    assert from_importance(matrix) == pytest.approx(naive_dci(matrix))
    assert from_importance(np.eye(4)) == pytest.approx((1.0, 1.0))
    assert from_importance(np.ones((4, 3))) == pytest.approx((0.0, 0.0))
    assert from_importance(np.ones((4, 1)))[0] is None  # one factor: nothing to be told apart from
    assert from_importance(np.ones((1, 2)))[1] is None
    assert from_importance(np.zeros((3, 2))) == (0.0, 0.0)


CODES = [
    ("identity", "trees", 1.000, 1.000, 1.000),
    ("rotation", "trees", 0.376, 0.376, 0.978),
    ("duplicated", "trees", 1.000, 0.671, 1.000),
    ("noise", "trees", 0.001, 0.002, 0.246),
    ("identity", "lasso", 1.000, 1.000, 1.000),
    ("duplicated", "lasso", 1.000, 0.671, 1.000),
]


@pytest.mark.parametrize(("code", "family", "d", "c", "i"), CODES)
def test_codes_with_known_disentanglement(code, family, d, c, i):
    """Four factors of four levels, 1000 training rows."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 4, (1500, 4))
    z = factors - 1.5
    features = {
        "identity": z + 0.05 * rng.normal(size=z.shape),
        "rotation": z @ np.linalg.qr(rng.normal(size=(4, 4)))[0],
        "duplicated": np.hstack([z, z]) + 0.05 * rng.normal(size=(1500, 8)),
        "noise": rng.normal(size=z.shape),
    }[code]
    found = disentanglement(features, factors, (np.arange(1000), np.arange(1000, 1500)), family, trees=20)
    wide = 0.12 if code == "rotation" else 0.02
    assert found.disentanglement == pytest.approx(d, abs=wide) and found.completeness == pytest.approx(c, abs=wide)
    assert found.informativeness == pytest.approx(i, abs=0.04)


def test_intervals_of_splits_that_share_rows():
    values = np.array([0.80, 0.82, 0.84])
    mean, _low, high = interval(values, 0.9, 0.0)
    assert (mean, high - mean) == pytest.approx((0.82, 2.919986 * 0.02 / np.sqrt(3)), rel=1e-5)
    wider = interval(values, 0.9, 1 / 3)
    assert (wider[2] - mean) / (high - mean) == pytest.approx(np.sqrt(2))
    assert interval(values[:1])[1:] == (float("-inf"), float("inf"))
