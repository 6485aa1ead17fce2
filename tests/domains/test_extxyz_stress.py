"""Stresses in extended XYZ, whatever a file calls them."""

import numpy as np
import pytest

from exapt.domains import AtomsSpec, Source


@pytest.mark.parametrize("name", ["stress", "REF_stress", "dft_stress"])
def test_a_matrix_becomes_six_numbers(tmp_path, name):
    path = tmp_path / "a.extxyz"
    lattice = '"4 0 0 0 4 0 0 0 4"'
    comment = f'Lattice={lattice} Properties=species:S:1:pos:R:3 {name}="1 6 5 6 2 4 5 4 3" energy=-1.0'
    path.write_text(f"1\n{comment}\nCu 0 0 0\n")
    dataset = AtomsSpec().build().read(Source(path=str(path)))
    np.testing.assert_allclose(np.asarray(dataset.column(name)[0]), [1, 2, 3, 4, 5, 6])
