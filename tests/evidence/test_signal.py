"""Accuracy against labels for z = a·y + ε: closed forms, quadrature and simulation agree, and the article's pair."""

import numpy as np
import pytest
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.signal import RULES, bayes, centroid, known_zero, labels_needed, least_of_weaker, nearest
from exapt.evidence.signal_finding import SignalProblem, signal_finding
from exapt.evidence.signal_simulated import LEARNT, simulate

TABLE_CENTROID = {
    2: (0.715, 0.638, 0.548),
    4: (0.890, 0.776, 0.613),
    10: (0.957, 0.848, 0.677),
    50: (0.964, 0.860, 0.705),
}
TABLE_NEAREST = {
    4: (0.884, 0.754, 0.590),
    10: (0.952, 0.810, 0.616),
    20: (0.957, 0.818, 0.624),
    100: (0.959, 0.821, 0.628),
}


@pytest.mark.parametrize(
    ("strength", "noise", "labels", "known"), [(1, 0.55, 10, 0.9585), (0.6, 0.55, 10, 0.8507), (0.3, 0.55, 4, 0.6356)]
)
def test_centroid_has_its_known_values(strength, noise, labels, known):
    assert centroid(strength, noise, labels) == pytest.approx(known, abs=5e-5)


@pytest.mark.parametrize("labels", TABLE_CENTROID)
def test_centroid_with_drawn_labels_is_the_table(labels):
    found = [centroid(a, 0.55, labels, "drawn") for a in (1.0, 0.6, 0.3)]
    assert found == pytest.approx(TABLE_CENTROID[labels], abs=0.003)  # the table was simulated


@pytest.mark.parametrize("labels", TABLE_NEAREST)
def test_nearest_with_drawn_labels_is_the_table(labels):
    found = [nearest(a, 0.52, labels, "drawn") for a in (1.0, 0.6, 0.3)]
    assert found == pytest.approx(TABLE_NEAREST[labels], abs=0.003)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("draw", ["balanced", "drawn"])
@pytest.mark.parametrize(("strength", "labels"), [(1.0, 4), (0.6, 10), (0.3, 8)])
def test_exact_values_are_what_simulation_gives(rule, draw, strength, labels):
    seen = simulate(rule, strength, 0.55, labels, np.random.default_rng(labels), repeats=8000, draw=draw)
    assert (
        abs(seen.value - RULES[rule](strength, 0.55, labels, draw)) < 3.5 * seen.error + 5e-4
    )  # a wrong order may be too rare to be drawn


def test_threshold_rules_are_scored_as_test_points_would():
    rng = np.random.default_rng(0)
    y = np.tile([1.0, 1, 1, -1, -1], (4000, 1))
    z = 0.6 * y + 0.55 * rng.standard_normal(y.shape)
    direction, threshold = LEARNT["centroid"](y, z)
    truth = rng.choice([-1.0, 1.0], 4000)
    right = np.sign(direction * (0.6 * truth + 0.55 * rng.standard_normal(4000) - threshold)) == truth
    from exapt.evidence.signal import _centroid_of

    assert right.mean() == pytest.approx(_centroid_of(0.6 / 0.55, 3, 2), abs=0.02)


def test_logistic_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    y = np.where(rng.random((6, 9)) < 0.5, 1.0, -1.0)
    z = 0.6 * y + 0.5 * rng.standard_normal(y.shape)
    direction, threshold = LEARNT["logistic"](y, z)
    for row in range(6):
        peer = LogisticRegression(C=1, tol=1e-10, max_iter=1000).fit(z[row][:, None], y[row])
        assert threshold[row] == pytest.approx(-peer.intercept_[0] / peer.coef_[0, 0], abs=1e-5)
        assert direction[row] == np.sign(peer.coef_[0, 0])


def test_the_articles_pair_with_one_nearest_neighbour():
    assert nearest(1.0, 0.52, 10, "drawn") > 0.95
    assert nearest(0.6, 0.52, 10, "drawn") == pytest.approx(0.80, abs=0.02)


def test_the_articles_pair_cannot_come_from_a_rule_near_bayes():
    assert least_of_weaker(0.95, 1.0, 0.6) == pytest.approx(0.838, abs=5e-4)
    for noise in np.linspace(0.3, 0.62, 9):
        if centroid(1.0, noise, 10) >= 0.95:
            assert centroid(0.6, noise, 10) > 0.83


def test_nothing_to_learn_is_a_coin_and_bayes_is_the_limit():
    assert nearest(0.0, 1.0, 6) == pytest.approx(0.5, abs=1e-6)
    assert nearest(0.0, 1.0, 2000, "drawn") == pytest.approx(0.5, abs=1e-4)
    assert centroid(0.0, 1.0, 6) == pytest.approx(0.5)
    assert centroid(0.6, 0.5, 20_000) == pytest.approx(bayes(0.6, 0.5), abs=1e-4)
    assert known_zero(0.6, 0.5, 20_000) == bayes(0.6, 0.5) == pytest.approx(stats.norm.cdf(1.2))


def test_one_drawn_label_knows_one_class():
    assert centroid(1.0, 0.5, 1, "drawn") == 0.5
    assert nearest(1.0, 0.5, 1, "drawn") == pytest.approx(0.5, abs=1e-3)


def test_labels_needed_is_the_first_that_reaches():
    found = labels_needed("nearest", 0.95, 1.0, 0.52)
    assert found.labels == 10 == next(m for m in range(2, 40) if nearest(1.0, 0.52, m, "drawn") >= 0.95)
    never = labels_needed("nearest", 0.95, 0.6, 0.52)
    assert never.labels is None and never.limit == bayes(0.6, 0.52) and "not met with 10,000 labels" in never.why
    assert labels_needed("centroid", 0.85, 1.0, 0.8, "balanced").labels % 2 == 0


def test_finding_says_the_pair_and_its_condition():
    finding = signal_finding(SignalProblem(), repeats=2000)
    assert finding.verdict == "STRONGER SIGNAL, FEWER LABELS"
    assert "95.1 % right answers" in finding.sentence and "0.6 gives 81.0 %" in finding.sentence
    assert "at least 83.8 %" in finding.caveats[0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: centroid(1, 0, 4), "noise 0"),
        (lambda: centroid(1, 1, 3), "even number"),
        (
            lambda: simulate("centroid", 1, 1, 3, np.random.default_rng(0), draw="balanced"),
            "3 labels cannot be balanced",
        ),
        (lambda: labels_needed("centroid", 0.4, 1, 1), "target 0.4"),
        (lambda: SignalProblem(weak=2.0), "expected strong > weak > 0"),
        (lambda: SignalProblem(rule="centriod"), "did you mean 'centroid'"),
    ],
)
def test_mistakes_are_one_line(call, said):
    with pytest.raises(InputError, match=said):
        call()
