"""The figures of forgetting against loops written out, and the share of features that a linear map gives back."""

import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.forgetting import recoverable, relative_rise, retention

MATRIX = [[0.9, 0.2, 0.1], [0.95, 0.8, 0.3], [0.6, 0.7, 0.85]]


def test_every_figure_equals_its_definition():
    found = retention(MATRIX, untrained=[0.1, 0.1, 0.1])
    size = len(MATRIX)
    assert found.accuracy == pytest.approx(sum(MATRIX[-1]) / size)
    assert found.backward == pytest.approx(sum(MATRIX[-1][j] - MATRIX[j][j] for j in range(size - 1)) / (size - 1))
    assert found.forward == pytest.approx(sum(MATRIX[j - 1][j] - 0.1 for j in range(1, size)) / (size - 1))
    wanted = [max(MATRIX[i][j] for i in range(size - 1)) - MATRIX[-1][j] for j in range(size - 1)]
    assert found.forgetting == pytest.approx(wanted)
    assert found.forgetting[0] == pytest.approx(0.35)  # the best it ever was (0.95), not the first (0.9)


def test_one_task_has_nothing_to_forget():
    found = retention([[0.7]])
    assert (found.accuracy, found.backward, found.forward, found.forgetting) == (0.7, None, None, [])
    assert retention(MATRIX).forward is None


@pytest.mark.parametrize("wrong", [[[0.1, 0.2]], [[np.nan]], [0.1]])
def test_anything_but_a_square_of_numbers_is_refused(wrong):
    with pytest.raises(InputError, match="expected a finite square"):
        retention(wrong)
    with pytest.raises(InputError, match="2 scores for 3 tasks"):
        retention(MATRIX, [0.1, 0.1])


def test_a_rise_is_relative_to_the_loss_before():
    np.testing.assert_allclose(relative_rise(2.0, np.array([2.0, 3.0, 1.0])), [0, 0.5, -0.5])
    with pytest.raises(InputError, match="not 0"):
        relative_rise(0.0, 1.0)


def test_rotated_features_are_all_there_and_projected_ones_are_not():
    rng = np.random.default_rng(0)
    old = rng.normal(size=(2000, 8))
    turned = old @ np.linalg.qr(rng.normal(size=(8, 8)))[0] * 3 + 7
    assert recoverable(old, turned) > 0.99
    assert recoverable(old, turned[:, :4]) == pytest.approx(0.5, abs=0.1)
    assert abs(recoverable(old, rng.normal(size=(2000, 8)))) < 0.05
    with pytest.raises(InputError, match="twice as many"):
        recoverable(old[:10], old[:10])
