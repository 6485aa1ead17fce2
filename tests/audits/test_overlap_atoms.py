"""Structures compared by the bonds that distances show."""

from __future__ import annotations

import numpy as np

from exapt.audits.overlap.fields import Settings, compare
from exapt.domains import AtomsSpec, from_arrays
from exapt.domains.structure import Structure


def test_the_same_molecule_in_another_frame_is_found() -> None:
    domain = AtomsSpec().build()
    water = Structure(np.array([8, 1, 1]), np.array([[[0.0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]]]))
    moved = Structure(water.numbers[::-1].copy(), water.positions[:, ::-1, [1, 2, 0]] + 3.0)
    corpus = domain.read(from_arrays(["CCO", "CCN", moved]))
    asked = domain.read(from_arrays([water, "OCC", "CCCC"]))
    found = compare(domain, corpus, asked, Settings())
    assert found.twin.tolist() == [2, 0, -1]
    assert found.overlapping(0.5).tolist() == [True, True, False]
