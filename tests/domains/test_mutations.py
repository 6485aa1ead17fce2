"""Codes of mutants: every spelling, and every mistake with its row."""

from __future__ import annotations

import pytest

from exapt.domains.mutations import fitting_offsets, read_mutants
from exapt.errors import InputError

WILD = "MKVACDW"


@pytest.mark.parametrize(
    ("code", "sequence"),
    [
        ("K2R", "MRVACDW"),
        ("k2r", "MRVACDW"),
        ("K2R:W7A", "MRVACDA"),
        ("W7A,K2R", "MRVACDA"),
        ("p.Lys2Arg", "MRVACDW"),
        ("p.(Lys2Arg)", "MRVACDW"),
        ("K2K", WILD),
        ("p.Lys2=", WILD),
        ("WT", WILD),
        ("", WILD),
    ],
)
def test_spellings(code: str, sequence: str) -> None:
    (mutant,) = read_mutants([code], WILD, 0, "t.csv")
    assert mutant.applied(WILD) == sequence
    assert len(mutant.places) == sum(a != b for a, b in zip(WILD, sequence, strict=True))


def test_stops_are_known() -> None:
    assert [m.stop for m in read_mutants(["K2*", "p.Lys2Ter", "K2R"], WILD, 0, "t.csv")] == [True, True, False]


def test_an_offset_is_taken_off() -> None:
    assert read_mutants(["K26R"], WILD, 24, "t.csv")[0].places == (1,)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (["K2R", "A27G", "C28G"], "row 2: 'A27G': expects A at 27, but the wild type has 7 residues; no offset fits"),
        (["K26R", "A28G"], r"row 1: 'K26R': expects K at 26, but the wild type has 7 residues; offset 24 fits all"),
        (["M2A", "K3A"], r"row 1: 'M2A': expects M at 2, but the wild type has K there; offset 1 fits all rows"),
        (["K2R", "foo"], "row 2: 'foo' is no mutation; expected such as A24G"),
        (["K2B"], "'B' is no amino acid"),
        (["K2R:K2A"], "changes one place twice"),
        (["K0R"], "expects K at 0"),
    ],
)
def test_mistakes_name_their_row(codes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_mutants(codes, WILD, 0, "t.csv")


def test_every_offset_that_fits() -> None:
    assert fitting_offsets([("A", 5)], "CADA") == [1, 3]
    assert fitting_offsets([("A", 5), ("C", 4)], "CADA") == [3]
