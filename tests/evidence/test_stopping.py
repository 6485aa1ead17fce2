"""Stopping by the target: healthy runs go on, harmful ones end, and why the best is picked on other items."""

import numpy as np
import pytest

from exapt.evidence.betting import log_fortune
from exapt.evidence.stopping import Stopping, worse
from exapt.files import jsonable

LOOKS, ITEMS = 20, 200


def checkpoint_scores(rng, accuracy, items=ITEMS, difficulty=None):
    """Item scores in fifths (five probes) of a checkpoint, on items that keep their difficulty."""
    chances = np.clip(accuracy + difficulty, 0.02, 0.98)
    return rng.binomial(5, chances) / 5


def a_run(rng, accuracies, same_items=False):
    """Whether the rule stopped, and after how many looks."""
    easy, hard = (rng.uniform(-0.2, 0.2, ITEMS) for _ in range(2))
    rule = Stopping()
    for step, accuracy in enumerate(accuracies):
        testing = checkpoint_scores(rng, accuracy, difficulty=hard)
        choosing = testing if same_items else checkpoint_scores(rng, accuracy, difficulty=easy)
        rule.look(step, choosing, testing)
        if rule.stopped:
            return step
    return None


def test_runs_in_which_nothing_is_worse_are_seldom_stopped():
    rng = np.random.default_rng(0)
    stopped = sum(a_run(rng, [0.7] * LOOKS) is not None for _ in range(100))
    assert stopped <= 5


def test_a_loss_of_ten_points_stops_the_run_and_keeps_the_checkpoint_before_it():
    rng, steps = np.random.default_rng(1), []
    for _ in range(40):
        steps.append(a_run(rng, [0.5, 0.6, 0.7, 0.75] + [0.65] * (LOOKS - 4)))
    caught = [step for step in steps if step is not None]
    assert len(caught) >= 36 and min(caught) >= 4


def test_a_best_picked_on_the_testing_items_would_look_better_than_it_is():
    """The winner's curse: picked and tested on one set of items, equal checkpoints lose against their best."""
    rng = np.random.default_rng(2)
    honest, cursed = [], []
    for _ in range(60):
        scores = rng.binomial(1, 0.7, (2, LOOKS, ITEMS)).astype(float)
        for found, choosing in ((honest, scores[0]), (cursed, scores[1])):
            best = choosing.mean(1).argmax()
            found.append((scores[1][best] - np.delete(scores[1], best, 0)).mean())
    assert abs(np.mean(honest)) < 0.01
    assert np.mean(cursed) > 0.03


def test_the_evidence_of_a_look_is_a_mean_over_orders():
    values = np.random.default_rng(3).uniform(-0.5, 0.8, 50)
    rng = np.random.default_rng(50)
    expected = np.mean([np.exp(log_fortune(rng.permutation(values), 0.01)[-1]) for _ in range(16)])
    assert worse(values, 0.01) == pytest.approx(expected)


def test_the_best_is_the_latest_of_equals_and_the_first_look_bets_nothing():
    rule = Stopping()
    first = rule.look(0, np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    assert first["best"] and first["evidence"] == 0.0 and rule.fortune == 0.0
    assert rule.look(10, np.array([0.0, 1.0]), np.array([0.0, 1.0]))["best"] and rule.best_step == 10
    assert not rule.look(20, np.array([0.0, 0.0]), np.array([1.0, 1.0]))["best"] and rule.best_step == 10


def test_a_restored_rule_goes_on_as_if_it_had_never_stopped():
    rng = np.random.default_rng(4)
    looks = [(rng.random(30), rng.random(30)) for _ in range(6)]
    whole, first = Stopping(), Stopping()
    for step, pair in enumerate(looks):
        whole.look(step, *pair)
    for step, pair in enumerate(looks[:3]):
        first.look(step, *pair)
    second = Stopping()
    second.restore(jsonable(first.state()))
    for step, pair in enumerate(looks[3:], 3):
        second.look(step, *pair)
    assert second.state() == whole.state()
    empty = Stopping()
    empty.restore(jsonable(Stopping().state()))
    assert empty.look(0, np.zeros(2), np.zeros(2))["best"]
