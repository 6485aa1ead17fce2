"""Files of atoms: every format, units, columns, caches, and each mistake in one line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exapt.domains import AtomsSpec, Dataset, Source, from_arrays
from exapt.domains.atom_extxyz import parse_comment
from exapt.domains.atom_units import factor
from exapt.errors import InputError

FRAMES = """3
Properties=species:S:1:pos:R:3:forces:R:3 energy=-14.2 name="a \\"water\\"" pbc="F F F" charge=1
O 0.0 0.0 0.12 0.1 0.2 0.3
H 0.0 0.76 -0.48 0 0 0
H 0.0 -0.76 -0.48 0 0 1e-3
2
Lattice="5.6 0 0 0 3.9 0 0 0 3.9" Properties=species:S:1:pos:R:3:tag:I:1 gap=2.5 stress="1 2 3 2 5 6 3 6 9" ok=T
Na 0 0 0 1
Cl 2.8 0 0 2
"""
PDB = """ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00  0.00           N
ATOM      2  CA  ALA A   1      11.639   6.071  -5.147  1.00  0.00           C
ATOM      3  CA BALA A   1      11.700   6.100  -5.200  0.50  0.00           C
ATOM      4  N   GLY A   2      13.104   6.134  -4.504  1.00  0.00           N
ATOM      5  CA  GLY A   2      14.639   6.071  -4.147  1.00  0.00           C
HETATM    6 ZN    ZN A   3      18.639   6.071  -4.147  1.00  0.00          ZN
END
"""
CIF = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na 0 0 0
Cl 0.5 0.5 0.5
"""
SDF_HEAD = "{name}\n     RDKit          {dims}D\n\n"
SDF_BODY = """  2  1  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    {z} C   0  0  0  0  0  0  0  0  0  0  0  0
    1.4000    0.0000    0.0000 O   0  0  0  0  0  0  0  0  0  0  0  0
  1  2  1  0
M  END
>  <solubility>
-0.77

$$$$
"""

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        return str(path)

    return put


def read(path: str, cache: Path | None = None, *, source: dict | None = None, **keys: object) -> Dataset:
    return AtomsSpec(**keys).build().read(Source(path=path, **(source or {})), cache)


def test_extended_xyz(write: Write) -> None:
    dataset = read(write("a.extxyz.gz", FRAMES))
    assert dataset.lengths.tolist() == [3, 2]
    water, salt = dataset.store.structure(0), dataset.store.structure(1)
    assert water.numbers.tolist() == [8, 1, 1]
    assert (water.charge, water.periodic.tolist()) == (1, [False] * 3)
    assert salt.cell.diagonal().tolist() == [5.6, 3.9, 3.9]
    assert dataset.columns["energy"].tolist() == [-14.2, pytest.approx(np.nan, nan_ok=True)]
    assert dataset.columns["name"].tolist() == ['a "water"', ""]
    assert dataset.columns["forces"][0][2].tolist() == [0, 0, 1e-3]
    assert np.isnan(dataset.columns["forces"][1]).all()
    assert dataset.columns["forces"][1].shape == (2, 3)
    assert dataset.columns["stress"][1].tolist() == [1, 5, 9, 6, 3, 2]
    assert np.isnan(dataset.columns["stress"][0]).all()
    assert dataset.columns["tag"][1].tolist() == [1, 2]


def test_comments_of_any_shape() -> None:
    found = parse_comment('a=1 b=-2.5e3 c="1 2 3" d=\'x y\' e={4 5} f=[1,2] flag word=T d2="_JSON [1.5, 2]" g=ab-c')
    assert found.pop("c").tolist() == [1, 2, 3]
    assert found.pop("e").tolist() == [4, 5]
    assert found.pop("f").tolist() == [1, 2]
    assert found.pop("d2").tolist() == [1.5, 2]
    assert found == {"a": 1, "b": -2500.0, "d": "x y", "flag": True, "word": True, "g": "ab-c"}
    assert parse_comment("plain words of xyz") == {}


def test_plain_xyz_by_symbol_or_number(write: Write) -> None:
    dataset = read(write("a.xyz", "2\nwater, half\n8 0 0 0\nh 0 0 0.96\n"))
    assert dataset.store.structure(0).numbers.tolist() == [8, 1]


