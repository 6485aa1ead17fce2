"""Several sources read as one: `Source.also`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exapt.domains import AtomsSpec, DnaSpec, GraphSpec, ImageSpec, MoleculeSpec, ProteinSpec, TableSpec, TextSpec
from exapt.domains.base import Dataset, Source
from exapt.domains.structure import AtomStore
from exapt.errors import InputError
from exapt.tasks import ClassifySpec, RegressSpec

XYZ = """2
Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 pbc="F F F"
H 0 0 0 0.1 0 0
H 0 0 0.8 -0.1 0 0
"""
PDB = """ATOM      1  N   GLY A   1       0.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  GLY A   1       1.450   0.000   0.000  1.00  0.00           C
ATOM      3  C   GLY A   1       2.000   1.400   0.000  1.00  0.00           C
"""


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def several(first: dict[str, Any], *also: dict[str, Any]) -> Source:
    return Source.parse({**first, "also": list(also)})


@pytest.fixture
def two(tmp_path: Path) -> Source:
    """Labelled sequences, then unlabelled ones in another kind of file."""
    a = write(tmp_path, "a.csv", "sequence,kind,weight\nACGT,x,1.5\nGGGG,y,2\nTTTT,x,3\n")
    b = write(tmp_path, "b.fasta", ">one\nCCCC\n>two\nAAAA\n")
    return several({"path": a, "label": ["kind", "weight"], "limit": 2}, {"path": b, "label": "id"})


def test_sources_follow_each_other_each_with_its_own_limit_and_labels(two: Source) -> None:
    domain = DnaSpec().build()
    dataset = domain.read(two)
    assert [domain.decode(dataset.store[i]) for i in range(len(dataset))] == ["ACGT", "GGGG", "CCCC", "AAAA"]
    assert dataset.lengths.tolist() == [4, 4, 4, 4]
    assert dataset.column("source").tolist() == ["a.csv", "a.csv", "b.fasta", "b.fasta"]
    assert dataset.roles == {"label": ("kind", "weight", "id")}
    assert dataset.source == two.name


def test_a_column_that_a_source_lacks_is_missing_there(two: Source) -> None:
    dataset = DnaSpec().build().read(two)
    assert dataset.column("kind").tolist() == ["x", "y", "", ""]
    assert dataset.column("id").tolist() == ["", "", "one", "two"]
    task = ClassifySpec(missing="ignore").build(_only(dataset, "kind"))
    assert task.attach(_only(dataset, "kind")).targets["label"].tolist() == [0, 1, -1, -1]


def test_numbers_and_arrays_that_are_missing_are_nan(tmp_path: Path) -> None:
    source = several(
        {"path": write(tmp_path, "a.xyz", XYZ)}, {"path": write(tmp_path, "b.csv", "smiles,weight\nC,16\nO,18\n")}
    )
    dataset = AtomsSpec().build().read(source)
    assert np.isnan(dataset.column("energy")[1:]).all() and dataset.column("energy")[0] == -1.5
    assert [f.shape for f in dataset.column("forces")] == [(2, 3), (5, 3), (3, 3)]
    assert np.isnan(dataset.column("forces")[1]).all()
    task = RegressSpec(missing="ignore").build(_only(dataset, "weight"))
    assert np.isnan(task.attach(_only(dataset, "weight")).targets["label"]).ravel().tolist() == [True, False, False]


def _only(dataset: Dataset, label: str) -> Dataset:
    from dataclasses import replace

    return replace(dataset, roles={"label": (label,)})


def test_a_mistake_in_a_later_source_names_its_file_and_row(two: Source, tmp_path: Path) -> None:
    bad = write(tmp_path, "bad.fasta", ">fine\nACGT\n>wrong\nAC1T\n")
    with pytest.raises(InputError, match=r"bad\.fasta: record 'wrong'"):
        DnaSpec().build().read(several({"path": two.path}, {"path": bad}))
    labelled = write(tmp_path, "c.csv", "sequence,kind,weight\nAAAC,x,1\nAAAG,x,heavy\n")
    dataset = (
        DnaSpec().build().read(several({"path": two.path, "label": "weight"}, {"path": labelled, "label": "weight"}))
    )
    with pytest.raises(InputError, match=r"c\.csv: row 2: .*heavy"):
        RegressSpec().build(dataset).attach(dataset)


def test_a_missing_column_is_told_of_the_source_that_names_it(two: Source) -> None:
    with pytest.raises(InputError, match=r"a\.csv: no column 'kinds'"):
        DnaSpec().build().read(several({"path": two.path, "label": "kinds"}, {"path": two.also[0].path}))


def test_groups_and_splits_must_have_one_name(two: Source, tmp_path: Path) -> None:
    other = write(tmp_path, "c.csv", "sequence,family\nAAAC,x\n")
    with pytest.raises(InputError, match=r"c\.csv: its group is the column 'family', that of .* 'kind'; give both"):
        DnaSpec().build().read(several({"path": two.path, "group": "kind"}, {"path": other, "group": "family"}))


def test_a_label_of_the_name_source_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "c.csv", "sequence,source\nAAAC,x\n")
    with pytest.raises(InputError, match="'source' is the column that tells several sources apart"):
        DnaSpec().build().read(several({"path": path, "label": "source"}, {"path": path}))


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, "x.txt", "ACGT\n")
    dataset = DnaSpec().build().read(several({"path": f"{tmp_path}/a/x.txt"}, {"path": f"{tmp_path}/b/x.txt"}))
    assert dataset.column("source").tolist() == ["x.txt", "x.txt (2)"]


def test_the_cache_gives_the_same_and_each_source_is_cached_by_itself(two: Source, tmp_path: Path) -> None:
    domain, cache = DnaSpec().build(), tmp_path / "cache"
    plain, cached = domain.read(two), domain.read(two, cache)
    assert plain.fingerprint() == cached.fingerprint() == domain.read(two, cache).fingerprint()
    before = sorted(p.name for p in cache.iterdir())
    domain.read(two.also[0], cache)
    assert sorted(p.name for p in cache.iterdir()) == before and len(before) == 2


def test_the_fingerprint_follows_every_source(two: Source, tmp_path: Path) -> None:
    domain = DnaSpec().build()
    other = write(tmp_path, "d.fasta", ">one\nCCCC\n>two\nAAAT\n")
    (tmp_path / "deeper").mkdir()
    moved = write(tmp_path / "deeper", "b.fasta", ">one\nCCCC\n>two\nAAAA\n")
    found = domain.read(two).fingerprint()
    changed = two.model_copy(update={"also": [Source(path=other, label="id")]})
    assert domain.read(changed).fingerprint() != found
    assert domain.read(two.model_copy(update={"also": [Source(path=moved, label="id")]})).fingerprint() == found


def test_a_vocabulary_is_learnt_from_all_sources(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a.txt", "aaaa"), write(tmp_path, "b.csv", "text\nzzzz\n")
    domain = TextSpec(tokens="characters").build(several({"path": a}, {"path": b}))
    assert domain.alphabet == "az"
    assert domain.texts(domain.read(several({"path": a}, {"path": b}))) == ["aaaa", "zzzz"]


def test_a_learnt_tokenizer_follows_every_source(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a.txt", "abab " * 20), write(tmp_path, "b.txt", "xyxy " * 20)
    both = TextSpec().build(several({"path": a}, {"path": b}), tmp_path / "cache")
    one = TextSpec().build(Source(path=a), tmp_path / "cache")
    assert "xy" in both.tokenizer.get_vocab() and "xy" not in one.tokenizer.get_vocab()


def test_windows_are_cut_from_every_source(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a.txt", "A" * 20), write(tmp_path, "b.txt", "C" * 20)
    domain = DnaSpec(length=16).build()
    windows = domain.windows(domain.read(several({"path": a}, {"path": b})))
    assert [domain.decode(windows.store[i]) for i in range(len(windows))] == ["A" * 16, "C" * 16]
    assert len(set(domain.windows(domain.read(several({"path": a}, {"path": b})), phase=8).rows)) == 4


def test_proteins_and_molecules(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a.txt", "MKV\n"), write(tmp_path, "b.fasta", ">x\nGGA\n")
    assert len(ProteinSpec().build().read(several({"path": a}, {"path": b}))) == 2
    c, d = write(tmp_path, "c.smi", "CCO\n"), write(tmp_path, "d.csv", "smiles,y\nCC,1\n")
    domain = MoleculeSpec().build()
    dataset = domain.read(several({"path": c}, {"path": d, "label": "y"}))
    assert domain.smiles(dataset) == ["CCO", "CC"] and dataset.column("y").tolist() == ["", "1"]


def test_structures_of_all_kinds_share_a_batch(tmp_path: Path) -> None:
    source = several(
        {"path": write(tmp_path, "a.smi", "CCO\nc1ccccc1\n")},
        {"path": write(tmp_path, "b.pdb", PDB)},
        {"path": "built:crystals", "limit": 2},
    )
    domain = AtomsSpec(conformers=2).build()
    dataset = domain.read(source)
    assert isinstance(dataset.store, AtomStore)
    assert dataset.store.smiles.tolist() == ["CCO", "c1ccccc1", "", "", ""]
    assert (domain.cost(dataset) > dataset.lengths).all()
    batch = domain.collate([dataset[i] for i in range(len(dataset))])
    alone = [domain.collate([part[i]]) for part in map(domain.read, source.each()) for i in range(len(part))]
    assert batch.lengths.tolist() == [int(one.lengths[0]) for one in alone]
    assert batch.edges.shape[1] == sum(one.edges.shape[1] for one in alone)
    for i, one in enumerate(alone):
        assert np.allclose(batch.positions[batch.segments == i], one.positions)
        assert (domain.canonical(dataset.store[i]) == domain.canonical(dataset[i].inputs)).all()
    assert len(domain.fingerprints(dataset[0])) and len(domain.fingerprints(dataset[4]))


def test_pictures_of_one_shape(tmp_path: Path) -> None:
    for name, side, count in (("a", 8, 3), ("b", 8, 2), ("c", 12, 2)):
        np.save(tmp_path / f"{name}.npy", np.full((count, side, side), ord(name), np.uint8))
    a, b, c = ({"path": str(tmp_path / f"{name}.npy")} for name in "abc")
    domain = ImageSpec().build(several(a, b))
    assert domain.mean.tolist() == [(3 * ord("a") + 2 * ord("b")) / 5]
    assert [int(domain.read(several(a, b)).store[i].mean()) for i in range(5)] == [97, 97, 97, 98, 98]
    with pytest.raises(InputError, match=r"c\.npy: picture 1.*12 × 12.*set domain\.size"):
        ImageSpec().build(several(a, c))


def test_tables_need_every_column_everywhere(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a.csv", "x,y,k\n1,2,p\n3,4,q\n"), write(tmp_path, "b.csv", "x,y,k\n5,6,p\n7,8,q\n")
    domain = TableSpec().build(several({"path": a, "label": "k"}, {"path": b, "label": "k"}))
    assert [column.name for column in domain.columns] == ["x", "y"]
    dataset = domain.read(several({"path": a, "label": "k"}, {"path": b, "label": "k"}))
    assert dataset.column("k").tolist() == ["p", "q", "p", "q"]
    c = write(tmp_path, "c.csv", "x\n1\n2\n")
    with pytest.raises(InputError, match=r"c\.csv: no column 'y'"):
        domain.read(several({"path": a, "label": "k"}, {"path": c}))


def test_graphs_refuse_several_sources(tmp_path: Path) -> None:
    path = write(tmp_path, "edges.csv", "source,target\n0,1\n1,2\n")
    for level in ("node", "graph"):
        with pytest.raises(InputError, match=r"domain\.kind=graph reads one source"):
            GraphSpec(level=level).build(several({"path": path}, {"path": path}))
    with pytest.raises(InputError, match=r"domain\.kind=graph reads one source"):
        GraphSpec().build(Source(path=path)).read(several({"path": path}, {"path": path}))


def test_one_source_says_what_it_always_said() -> None:
    assert "also" not in Source(path="a").plain()
    nested = several({"path": "a"}, {"path": "b", "also": [{"path": "c"}]})
    assert [one.path for one in nested.each()] == ["a", "b", "c"] and nested.name == "a + b + c"
    assert Source.parse(nested.plain()) == nested
