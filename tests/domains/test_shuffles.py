"""Shuffled copies: exactly the same pairs of neighbours, every order equally likely, and a data set of both."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.domains import DnaSpec
from exapt.domains.base import Source
from exapt.domains.shuffles import dinucleotide_shuffle
from exapt.errors import InputError
from exapt.tasks import ClassifySpec
from exapt.tasks.splits import SplitSpec, make_split

BASE = DnaSpec(length=64).build()


def pairs(letters: object) -> Counter[tuple[int, int]]:
    whole = [int(x) for x in letters]  # type: ignore[attr-defined]
    return Counter(pairwise(whole))


@given(st.lists(st.integers(0, 4), max_size=120), st.integers(0, 99))
@settings(deadline=None)
def test_pairs_stay_exactly(letters: list[int], seed: int) -> None:
    codes = np.array(letters, dtype=np.uint8)
    found = dinucleotide_shuffle(codes, np.random.default_rng(seed))
    assert found.dtype == codes.dtype
    assert pairs(found) == pairs(codes)
    assert found[:1].tolist() == letters[:1]
    assert found[-1:].tolist() == letters[-1:]


def test_every_order_is_equally_likely() -> None:
    letters = [0, 1, 0, 2, 1, 0, 0, 2]
    every = {(0, *p, 2) for p in permutations(letters[1:-1]) if pairs([0, *p, 2]) == pairs(letters)}
    rng, draws = np.random.default_rng(0), 4000
    counts = Counter(tuple(dinucleotide_shuffle(np.array(letters), rng).tolist()) for _ in range(draws))
    assert set(counts) == every
    assert len(every) > 4
    wanted = draws / len(every)
    assert sum((n - wanted) ** 2 / wanted for n in counts.values()) < 3 * len(every), "χ² far above its mean"


def test_a_shuffled_sequence_is_another() -> None:
    codes = np.random.default_rng(1).integers(0, 4, 81)
    found = dinucleotide_shuffle(codes, np.random.default_rng(0))
    assert (found != codes).mean() > 0.5


def write(folder: Path, text: str, name: str = "promoters.csv") -> Source:
    (folder / name).write_text(text)
    return Source(path=f"shuffled:{folder / name}", label="label" if name.endswith(".csv") else None)


ROWS = "sequence,label\nGGGGGGGGGG,0\nACGTTGCATGCCATGA,1\nTTGACATATAATGCCCA,1\n"


def test_positives_and_their_copies(tmp_path: Path) -> None:
    source = write(tmp_path, ROWS)
    data = BASE.read(source)
    assert data.columns["label"].tolist() == ["1", "0", "1", "0"]
    assert data.columns["pair"].tolist() == [0, 0, 1, 1]
    assert BASE.decode(data[0].inputs) == "ACGTTGCATGCCATGA"
    for at in (0, 2):
        assert pairs(data[at].inputs) == pairs(data[at + 1].inputs)
        assert data[at].inputs.tolist() != data[at + 1].inputs.tolist()
    assert data.fingerprint() == BASE.read(source).fingerprint()
    assert data.source == source.path
    few = BASE.read(source.model_copy(update={"limit": 1}))
    assert [BASE.decode(e.inputs) for e in few] == [BASE.decode(e.inputs) for e in data][:2]


def test_words_as_labels_and_files_of_positives_alone(tmp_path: Path) -> None:
    data = BASE.read(write(tmp_path, ROWS.replace(",0", ",no").replace(",1", ",yes")))
    assert data.columns["label"].tolist() == ["yes", "no", "yes", "no"]
    data = BASE.read(write(tmp_path, "sequence,label\nACGTTGCATGCC,7\n"))
    assert data.columns["label"].tolist() == ["7", "0"]
    data = BASE.read(write(tmp_path, "ACGTTGCATGCC\nGGACTTACGTAC\n", "tata.txt"))
    assert data.columns["label"].tolist() == ["1", "0", "1", "0"]
    assert data.roles["label"] == ("label",)


def test_other_tokens(tmp_path: Path) -> None:
    kmers = DnaSpec(tokens="kmer", k=3, length=64).build()
    data = kmers.read(write(tmp_path, ROWS))
    assert pairs(kmers.codes(data[0].inputs)) == pairs(kmers.codes(data[1].inputs))


def test_a_split_keeps_pairs_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "".join("".join(rng.choice(list("ACGT"), 40)) + ",1\n" for _ in range(50))
    data = BASE.read(write(tmp_path, "sequence,label\n" + rows))
    task = ClassifySpec().build(data)
    split = make_split(data, task, SplitSpec(), BASE, 0)
    assert not set(data.columns["pair"][split.pool]) & set(data.columns["pair"][split.test])
    assert len(split.pool) + len(split.test) == 100


def test_three_classes_have_no_positive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"shuffled:.*need a label of one class or two, and it has 3"):
        BASE.read(write(tmp_path, ROWS + "ACGT,2\n"))