def test_smiles_tables_lines_and_their_rows(write: Write) -> None:
    table = write("a.csv", "name,SMILES,y\nethanol,CCO,1.5\nbenzene,c1ccccc1,\n")
    dataset = read(table, source={"label": "y"})
    assert dataset.lengths.tolist() == [9, 12]
    assert dataset.columns["y"].tolist() == ["1.5", ""]
    assert dataset.roles == {"label": ("y",)}
    assert dataset.store.smiles.tolist() == ["CCO", "c1ccccc1"]
    lines = read(write("a.smi", "smiles name\nOCC an alcohol\n\nC\n"), hydrogens=False)
    assert lines.columns["name"].tolist() == ["an alcohol", ""]
    assert lines.lengths.tolist() == [3, 1]
    with pytest.raises(InputError, match=r"b.csv: no column named smiles; set column to one of: x"):
        read(write("b.csv", "x\nCC\n"))
    with pytest.raises(InputError, match=r"no column 'z'; valid: SMILES, name, y"):
        read(table, source={"column": "z"})


def test_sdf_solid_and_flat(write: Write) -> None:
    text = (SDF_HEAD + SDF_BODY).format(name="a", dims=3, z="0.5000") + (SDF_HEAD + SDF_BODY).format(
        name="b", dims=2, z="0.0000"
    )
    dataset = read(write("a.sdf", text))
    assert dataset.lengths.tolist() == [6, 6]
    assert dataset.columns["solubility"].tolist() == [-0.77, -0.77]
    assert dataset.store.structure(0).positions[0, 0, 2] == 0.5
    assert dataset.store.smiles.tolist() == ["CO", "CO"]
    bad = read(write("b.sdf", text.replace(" C   0", " Qq  0", 1)), on_error="skip")
    assert (len(bad), bad.skipped) == (1, {"cannot be read": 1})


def test_proteins_keep_their_residues(write: Write) -> None:
    write("chains/a.pdb", PDB)
    write("chains/b.pdb.gz", "MODEL 1\n" + PDB.replace("END", "ENDMDL"))
    with pytest.raises(InputError, match=r"atoms 2 and 3 are 0.0\d Å apart|atoms 2 and 3"):
        read(write("c.pdb", PDB.replace("CA BALA", "CA  ALA")))
    dataset = read(str(Path(write("chains/a.pdb", PDB)).parent), source={"group": "file"})
    assert dataset.columns["file"].tolist() == ["a.pdb", "b.pdb.gz"]
    assert dataset.store.structure(0).numbers.tolist() == [7, 6, 7, 6, 30]
    assert dataset.columns["residue"][0].tolist() == [0, 0, 1, 1, 2]
    assert dataset.columns["amino_acid"].tolist() == ["?A?G?"] * 2
    assert dataset.columns["sequence"].tolist() == ["AG?"] * 2


def test_crystals(write: Write) -> None:
    dataset = read(write("a.cif", CIF))
    salt = dataset.store.structure(0)
    assert sorted(salt.numbers.tolist()) == [11] * 4 + [17] * 4
    assert salt.cell.diagonal().tolist() == pytest.approx([5.64] * 3)
    entry = {
        "jid": "1",
        "atoms": {"lattice_mat": [[3, 0, 0], [0, 3, 0], [0, 0, 3]], "coords": [[0, 0, 0], [0.5, 0.5, 0.5]]},
        "total_energy": -5.4,
        "forces": [[0, 0, 0], [0, 0, 1]],
        "stresses": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    }
    entry["atoms"]["elements"] = ["Si", "Si"]
    dataset = read(write("a.json.gz", json.dumps([entry])))
    assert dataset.store.structure(0).positions[0, 1].tolist() == [1.5] * 3
    assert dataset.columns["forces"][0].shape == (2, 3)
    assert dataset.columns["stresses"][0].tolist() == [1, 1, 1, 0, 0, 0]
    with pytest.raises(InputError, match=r"b.cif: not a cif file that ASE can read"):
        read(write("b.cif", "nothing of the kind"))
    for text, said in (
        ("[{}]", "entry 1: no atoms with lattice_mat"),
        ("{}", "expected a list"),
        ("[", "not valid JSON"),
    ):
        with pytest.raises(InputError, match=said):
            read(write("b.json", text))


def test_built_in_sets() -> None:
    assert len(read("ase:g2")) == 162
    assert len(read("ase:s22", source={"limit": 5})) == 5
    assert read("rdkit:nci", source={"limit": 3}).store.smiles[0] == "CC1=CC(=O)C=CC1=O"
    crystals = read("built:crystals", source={"limit": 21})
    assert all(crystals.store.structure(i).periodic.all() for i in range(21))
    assert crystals.columns["forces"][1].shape == (len(crystals.store.structure(1)), 3)
    again = read("built:crystals", source={"limit": 21})
    assert crystals.fingerprint() == again.fingerprint()
    with pytest.raises(InputError, match=r"ase:g3: no such built-in set; did you mean 'ase:g2'\?"):
        read("ase:g3")


