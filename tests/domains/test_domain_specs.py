"""The union of specs, saving and loading, and what every field promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from exapt.domains import (
    AtomsSpec,
    DnaSpec,
    Domain,
    DomainSpec,
    GraphSpec,
    ImageSpec,
    MoleculeSpec,
    ProteinSpec,
    QuantitiesSpec,
    TableSpec,
    TextSpec,
    from_arrays,
    load_domain,
)
from exapt.errors import InputError
from exapt.spec import Spec

TEXTS = ["the cat sat on the mat", "a dog", "the log"]
SEQUENCES = ["ACGTACGTAGC", "GGCA", "ACGTT"]
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
ROWS = [{"age": 31, "work": "baker"}, {"age": 58.5, "work": "smith"}, {"age": None, "work": "baker"}]
MOLECULES = ["CCO", "c1ccccc1O", "[Na+].[Cl-]"]
GRAPHS = [
    SimpleNamespace(x=np.eye(4)[[0, 1, 1][:n]], edge_index=np.array([[0], [n - 1]]), num_nodes=n) for n in (3, 1, 2)
]
FIELDS = [
    (TextSpec(length=16), TEXTS),
    (TextSpec(tokens="characters", length=16), TEXTS),
    (DnaSpec(length=16), SEQUENCES),
    (DnaSpec(tokens="kmer", k=2, length=16), SEQUENCES),
    (DnaSpec(tokens="bpe", vocabulary=16, length=16), SEQUENCES),
    (ProteinSpec(length=16), SEQUENCES),
    (ImageSpec(), PICTURES),
    (TableSpec(), ROWS),
    (GraphSpec(level="graph"), GRAPHS),
    (AtomsSpec(), MOLECULES),
    (MoleculeSpec(length=16), ["CCO", "c1ccccc1O", "CC(=O)[O-]"]),
    (QuantitiesSpec(columns=["Re", "Pr"]), [{"Re": 1e4, "Pr": 0.7}, {"Re": 2e4, "Pr": 7.0}, {"Re": 5e3, "Pr": 1.0}]),
]
NAMES = [
    "text-bpe",
    "text-characters",
    "dna-base",
    "dna-kmer",
    "dna-bpe",
    "protein",
    "image",
    "table",
    "graph",
    "atoms",
    "molecule",
    "quantities",
]


@pytest.fixture(params=FIELDS, ids=NAMES)
def built(request: pytest.FixtureRequest) -> tuple[Domain, object]:
    spec, values = request.param
    return spec.build(from_arrays(values)), values


def test_saved_and_loaded_domains_are_equal(built: tuple, tmp_path: Path) -> None:
    domain, values = built
    domain.save(tmp_path / "new" / "folder")
    again = load_domain(tmp_path / "new" / "folder")
    assert type(again) is type(domain)
    assert again.spec == domain.spec
    assert again.inputs == domain.inputs
    assert again.describe() == domain.describe()
    first, second = (d.read(from_arrays(values)) for d in (domain, again))
    assert first.fingerprint() == second.fingerprint()
    assert torch.equal(domain.collate(list(first)).inputs, again.collate(list(second)).inputs)


def test_what_every_field_promises(built: tuple) -> None:
    domain, values = built
    dataset = domain.read(from_arrays(values, label=[0, 1, 0]))
    assert len(dataset) == 3
    assert dataset.lengths.tolist() == dataset.store.lengths.tolist()
    assert (domain.kept(dataset) <= dataset.lengths).all()
    assert domain.truncated(dataset) == int((domain.kept(dataset) < dataset.lengths).sum())
    batch = domain.collate(list(dataset))
    assert len(batch) == 3
    assert int(batch.lengths.max()) <= domain.inputs.length
    assert batch.index.tolist() == [0, 1, 2]
    single = domain.collate([dataset[1]])
    assert torch.equal(batch.select([1]).inputs, single.inputs)
    if not isinstance(domain.spec, QuantitiesSpec):  # a row is one element, and has nothing to hide
        masked = domain.mask(batch, 0.3, torch.Generator().manual_seed(0))
        assert len(masked.where) == len(masked.target) > 0
    assert all(domain.fingerprints(example).dtype == np.uint64 for example in dataset)
    train, other = domain.classical(dataset, [dataset.subset([2])])
    assert train.shape[0] == 3
    assert other.shape == (1, train.shape[1])
    json.dumps(domain.describe())
    assert {"kind", "element", "length"} <= set(domain.describe())
    windows = domain.windows(dataset)
    assert windows.lengths.max() <= domain.inputs.length
    augmented = domain.augment(batch, torch.Generator().manual_seed(0))
    assert augmented.inputs.shape == batch.inputs.shape


class Holder(Spec):
    domain: DomainSpec


def test_the_union_tells_fields_apart_by_kind() -> None:
    adapter = TypeAdapter(DomainSpec)
    for spec, _ in FIELDS:
        assert adapter.validate_python(spec.plain()) == spec
    with pytest.raises(InputError, match=r"unknown key 'domain.lenght'; did you mean 'length'"):
        Holder.parse({"domain": {"kind": "text", "lenght": 5}})
    with pytest.raises(InputError, match="valid: atoms, dna, graph, image, molecule, protein, quantities, table, text"):
        Holder.parse({"domain": {"kind": "audio"}})
    with pytest.raises(InputError, match="greater than or equal to 4"):
        TextSpec.parse({"length": 1})


def test_a_folder_without_a_domain(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"domain.json: no such file"):
        load_domain(tmp_path)
    (tmp_path / "domain.json").write_text('{"spec": {"kind": "audio"}}')
    with pytest.raises(InputError, match=r"domain.json: not a saved domain"):
        load_domain(tmp_path)
    TextSpec(length=16).build(from_arrays(TEXTS)).save(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer.json: not a tokenizer"):
        load_domain(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"tokenizer.json: no such file"):
        load_domain(tmp_path)


def test_importing_domains_imports_no_heavy_library() -> None:
    heavy = {"tokenizers", "datasets", "transformers", "PIL", "pyarrow", "sklearn", "pandas", "networkx"}
    heavy |= {"torch_geometric", "rdkit", "ase", "vesin"}
    code = f"import sys, exapt.domains; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
