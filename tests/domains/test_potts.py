"""Made-up families: their model's own probabilities, their chains, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.domains import ProteinSpec, Source
from exapt.domains.potts import CLOSEST, STEP, Family, compact_chain
from exapt.errors import InputError

PROTEIN = ProteinSpec(length=64).build()


def test_gibbs_sampling_has_the_models_probabilities() -> None:
    """Two coupled places: all 400 pairs against exp(h_i + h_j + J) over its sum."""
    rng = np.random.default_rng(0)
    fields, coupling = rng.normal(size=(2, 20)), rng.normal(size=(20, 20))
    family = Family(np.zeros((2, 3)), fields, np.array([[0, 1]]), coupling[None])
    drawn = family.sample(60_000, rng, sweeps=15)
    weight = np.exp(fields[0][:, None] + fields[1] + coupling)
    seen = np.bincount(drawn[:, 0] * 20 + drawn[:, 1], minlength=400) / len(drawn)
    assert np.abs(seen - (weight / weight.sum()).ravel()).max() < 0.003


def test_chains_have_steps_of_one_length_and_keep_from_themselves() -> None:
    places = compact_chain(40, np.random.default_rng(1))
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert np.allclose(np.diagonal(apart, 1), STEP)
    assert apart[np.triu_indices(40, 2)].min() > CLOSEST


def test_a_draw_is_fixed_and_another_draw_has_the_same_contacts() -> None:
    one, again, other = (PROTEIN.read(Source(path=f"potts:2x3x16{d}", group="family")) for d in ("", "@0", "@1"))
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    assert one.columns["coordinates"].tolist() == other.columns["coordinates"].tolist()
    assert one.columns["family"].tolist() == ["0"] * 3 + ["1"] * 3


@pytest.mark.parametrize("path", ["potts:3x5", "potts:0x5x20", "potts:2x5x8"])
def test_what_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="expected"):
        PROTEIN.read(Source(path=path))
