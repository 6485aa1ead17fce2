"""The valence table against RDKit: what it allows RDKit takes, and hydrogens are filled the same."""

from __future__ import annotations

import pytest

from exapt.domains.valence import BY_ATOM, KINDS, MOST, OPEN, SUMS, Kind

Chem = pytest.importorskip("rdkit.Chem")


def hydrogens_by_rdkit(kind: Kind, bonds: int) -> int | None:
    """Of an atom bonded to so many fluorines; None where RDKit refuses it."""
    from rdkit import rdBase

    molecule = Chem.RWMol()
    atom = Chem.Atom(kind.symbol)
    atom.SetFormalCharge(kind.charge)
    molecule.AddAtom(atom)
    for other in range(1, bonds + 1):
        molecule.AddAtom(Chem.Atom("F"))
        molecule.AddBond(0, other, Chem.BondType.SINGLE)
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(molecule)
        except ValueError:
            return None
    assert molecule.GetAtomWithIdx(0).GetNumRadicalElectrons() == 0
    return int(molecule.GetAtomWithIdx(0).GetTotalNumHs())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_hydrogens_fill_as_rdkit_fills_them(kind: Kind) -> None:
    for bonds in range(MOST[BY_ATOM[kind.number, kind.charge]] + 1):
        filled = kind.hydrogens(bonds)
        if filled is None:
            assert kind.symbol == "S"
            assert bonds in (3, 5)
        else:
            assert filled == hydrogens_by_rdkit(kind, bonds)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_table_is_rdkits_where_both_speak(kind: Kind) -> None:
    table = Chem.GetPeriodicTable()
    assert table.GetAtomicNumber(kind.symbol) == kind.number
    if kind.charge == 0:
        theirs = set(table.GetValenceList(kind.number))
        assert set(kind.valences) <= theirs
        if theirs != set(kind.valences):  # hypervalent iodine is not written
            assert kind.symbol == "I"
    else:  # RDKit takes a charged atom for the element with as many electrons
        theirs = set(table.GetValenceList(kind.number - kind.charge))
        assert kind.valences[0] in theirs


def test_where_the_table_ends_before_rdkits() -> None:
    """Hypervalent iodine and sulfur ions exist, and are left out; every other atom RDKit refuses one bond further."""
    wider = {kind.name for kind in KINDS if hydrogens_by_rdkit(kind, kind.valences[-1] + 1) is not None}
    assert wider == {"I", "S+", "S-"}


def test_tables_by_hand() -> None:
    names = {kind.name: at for at, kind in enumerate(KINDS)}
    assert len(names) == len(KINDS) == len(BY_ATOM)
    assert [KINDS[names["S"]].hydrogens(s) for s in range(8)] == [2, 1, 0, None, 0, None, 0, None]
    assert [KINDS[names["P"]].hydrogens(s) for s in range(7)] == [3, 2, 1, 0, 1, 0, None]
    assert [KINDS[names["N+"]].hydrogens(s) for s in range(6)] == [4, 3, 2, 1, 0, None]
    assert KINDS[names["C"]].hydrogens(3) == 1  # never a carbon of valence 3
    assert OPEN.shape == (len(KINDS), SUMS)
    assert OPEN[names["S"], 5]
    assert not OPEN[names["S"], 4]