def test_ase_atoms_in_memory() -> None:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = Atoms("NaCl", [[0, 0, 0], [2.8, 0, 0]], cell=[5.6, 3.9, 3.9], pbc=[True, True, False], info={"gap": 1.0})
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((2, 3)), stress=np.arange(6.0))
    dataset = AtomsSpec().build().read(from_arrays([atoms, atoms], label=[1, 2]))
    assert dataset.store.structure(0).cell.tolist() == [[5.6, 0, 0], [0, 3.9, 0], [0, 0, 0]]
    assert dataset.columns["energy"].tolist() == [-3, -3]
    assert dataset.columns["label"].tolist() == [1, 2]
    assert dataset.columns["stress"][0].tolist() == list(range(6))
    with pytest.raises(InputError, match=r"memory: example 1: int; valid: a SMILES, ase.Atoms, or a Structure"):
        AtomsSpec().build().read(from_arrays([3]))


def test_units() -> None:
    assert factor("kcal/mol") == pytest.approx(0.0433641, rel=1e-5)
    assert factor("kJ/mol") == pytest.approx(0.0103643, rel=1e-5)
    assert factor("Ha/bohr") == pytest.approx(51.42207, rel=1e-6)
    assert factor("GPa") == pytest.approx(1 / 160.21766, rel=1e-6)
    assert factor("eV/Å^3") == factor("eV/A³") == 1
    assert factor("nm") == 10
    assert factor("Debye") == pytest.approx(0.20819, rel=1e-4)
    with pytest.raises(InputError, match=r"unknown unit 'kkal' in 'kkal/mol'; did you mean 'kcal'"):
        factor("kkal/mol")


def test_units_are_turned_on_reading(write: Write) -> None:
    frames = "1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=1 gap=2 gap_unit=Ha other=3\nH 1 0 0 1 0 0\n"
    units = {"energy": "Ha", "forces": "Ha/bohr", "positions": "bohr"}
    dataset = read(write("a.xyz", frames), units=units)
    assert dataset.columns["energy"][0] == pytest.approx(27.211386)
    assert dataset.columns["forces"][0][0, 0] == pytest.approx(51.42207)
    assert dataset.columns["gap"][0] == pytest.approx(54.422772)
    assert "gap_unit" not in dataset.columns
    assert dataset.columns["other"][0] == 3
    assert dataset.store.structure(0).positions[0, 0, 0] == pytest.approx(0.529177)
    table = read(write("a.csv", "smiles,e\nC,2\nCC,\n"), units={"e": "meV"})
    assert table.columns["e"].tolist() == [0.002, pytest.approx(np.nan, nan_ok=True)]


def test_energies_in_other_units_are_warned_of(write: Write) -> None:
    rng = np.random.default_rng(0)

    def text(energies: np.ndarray) -> str:
        rows = [f"2\nenergy={e}\nO 0 0 0\nH {1 + 0.1 * rng.random()} 0 0" for e in energies]
        return "\n".join(rows) + "\n"

    energies = -2000 + rng.normal(0, 0.2, 30)
    assert len(read(write("a.xyz", text(energies)))) == 30
    energies[4] /= 27.2
    with pytest.warns(UserWarning, match=r"'energy' of 1 of 30 structures \(first: number 5\) is far from"):
        read(write("b.xyz", text(energies)))


