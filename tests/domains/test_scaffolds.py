"""Scaffolds of molecules, and the split by them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rdkit")

from exapt.domains import AtomsSpec, MoleculeSpec, TextSpec, from_arrays
from exapt.domains.base import Arrays
from exapt.domains.scaffolds import scaffold
from exapt.errors import InputError
from exapt.tasks import RegressSpec
from exapt.tasks.splits import SplitSpec, make_split

RINGS = ["c1ccccc1C", "c1ccccc1CC", "c1ccccc1O", "C1CCCCC1C", "C1CCCCC1O", "c1ccncc1C", "c1ccncc1O", "c1ccsc1C"]
CHAINS = ["CCO", "CCN", "CCCl", "CC(C)C"]


def test_a_scaffold_is_the_rings_and_a_chain_is_its_own() -> None:
    assert {scaffold(text, "here") for text in RINGS[:3]} == {"c1ccccc1"}
    assert scaffold("c1ccccc1CCc1ccncc1", "here") == "c1ccc(CCc2ccncc2)cc1"
    assert scaffold("CCO", "here") == "CCO"


@pytest.mark.parametrize("spec", [AtomsSpec(), MoleculeSpec()])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_scaffold_is_on_both_sides(spec: AtomsSpec | MoleculeSpec, seed: int) -> None:
    domain = spec.build()
    values = RINGS + CHAINS
    dataset = domain.read(from_arrays(values, label=np.arange(12.0)))
    task = RegressSpec().build(dataset)
    split = make_split(dataset, task, SplitSpec(by="scaffold", test=0.3), domain, seed)
    names = np.array(domain.scaffolds(dataset))
    assert split.record["by"] == "group" or split.record["by"] == "scaffold"
    assert len(split.test) and not set(names[split.test]) & set(names[split.pool])
    assert sorted([*split.test, *split.pool]) == list(range(12))


def test_what_is_no_molecule_has_no_scaffold() -> None:
    atoms = AtomsSpec().build()
    structure = atoms.read(from_arrays(["CCO", "CCC"], label=[1.0, 2.0])).store.structure(0)
    dataset = atoms.read(from_arrays([structure, structure], label=[1.0, 2.0]))
    task = RegressSpec().build(dataset)
    with pytest.raises(InputError, match=r"memory: row 1: no molecule is known here"):
        make_split(dataset, task, SplitSpec(by="scaffold"), atoms, 0)
    source = Arrays(["a b", "c d"], {"label": [1.0, 2.0]}, label="label")
    text = TextSpec(tokens="characters").build(source)
    words = text.read(source)
    with pytest.raises(InputError, match=r"split\.by=scaffold is for molecules"):
        make_split(words, RegressSpec().build(words), SplitSpec(by="scaffold"), text, 0)
