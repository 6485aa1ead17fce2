"""What the test part may not lend to pre-training: its examples, and where these must stay, its labels."""

from types import SimpleNamespace

import numpy as np
import pytest

from exapt.domains import DnaSpec
from exapt.domains.base import Arrays, Source
from exapt.errors import InputError
from exapt.objectives import SupervisedSpec
from exapt.studies.corpora import labels_seen, unseen, without_test

SEQUENCES = ["ACGTAC", "AAAATT", "CCCCGG", "GTGTGT", "ACACTT", "TTTTAC"]
KINDS = [0, 1, 0, 1, 0, 1]


def read(domain, sequences=SEQUENCES, label="kind"):
    return domain.read(Arrays(sequences, {"kind": KINDS[: len(sequences)]}, label=label))


def parts(monkeypatch, transductive):
    """A domain, and labelled data whose test part is examples 1 and 4."""
    domain = DnaSpec(length=8, reverse_complement=False).build()
    monkeypatch.setattr(type(domain), "transductive", property(lambda _: transductive))
    raw = read(domain)
    split = SimpleNamespace(test=np.array([1, 4]), pool=np.array([0, 2, 3, 5]))
    spec = SimpleNamespace(labelled=Source(path="nodes"))
    return domain, SimpleNamespace(
        domain=domain, raw=raw, examples=raw, test=raw.subset([1, 4]), split=split, spec=spec
    )


def test_examples_of_the_test_part_leave_the_corpus(monkeypatch):
    domain, data = parts(monkeypatch, transductive=False)
    left = unseen(data, read(domain, SEQUENCES[::-1]))
    assert left.rows.tolist() == [0, 2, 3, 5]


def test_they_leave_every_source_of_the_corpus(monkeypatch, tmp_path):
    domain, data = parts(monkeypatch, transductive=False)
    for name, rows in (("a.txt", SEQUENCES[:2]), ("b.txt", SEQUENCES[2:])):
        (tmp_path / name).write_text("".join(f"{row}\n" for row in rows))
    corpus = domain.read(Source(path=f"{tmp_path}/a.txt", also=[Source(path=f"{tmp_path}/b.txt")]))
    left = unseen(data, corpus)
    assert left.rows.tolist() == [0, 2, 3, 5]
    assert left.column("source").tolist() == ["a.txt", "b.txt", "b.txt", "b.txt"]


def test_where_they_must_stay_their_labels_leave(monkeypatch):
    domain, data = parts(monkeypatch, transductive=True)
    left = unseen(data, read(domain).subset([5, 4, 3, 2, 1, 0]))
    assert left.column("kind").tolist() == [1, None, 1, 0, None, 0]
    spec = SupervisedSpec().settled(left, domain)
    assert spec.attach(left, domain).targets["pretext class"].tolist() == [1, -1, 1, 0, -1, 0]


def test_a_corpus_without_named_labels_stays_as_it_is(monkeypatch):
    domain, data = parts(monkeypatch, transductive=True)
    plain = read(domain, label=None)
    assert unseen(data, plain) is plain


def test_labels_of_another_whole_are_refused(monkeypatch):
    domain, data = parts(monkeypatch, transductive=True)
    with pytest.raises(InputError, match="its labels may be those of test examples of nodes"):
        unseen(data, read(domain, SEQUENCES[:4]))


def test_labels_are_counted_with_those_of_the_pool(monkeypatch):
    domain, data = parts(monkeypatch, transductive=False)
    corpus = domain.read(Arrays([*SEQUENCES, "GGGGGG"], {"kind": ["0", "", "1", "1", "0", "1", "0"]}, label="kind"))
    assert labels_seen(data, unseen(data, corpus)) == {"labels": 5, "of_the_pool": 4}


def test_parts_that_test_sequences_share_leave_a_genome():
    """Either strand; what was left out is noted in elements, for no whole example went."""
    genome = "".join(np.random.default_rng(0).choice(list("ACGT"), 500))
    other = genome[200:281][::-1].translate(str.maketrans("ACGT", "TGCA"))
    domain = DnaSpec(length=64).build()
    tests = domain.read(Arrays([genome[100:181], other], {}))
    data = SimpleNamespace(domain=domain, test=tests)
    noted = {}
    folder = SimpleNamespace(note=lambda **facts: noted.update(facts))
    left = without_test(data, folder, domain.read(Arrays([genome], {})))
    assert [domain.decode(e.inputs) for e in left] == [genome[:100], genome[181:200], genome[281:]]
    assert noted == {"left_out_of_corpus": {"examples": 0, "of": 1, "elements of others": 162}}


def test_labels_of_several_columns_are_counted_one_by_one(monkeypatch):
    domain, data = parts(monkeypatch, transductive=False)
    columns = {"a": [1.5, None, 2.0, None, None, None], "b": [[0.1] * 6, None, None, [1.0] * 6, None, None]}
    corpus = domain.read(Arrays(SEQUENCES, columns, label=["a", "b"]))
    assert labels_seen(data, corpus) == {"labels": 4, "of_the_pool": 3}