def test_a_cache_gives_the_same(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = write("a.xyz", FRAMES), tmp_path / "cache"
    first, plain = read(path, cache), read(path)
    monkeypatch.setattr("exapt.domains.atom_reading.frames_of", lambda *_: pytest.fail("read anew"))
    second = read(path, cache)
    assert first.fingerprint() == second.fingerprint() == plain.fingerprint()
    assert second.columns["forces"][1].shape == (2, 3)
    assert second.source == path
    table = write("a.csv", "smiles,y\nCCO,1\nCCC,2\n")
    monkeypatch.undo()
    several = read(table, cache, conformers=2, source={"label": "y"})
    again = read(table, cache, conformers=2, source={"label": "y"})
    assert several.fingerprint() == again.fingerprint()
    assert again.roles == {"label": ("y",)}
    assert again.store.smiles.tolist() == ["CCO", "CCC"]


MISTAKES = [
    ("a.xyz", "", r"a.xyz: the file is empty"),
    ("a.xyz", "\n\n", r"a.xyz: no structure in it"),
    ("a.xyz", "two\n", r"frame 1: expected the number of atoms, found 'two'"),
    ("a.xyz", "2\n\nH 0 0 0\n", r"frame 1: the file ends after 1 of 2 atoms"),
    ("a.xyz", "1\n\nH 0 0\n", r"frame 1: atom 1 has 3 columns, Properties 4"),
    ("a.xyz", "1\n\nH 0 0 x\n", r"frame 1: 'pos' holds what is no number"),
    ("a.xyz", "1\n\nH 0 0 nan\n", r"frame 1: a coordinate of atom 1 is not a finite number"),
    ("a.xyz", "1\n\nQq 0 0 0\n", r"frame 1: atom 1 is of the unknown element 'Qq'; valid: H to Og"),
    ("a.xyz", "2\n\nH 0 0 0\nH 0 0 0.3\n", r"frame 1: atoms 1 and 2 are 0.30 Å apart; valid: 0.5 Å or more"),
    ("a.xyz", '1\npbc="T T T"\nH 0 0 0\n', r"frame 1: periodic \(T T T\), but no cell is given"),
    ("a.xyz", '1\nLattice="1 0 0 2 0 0 0 0 1"\nH 0 0 0\n', r"frame 1: the cell's vectors are zero or lie in one plane"),
    ("a.xyz", '1\nLattice="1 0 0"\nH 0 0 0\n', r"frame 1: Lattice takes 9 numbers"),
    ("a.xyz", "1\nProperties=species:S\nH 0 0 0\n", r"Properties 'species:S' is not name:type:columns"),
    (
        "a.xyz",
        "1\nProperties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 0 nan 0\n",
        r"frame 1: the force on atom 1 is not a finite number",
    ),
    ("a.smi", "CCO\nC1CC\n", r"a.smi: line 2: 'C1CC' is no SMILES that RDKit can read"),
    ("a.csv", "smiles\nCCO\nxx\n", r"a.csv: row 2: 'xx' is no SMILES"),
    ("a.smi", "*C\n", r"a.smi: line 1: "),
    ("a.pdb", "REMARK nothing\n", r"a.pdb: no ATOM line in it"),
    ("a.pdb", PDB.replace("11.104", "  x.xx"), r"a.pdb: line 1: columns 31 to 54 hold no coordinates"),
    ("a.traj", "x", r"a.traj: '.traj' files may hold Python objects and are not opened; write it as extended XYZ"),
    ("a.db", "x", r"'.db' files may hold Python objects"),
    ("a.png", "x", r"cannot read '.png' files here; valid: .cif, .csv"),
]


@pytest.mark.parametrize(("name", "text", "said"), MISTAKES, ids=[m[2][-28:] for m in MISTAKES])
def test_mistakes_are_one_line(write: Write, name: str, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(write(name, text))
    assert "\n" not in str(caught.value)


def test_what_is_wrong_can_be_skipped_and_is_counted(write: Write) -> None:
    lines = read(write("a.smi", "CCO\nC1CC\nCC\n"), on_error="skip")
    assert (len(lines), lines.skipped) == (2, {"cannot be read": 1})
    frames = FRAMES.replace("O 0.0 0.0 0.12", "O 0.0 0.76 -0.4")
    assert read(write("a.xyz", frames), on_error="skip").skipped == {"cannot be read": 1}
    assert len(read(write("a.xyz", frames), closest=0.0)) == 2
    with pytest.raises(InputError, match=r"b.smi: no structure in it can be read \(1 cannot\)"):
        read(write("b.smi", "xx\n"), on_error="skip")
    with pytest.raises(InputError, match=r"frame 1: 3 atoms; valid: 1 to domain.length = 2"):
        read(write("c.xyz", FRAMES), length=2)
    with pytest.raises(InputError, match=r"no column 'gapp'; did you mean 'gap'"):
        read(write("c.xyz", FRAMES), source={"label": "gapp"})


def test_backbones_alone_of_proteins(write: Write) -> None:
    whole, alone = (read(write("a.pdb", PDB), backbone_only=only) for only in (False, True))
    assert alone.lengths[0] < whole.lengths[0]
    names = [line[12:16].strip() for line in PDB.splitlines() if line.startswith(("ATOM", "HETATM"))]
    kept = [n for n in names if n in ("N", "CA", "C", "O")]
    assert alone.lengths[0] <= len(kept)
    assert len(alone.columns["amino_acid"][0]) == alone.lengths[0]


def test_the_molecule_of_a_frame_is_its_smiles_where_the_atoms_agree(write: Write) -> None:
    pytest.importorskip("rdkit")
    frame = '3\nProperties=species:S:1:pos:R:3 smiles="{}"\nO 0 0 0.1\nH 0 0.8 -0.5\nH 0 -0.8 -0.5\n'
    for said, known in (("[OH2]", "O"), ("CO", ""), ("no smiles", "")):
        assert read(write("a.xyz", frame.format(said))).store.smiles.tolist() == [known]
