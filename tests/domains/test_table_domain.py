"""Tables: columns learnt from a corpus, one token each; every kind of file, and every mistake in one."""

import gzip
import json

import numpy as np
import pytest
import torch

from exapt.domains import Source, TableSpec, from_arrays, load_domain
from exapt.domains.columns import Category, Number
from exapt.errors import InputError

HEAD = "age,work,fixed,income"
LINES = ["39, State,x,low", "50,?,x,high", ",Private,x,low", "28,Private,x,high", "41.5,State,x,low"]


@pytest.fixture
def people(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("\n".join([HEAD, *LINES]) + "\n")
    return path


def source(path, **options):
    return Source(path=str(path), **options)


def test_columns_are_learnt_and_the_label_is_no_input(people):
    labelled = source(people, label="income")
    domain = TableSpec().build(labelled)
    age, work = domain.columns
    assert isinstance(age, Number) and isinstance(work, Category)
    assert (age.mean, age.edges) == (pytest.approx(39.625), [33.5, 40.25, 45.75])
    assert work.values == ["Private", "State"]
    assert domain.constant == ["fixed"]
    data = domain.read(labelled)
    assert data.roles == {"label": ("income",)}
    assert data.column("income").tolist() == ["low", "high", "low", "high", "low"]
    ids = np.stack([data.store[i] for i in range(5)])
    first = 5 + age.size
    assert ids.tolist() == [
        [7, first + 2],
        [9, first],
        [5, first + 1],
        [6, first + 1],
        [8, first + 2],
    ]
    assert domain.inputs.vocabulary == first + work.size
    assert domain.decode(ids[0]) == "age=33.5…40.25, work=State"
    assert domain.decode(ids[1]) == "age=45.75…∞, work=?"
    facts = domain.describe()
    assert facts["columns"] == {"age": "number", "work": "2 categories"}
    assert facts["constant columns left out"] == ["fixed"]


def test_numbers_are_cut_at_quantiles():
    values = np.random.default_rng(0).exponential(size=5000)
    column = Number.learn("x", values, 20)
    counts = np.bincount(column.codes(values.tolist(), (""), str))
    assert counts[0] == 0
    assert len(counts) == 21
    np.testing.assert_allclose(counts[1:], 250, atol=2)
    assert column.codes([-1e9, 1e9, None], [""], str).tolist() == [1, 20, 0]
    mostly_zero = Number.learn("x", np.where(values > 3, values, 0), 20)
    assert mostly_zero.codes([0.0, 5.0], [""], str).tolist() != [1, 1]


def test_the_baseline_has_the_numbers_themselves(people):
    labelled = source(people, label="income")
    domain = TableSpec(bins=2).build(labelled)
    data = domain.read(labelled)
    train, other = domain.classical(data, [data.subset([2, 1])])
    ages = np.array([39, 50, np.nan, 28, 41.5])
    z = (ages - np.nanmean(ages)) / np.nanstd(ages)
    wanted = np.column_stack([np.nan_to_num(z), np.isnan(ages), [0, 1, 0, 0, 0], [0, 0, 1, 1, 0], [1, 0, 0, 0, 1]])
    np.testing.assert_allclose(train.toarray(), wanted, rtol=1e-6)
    np.testing.assert_allclose(other.toarray(), wanted[[2, 1]], rtol=1e-6)


def test_unseen_categories_are_unknown_and_rare_ones_too(people):
    rows = [{"c": c, "n": i} for i, c in enumerate("aaabbbcd")]
    domain = TableSpec(categories=2).build(from_arrays(rows))
    assert domain.columns[0].values == ["a", "b"]
    data = domain.read(from_arrays([{"c": "z", "n": 1}, {"c": "c", "n": 2}, {"n": 2, "c": ""}]))
    assert [int(data.store[i][0]) for i in range(3)] == [1, 1, 5]
    assert domain.decode(data.store[0]).startswith("�, n=")
    assert domain.classical(data)[0][0, :3].toarray().tolist() == [[0, 0, 0]]


def test_every_kind_of_file_reads_alike(people, tmp_path):
    rows = [dict(zip(HEAD.split(","), line.replace(" ", "").split(","), strict=True)) for line in LINES]
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    (tmp_path / "p.tsv").write_text(people.read_text().replace(",", "\t"))
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(people.read_bytes()))
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    (tmp_path / "bare.csv").write_text("\n".join(LINES))
    domain = TableSpec().build(source(people, label="income"))
    expected = domain.read(source(people, label="income"))
    for name in ["p.tsv", "p.csv.gz", "p.jsonl", "p.parquet"]:
        assert domain.read(source(tmp_path / name, label="income")).fingerprint() == expected.fingerprint(), name
    bare = domain.read(source(tmp_path / "bare.csv", label="income", header=HEAD.split(",")))
    assert bare.fingerprint() == expected.fingerprint()
    memory = from_arrays([{k: v for k, v in row.items() if k != "income"} for row in rows], label=["l"] * 5)
    assert domain.read(memory).store.fingerprint() == expected.store.fingerprint()


