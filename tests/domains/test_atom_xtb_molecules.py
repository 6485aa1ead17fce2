"""Molecules labelled by GFN2-xTB: units, and that no set shares a molecule with another."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

pytest.importorskip("tblite")
pytest.importorskip("rdkit")

from exapt.domains import AtomsSpec
from exapt.domains import atom_xtb_molecules as sets
from exapt.domains.atom_builtin import built_in, crystals
from exapt.domains.base import Source
from exapt.errors import InputError


def test_water_has_its_dipole_and_a_wide_gap() -> None:
    places = np.array([[0.0, 0.0, 0.1173], [0.0, 0.7572, -0.4692], [0.0, -0.7572, -0.4692]])
    found = sets.properties(np.array([8, 1, 1]), places)
    assert found["dipole"] / 0.2081943 == pytest.approx(2.2, abs=0.3)  # Debye; 1.85 measured
    assert 10 < found["gap"] < 20


def test_a_set_is_the_same_every_time_and_knows_its_molecules() -> None:
    first, again = (list(islice(built_in("xtb:gaps"), 3)) for _ in range(2))
    assert [f.columns for f in first] == [f.columns for f in again]
    assert all(f.smiles and set(f.columns) == {"dipole", "gap"} for f in first)
    dataset = AtomsSpec().build().read(Source(path="xtb:gaps", limit=2))
    assert dataset.store.smiles.tolist() == [f.smiles for f in first[:2]]


def test_sets_share_no_line_of_the_list() -> None:
    (a, b, _), (c, d, _) = sets.PARTS.values()
    assert 2500 <= a < b <= c < d
    some = {name: list(islice(sets._chosen(name), 40)) for name in sets.PARTS}
    assert not set(some["xtb:gaps"]) & set(some["xtb:dipoles"])


def test_what_has_no_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> dict[str, float]:
        raise RuntimeError("no convergence")

    monkeypatch.setattr(sets, "properties", never)
    assert sets._labelled("CCO", "here") is None
    assert sets._labelled("not a molecule", "here") is None


def test_other_crystals_are_none_of_the_first() -> None:
    ours, others = (list(islice(crystals(seed), 25)) for seed in (0, 1))
    assert all(not np.allclose(a.positions, b.positions) for (a, _) in ours for (b, _) in others)


def test_an_unknown_set_offers_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'xtb:gaps'"):
        list(built_in("xtb:gap"))
