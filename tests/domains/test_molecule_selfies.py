"""Molecules as SELFIES: round trips, what is left out, whatever is drawn is a molecule, and mistakes in one line."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.backbones import TransformerSpec
from exapt.domains import MoleculeSpec, from_arrays
from exapt.domains.tokens import PLAIN, SPECIAL
from exapt.errors import InputError
from exapt.objectives import AutoregressiveSpec
from exapt.objectives.generate import generate_many
from exapt.studies.molecule_figures import checked

Chem = pytest.importorskip("rdkit.Chem")
pytest.importorskip("selfies")
from exapt.domains.molecule_selfies import ATOMS, IDS, SYMBOLS, Bounds  # noqa: E402

WHOLE = ["C", "CCO", "CC(=O)[O-]", "O=[N+]([O-])c1ccccc1", "c1ccc2[nH]ccc2c1", "C12C3C4C1C5C2C3C45", "CS(=O)(=O)N"]
WHOLE += ["OP(=O)(O)O", "BrC#CI", "[C-]#[O+]", "F[B-](F)(F)F", "C1CCCCCCCCCCCCCCCCCCC1"]


@pytest.mark.parametrize("smiles", WHOLE)
def test_every_molecule_comes_back(smiles: str) -> None:
    domain = MoleculeSpec(length=64, writing="selfies").build()
    assert domain.decode(domain.encode(smiles)) == Chem.CanonSmiles(smiles)


def test_symbols_are_those_of_selfies_own_examples() -> None:
    domain = MoleculeSpec(writing="selfies").build()
    written = "".join(SYMBOLS[i - PLAIN] for i in domain.encode("c1ccccc1"))
    assert written == "[C][=C][C][=C][C][=C][Ring1][=Branch1]"
    assert domain.describe()["element"] == "SELFIES symbol"
    assert len(set(SYMBOLS)) == len(SYMBOLS) == domain.inputs.vocabulary - PLAIN


def test_what_the_alphabet_lacks_is_left_out_and_counted() -> None:
    domain = MoleculeSpec(writing="selfies", on_error="skip").build()
    dataset = domain.read(from_arrays(["CCO", "C[Si](C)(C)C", "nonsense", "C.C"]))
    assert domain.smiles(dataset) == ["CCO"]
    assert dataset.skipped == {"no SMILES": 1, "several parts": 1, "a symbol outside the alphabet": 1}
    with pytest.raises(InputError, match=r"'C\[Si\].*a symbol outside the alphabet"):
        domain.encode("C[Si](C)(C)C")


def test_the_graphs_hash_is_as_it_was_before_there_was_a_choice() -> None:
    graph = MoleculeSpec().build()
    assert graph.digest() == "2a9b713d32e94ddc"
    assert MoleculeSpec(writing="selfies").build().digest() != graph.digest()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_any_symbols_after_an_atom_are_a_molecule(seed: int, length: int) -> None:
    domain, rng = MoleculeSpec(writing="selfies").build(), np.random.default_rng(seed)
    ids = [PLAIN + rng.integers(len(ATOMS)), *(PLAIN + rng.integers(0, len(SYMBOLS), length))]
    smiles = domain.decode(np.array(ids))
    assert smiles
    assert checked(smiles) == smiles


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("writing", ["graph", "selfies"])
def test_random_weights_write_molecules_in_either_way(writing: str, seed: int) -> None:
    domain = MoleculeSpec(writing=writing, length=40).build()
    backbone = TransformerSpec(width=16, depth=1, heads=1, causal=True).build(domain.inputs, seed=seed)
    objective = AutoregressiveSpec().build(domain, backbone, seed=seed)
    guide, start = domain.guide(100, 39, 12), torch.tensor([SPECIAL["start"]])
    rng = torch.Generator().manual_seed(seed)
    rows = generate_many(backbone, objective, [start] * 100, 39, rng=rng, guide=guide)
    smiles = [domain.decode(row) for row in rows]
    assert all(int(row[-1]) == SPECIAL["end"] for row in rows)
    assert [checked(text) for text in smiles] == smiles
    assert max(Chem.MolFromSmiles(text).GetNumAtoms() for text in smiles) <= 12


def test_bounds_by_hand() -> None:
    bounds, row = Bounds(1, 4, 2), torch.tensor([0])
    carbon, ring = torch.tensor([IDS["[C]"]]), torch.tensor([IDS["[Ring1]"]])

    def allowed() -> list[bool]:
        ids = [IDS["[C]"], IDS["[Ring1]"], SPECIAL["end"]]
        return bounds.allowed(row)[0, ids].tolist()

    assert allowed() == [True, False, False]
    bounds.take(row, carbon)
    assert allowed() == [True, True, True]
    bounds.take(row, carbon)
    assert allowed() == [False, True, True]
    bounds.take(row, ring)
    assert allowed() == [False, False, True]
    with pytest.raises(InputError, match="molecules of 0 atoms in 4 tokens"):
        Bounds(1, 4, 0)


def test_masked_ids_build_nothing() -> None:
    domain = MoleculeSpec(writing="selfies").build()
    assert domain.decode(np.array([IDS["[C]"], SPECIAL["mask"]])) == ""
    assert domain.decode(np.array([SPECIAL["start"], SPECIAL["end"]])) == ""


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selfies", None)
    with pytest.raises(
        InputError, match=r"domain.writing=selfies needs the package selfies: pip install 'exapt\[chem\]'"
    ):
        MoleculeSpec(writing="selfies").build()
