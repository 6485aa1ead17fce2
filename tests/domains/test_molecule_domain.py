"""The domain of molecules: round trips, what is left out and why, and mistakes in one line."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from exapt.domains import MoleculeSpec, Source, from_arrays
from exapt.domains.molecule_graph import REASONS, LeftOutError, actions_of, graph_from, molecule_of, parse, smiles_of
from exapt.domains.tokens import SPECIAL
from exapt.errors import InputError

Chem = pytest.importorskip("rdkit.Chem")
WRITINGS = ["graph", pytest.param("selfies", marks=pytest.mark.skipif(not find_spec("selfies"), reason="no selfies"))]

WHOLE = [
    "C",
    "CCO",
    "[NH4+]",
    "CC(=O)[O-]",
    "C[N+](C)(C)CC([O-])=O",
    "O=[N+]([O-])c1ccccc1",
    "c1ccc2ccccc2c1",
    "c1ccc2c(c1)[nH]c1ccccc12",
    "C1CCC2(CC1)OCCO2",
    "C1C2CC3CC1CC(C2)C3",
    "C12C3C4C1C5C2C3C45",
    "CC12CCC3C(CCC4=CC(=O)CCC34C)C1CCC2O",
    "CN1CCC23C4Oc5c(O)ccc(C1C2C=CC4O)c53",
    "CS(=O)(=O)N",
    "CS(C)=O",
    "OP(=O)(O)O",
    "O=[PH](O)O",
    "C[P+](C)(C)C",
    "OB(O)c1ccccc1",
    "C[Si](C)(C)C",
    "FC(F)(F)Cl",
    "BrC#CI",
    "[C-]#[O+]",
    "[N-]=[N+]=NC",
    "C1=C[CH+]C=CC=C1",
    "F[B-](F)(F)F",
    "C1CCCCCCCCCCCCCCCCCCC1",
    "c1cc2ccc3cccc4ccc(c1)c2c34",
    "C1CC1C1CC1(C#N)C1=CSC=N1",
]


def canonical(smiles: str) -> str:
    return str(Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False))


@pytest.mark.parametrize("smiles", WHOLE)
def test_every_molecule_comes_back(smiles: str) -> None:
    domain = MoleculeSpec(length=64).build()
    ids = domain.encode(smiles)
    assert domain.decode(ids) == canonical(smiles)
    assert domain.encode(domain.decode(ids)).tolist() == ids.tolist()
    draws = random.Random(0)
    for _ in range(5):
        walk = actions_of(parse(smiles), lambda places: draws.sample(places, len(places)))
        graph = graph_from(walk)
        assert graph is not None
        assert smiles_of(molecule_of(graph)) == canonical(smiles)


def test_the_way_a_molecule_is_written_does_not_matter() -> None:
    domain = MoleculeSpec().build()
    assert domain.encode("OCC").tolist() == domain.encode("C(C)O").tolist() == domain.encode("[CH3][CH2][OH]").tolist()
    assert domain.encode("C[C@H](N)O").tolist() == domain.encode("CC(N)O").tolist()


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("c1ccc", "no SMILES"),
        ("[Na+].[Cl-]", "several parts"),
        ("C[Hg]C", "an element or charge outside the table"),
        ("[Cl-]", "an element or charge outside the table"),
        ("[H][H]", "an element or charge outside the table"),
        ("[2H]C", "an isotope"),
        ("[13CH4]", "an isotope"),
        ("C[CH2]", "a radical"),
        ("CI(Cl)Cl", "a valence outside the table"),
        ("C[SH](C)C", "a valence outside the table"),
        ("C" * 70, "a path of more than 64 atoms"),
    ],
)
def test_what_is_left_out_and_why(smiles: str, reason: str) -> None:
    with pytest.raises(LeftOutError, match=reason):
        actions_of(parse(smiles))
    with pytest.raises(InputError, match=reason):
        MoleculeSpec().build().encode(smiles)


def test_left_out_molecules_are_counted_by_reason() -> None:
    domain = MoleculeSpec(length=10, on_error="skip").build()
    smiles = ["CCO", "nonsense", "C.C", "C[Hg]C", "C" * 20, "", "CO"]
    dataset = domain.read(from_arrays(smiles))
    assert domain.smiles(dataset) == ["CCO", "CO"]
    assert dataset.skipped == {
        "no SMILES": 1,
        "several parts": 1,
        "an element or charge outside the table": 1,
        "longer than domain.length": 1,
        "empty": 1,
    }
    assert set(dataset.skipped) - {"empty"} <= set(REASONS)


def test_labels_stay_with_their_molecules() -> None:
    domain = MoleculeSpec().build()
    dataset = domain.read(from_arrays(["CCO", "C.C", "CO"], label=[1.0, 2.0, 3.0]))
    assert dataset.column("label").tolist() == [1.0, 3.0]


def test_a_row_that_is_no_smiles_is_named_or_skipped(tmp_path: Path) -> None:
    file = tmp_path / "some.smi"
    file.write_text("SMILES name\nCCO ethanol\nCC(\nCO\n")
    with pytest.raises(InputError, match=r"some.smi: line 3: 'CC\(' is no SMILES .*on_error=skip"):
        MoleculeSpec().build().read(Source(path=str(file)))
    domain = MoleculeSpec(on_error="skip").build()
    dataset = domain.read(Source(path=str(file)), tmp_path / "cache")
    again = domain.read(Source(path=str(file)), tmp_path / "cache")
    assert domain.smiles(dataset) == domain.smiles(again) == ["CCO", "CO"]
    assert dict(again.skipped) == dict(dataset.skipped) == {"no SMILES": 1, "empty": 1}
    with pytest.raises(InputError, match="no such built-in set; did you mean 'rdkit:nci'"):
        domain.read(Source(path="rdkit:nic"))


def test_a_table_and_the_set_that_rdkit_carries(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("smiles,logS\nCCO,-0.1\nc1ccccc1,-1.6\n")
    domain = MoleculeSpec(on_error="skip").build()
    dataset = domain.read(Source(path=str(file), label="logS"))
    assert dataset.column("logS").tolist() == ["-0.1", "-1.6"]
    assert domain.smiles(dataset) == ["CCO", "c1ccccc1"]
    few = domain.read(Source(path="rdkit:nci", limit=40))
    assert len(few) + sum(few.skipped.values()) == 40
    assert len(few) > 30


@pytest.mark.parametrize(
    "tokens", [[], ["ring5"], ["back1"], ["C", "ring3"], ["C", "C", "C", "ring3", "ring3"], ["mask"], ["C", "unknown"]]
)
def test_ids_that_build_nothing_decode_to_nothing(tokens: list[str]) -> None:
    from exapt.domains.molecule_actions import IDS, Action

    known = {"C": IDS[Action("atom", 0, 1)], "back1": IDS[Action("back", 1)]}
    known |= {f"ring{n}": IDS[Action("ring", n, 1)] for n in (3, 5)} | dict(SPECIAL)
    assert MoleculeSpec().build().decode(np.array([known[t] for t in tokens], dtype=np.int64)) == ""


def test_an_overfull_atom_is_no_molecule() -> None:
    from exapt.domains.molecule_actions import IDS, Action

    fluorine, carbon = (IDS[Action("atom", k, 1)] for k in (3, 0))
    domain = MoleculeSpec().build()
    assert domain.decode(np.array([fluorine, carbon])) == "CF"
    assert domain.decode(np.array([fluorine, carbon, IDS[Action("back", 1)], carbon])) == ""


@pytest.mark.parametrize("writing", WRITINGS)
def test_random_order_keeps_molecules_and_the_seed_decides(writing: str) -> None:
    spec = MoleculeSpec(order="random", length=64, writing=writing)
    domain = spec.build()
    dataset = domain.read(from_arrays(WHOLE))
    batch, whole = domain.collate(list(dataset)), domain.smiles(dataset)

    def drawn(seed: int) -> torch.Tensor:
        return domain.augment(batch, torch.Generator().manual_seed(seed)).inputs

    new = domain.augment(batch, torch.Generator().manual_seed(1))
    rows = new.inputs.split(new.lengths.tolist())
    assert [domain.decode(row) for row in rows] == whole
    assert all(int(r[0]) == SPECIAL["start"] and int(r[-1]) == SPECIAL["end"] for r in rows)
    assert torch.equal(drawn(1), new.inputs)
    assert not torch.equal(drawn(2)[:60], new.inputs[:60])
    plain = spec.model_copy(update={"order": "canonical"}).build()
    assert plain.augment(batch, torch.Generator().manual_seed(1)) is batch


def test_fingerprints_and_the_baseline_are_morgans() -> None:
    domain = MoleculeSpec().build()
    dataset = domain.read(from_arrays(["CCO", "OCC", "c1ccccc1"]))
    prints = [set(domain.fingerprints(example).tolist()) for example in dataset]
    assert prints[0] == prints[1]
    assert not prints[0] & prints[2]
    (features,) = domain.classical(dataset)
    assert abs(features[0] - features[1]).sum() == 0
    assert abs(features[0] - features[2]).sum() > 0
