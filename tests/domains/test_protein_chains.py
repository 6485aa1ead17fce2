"""Chains from structure files: letters, gaps, where side chains begin, and what is wrong with a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from exapt.domains import ProteinSpec, Source
from exapt.domains.protein_chains import virtual_beta
from exapt.errors import InputError

PROTEIN = ProteinSpec(length=64).build()


def line(serial, name, residue, chain, number, place, insertion=" ", kind="ATOM", alternate=" "):
    x, y, z = place
    return (
        f"{kind:<6}{serial:>5} {name:<4}{alternate}{residue:<3} {chain}{number:>4}{insertion}   "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {name.strip()[0]}\n"
    )


def residue(serial, letters, chain, number, at, beta=True, insertion=" "):
    """N, CA, C (and CB) of a residue whose Cα lies at (3.8 · at, 0, 0); C and the next N are 1.3 Å apart."""
    x = 3.8 * at
    atoms = [(" N", (x - 1.25, 0.0, 0.0)), (" CA", (x, 0.5, 0.0)), (" C", (x + 1.25, 0.0, 0.0))]
    atoms += [(" CB", (x, 1.5, 1.0))] if beta else []
    return "".join(line(serial + k, name, letters, chain, number, p, insertion) for k, (name, p) in enumerate(atoms))


def read(tmp_path: Path, text: str, name: str = "a.pdb", **words):
    (tmp_path / name).write_text(text)
    return PROTEIN.read(Source(path=str(tmp_path / name), **words))


def letters(dataset):
    return [PROTEIN.decode(dataset.store[int(row)]) for row in dataset.rows]


def test_one_example_a_chain_with_a_place_a_residue(tmp_path: Path) -> None:
    text = residue(1, "ALA", "A", 1, 0) + residue(5, "GLY", "A", 2, 1) + residue(9, "MSE", "B", 1, 9)
    dataset = read(tmp_path, text)
    assert letters(dataset) == ["AG", "M"]
    alanine, glycine = dataset.columns["coordinates"][0]
    assert alanine == [0.0, 1.5, 1.0] and glycine == [3.8, 0.5, 0.0]  # Cβ; of glycine Cα, though a CB is given


def test_a_broken_chain_is_filled_and_a_leap_of_numbers_alone_is_not(tmp_path: Path) -> None:
    text = residue(1, "ALA", "A", 1, 0) + residue(5, "TRP", "A", 4, 3) + residue(9, "VAL", "A", 20, 4)
    dataset = read(tmp_path, text)
    assert letters(dataset) == ["AXXWV"]
    assert [place is None for place in dataset.columns["coordinates"][0]] == [False, True, True, False, False]


def test_insertions_are_residues_of_their_own_and_second_alternatives_are_not(tmp_path: Path) -> None:
    text = residue(1, "ALA", "A", 5, 0) + residue(5, "CYS", "A", 5, 1, insertion="A")
    text += line(20, " CA", "TRP", "A", 6, (9.0, 9.0, 9.0), alternate="B")
    assert letters(read(tmp_path, text)) == ["AC"]


def test_backbones_alone_get_a_virtual_beta(tmp_path: Path) -> None:
    dataset = read(tmp_path, residue(1, "ALA", "A", 1, 0, beta=False))
    wanted = virtual_beta(np.array([-1.25, 0, 0]), np.array([0, 0.5, 0]), np.array([1.25, 0, 0]))
    assert np.allclose(dataset.columns["coordinates"][0][0], wanted, atol=1e-3)


def test_the_virtual_beta_of_an_ideal_alanine() -> None:
    """1.53 Å from Cα, at about 110° to N and C."""
    n, alpha, c = np.array([1.458, 0, 0]), np.zeros(3), np.array([1.525 * np.cos(1.939), 1.525 * np.sin(1.939), 0])
    beta = virtual_beta(n, alpha, c)
    assert abs(np.linalg.norm(beta) - 1.53) < 0.03
    for other in (n, c):
        angle = np.degrees(np.arccos(beta @ other / np.linalg.norm(beta) / np.linalg.norm(other)))
        assert 105 < angle < 115


def test_only_the_first_model_and_no_water_or_calcium(tmp_path: Path) -> None:
    text = "MODEL 1\n" + residue(1, "ALA", "A", 1, 0) + line(9, "CA", " CA", "A", 90, (0, 0, 0), kind="HETATM")
    text += "ENDMDL\nMODEL 2\n" + residue(1, "TRP", "A", 1, 0) + "ENDMDL\n"
    assert letters(read(tmp_path, text)) == ["A"]


def test_mmcif_says_the_same(tmp_path: Path) -> None:
    keys = ["group_PDB", "label_atom_id", "label_alt_id", "label_comp_id", "auth_asym_id", "auth_seq_id"]
    keys += ["pdbx_PDB_ins_code", "Cartn_x", "Cartn_y", "Cartn_z", "pdbx_PDB_model_num"]
    rows = [f"ATOM {name} . ALA A {number} ? {x} 0 0 1" for number, x in ((1, 0.0), (3, 7.6)) for name in ("CA", "CB")]
    rows += ["ATOM CA . TRP A 1 ? 0 0 0 2", 'HETATM "CA\'" . ZZZ A 9 ? 0 0 0 1']
    text = (
        "data_x\nloop_\n" + "".join(f"_atom_site.{k}\n" for k in keys) + "\n".join(rows) + "\n#\nloop_\n_other.x\n1\n"
    )
    assert letters(read(tmp_path, text, "a.cif")) == ["AXA"]


def test_folders_of_zipped_files_and_columns(tmp_path: Path) -> None:
    for name in ("b", "a"):
        with gzip.open(tmp_path / f"{name}.pdb.gz", "wt") as file:
            file.write(residue(1, "ALA", "A", 1, 0) + residue(5, "TRP", "C", 2, 9))
    dataset = PROTEIN.read(Source(path=str(tmp_path), group="file", split="chain"))
    assert dataset.columns["file"].tolist() == ["a.pdb.gz", "a.pdb.gz", "b.pdb.gz", "b.pdb.gz"]
    assert dataset.columns["chain"].tolist() == ["A", "C", "A", "C"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("REMARK nothing\n", "no amino acid with a Cα atom"),
        (residue(1, "ALA", "A", 1, 0)[:-1].replace("   0.000", "     abc", 1), "line 1: no residue number"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_a_column_that_structures_do_not_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column 'fold'"):
        read(tmp_path, residue(1, "ALA", "A", 1, 0), group="fold")