def test_cached_and_read_anew(people, tmp_path):
    labelled = source(people, label="income")
    domain = TableSpec().build(labelled)
    first, again = (domain.read(labelled, tmp_path / "cache") for _ in range(2))
    assert first.fingerprint() == again.fingerprint()
    assert first.column("age").tolist() == again.column("age").tolist()
    assert (domain.classical(again)[0] != domain.classical(domain.read(labelled))[0]).nnz == 0


def test_what_masking_hides_is_a_cell(people):
    domain = TableSpec().build(source(people, label="income"))
    batch = domain.collate(list(domain.read(source(people))))
    hidden = domain.mask(batch, 0.5, torch.Generator().manual_seed(0))
    assert len(hidden.where) == 5
    assert (batch.inputs[hidden.where] == hidden.target).all()
    assert ((hidden.where % 4 == 1) | (hidden.where % 4 == 2)).all()


def test_kinds_can_be_said(people, tmp_path):
    domain = TableSpec(kinds={"age": "category"}, columns=["work", "age"]).build(source(people))
    assert [c.name for c in domain.columns] == ["work", "age"]
    assert domain.columns[1].values == ["28", "39", "41.5", "50"]
    domain.save(tmp_path / "d")
    assert load_domain(tmp_path / "d").columns == domain.columns
    flags = TableSpec().build(from_arrays([{"f": True}, {"f": False}]))
    assert isinstance(flags.columns[0], Category)


def refused(spec, read, match):
    with pytest.raises(InputError, match=match):
        spec.build(read)


def test_mistakes_in_a_spec(people):
    read = source(people)
    refused(TableSpec(columns=["aeg"]), read, r"people.csv: no column 'aeg'; did you mean 'age'")
    refused(TableSpec(without=["wrk"]), read, r"no column 'wrk'; did you mean 'work'")
    refused(TableSpec(without=HEAD.split(",")), read, r"no column is left as an input; there are: age, work")
    refused(TableSpec(columns=["fixed"]), read, r"every column is the same in all rows")
    refused(TableSpec(kinds={"work": "number"}), read, r"people.csv: row 1: 'work' holds 'State', which is no number")
    refused(TableSpec(), None, "learnt from a corpus")
    with pytest.raises(InputError, match=r"bins"):
        TableSpec.parse({"bins": 1})


def test_mistakes_in_a_file(people, tmp_path):
    domain = TableSpec().build(source(people, label="income"))
    other = tmp_path / "other.csv"
    for text, message in [
        ("age,job\n3,a\n", r"other.csv: no column 'work'; "),
        ("age,work\n3,a\nold,b\n", r"other.csv: row 2: 'age' holds 'old', which is no number; .*kinds.age=category"),
        ("age,work\ninf,a\n", r"row 1: 'age' holds 'inf'"),
        ("age,work\n3\n", r"row 1 has 1 fields, the header has 2"),
    ]:
        other.write_text(text)
        with pytest.raises(InputError, match=message):
            domain.read(source(other))
    with pytest.raises(InputError, match=r"'work' is named as label, group or split.*domain.without=\[work\]"):
        domain.read(source(people, label="work"))
    with pytest.raises(InputError, match=r"a table's example is its whole row"):
        domain.read(source(people, column="age"))
    with pytest.raises(InputError, match=r"example 2 is list; expected a mapping"):
        domain.read(from_arrays([{"age": 1, "work": "a"}, [1, 2]]))


def test_a_row_that_lacks_a_key_lacks_a_value(people, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"age": 39, "work": "State"}\n{"work": "State"}\n')
    data = TableSpec().build(source(people, label="income")).read(source(path))
    assert int(data.store[1][0]) == 5
