"""The blind baseline: a shifted split is refused, a random one passes."""

import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.blind import blind_baseline, require_fair


def test_members_of_another_time_are_refused():
    rng = np.random.default_rng(0)
    member = rng.random(400) < 0.5
    features = rng.normal(size=(400, 5)) + 0.8 * member[:, None] * np.array([1, 0, 0, 0, 0])
    found = blind_baseline(features, member)
    assert found.low > 0.5
    with pytest.raises(InputError, match="told apart by their inputs alone"):
        require_fair(found)


def test_a_random_split_passes():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 8))
    fair = 0
    for seed in range(30):
        found = blind_baseline(features, np.random.default_rng(seed).random(200) < 0.5)
        require_fair(found) if found.fair else None
        fair += found.fair
    assert fair >= 28


def test_too_few_of_a_kind():
    with pytest.raises(InputError, match="needs 5 members"):
        blind_baseline(np.zeros((10, 2)), np.arange(10) < 3)
