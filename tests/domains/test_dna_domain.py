"""DNA: tokens, strands, fingerprints and baseline features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.domains import DnaSpec, from_arrays, load_domain
from exapt.domains.dna import DnaDomain
from exapt.errors import InputError

BASE = DnaSpec(length=64).build()
KMER = DnaSpec(tokens="kmer", k=3, length=64).build()
CORPUS = ["".join(np.random.default_rng(i).choice(list("ACGT"), 300)) for i in range(20)]
BPE = DnaSpec(tokens="bpe", vocabulary=64, length=64).build(from_arrays(CORPUS))
dna = st.text("ACGTN", min_size=1, max_size=40)


def other_strand(sequence: str) -> str:
    """The plainest reverse complement."""
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_golden_ids() -> None:
    """Fixed for ever: a change here makes every saved checkpoint wrong."""
    assert BASE.encode("ACGTN").tolist() == [5, 6, 7, 8, 1]
    assert BASE.encode("acgturyswkmbdhvn").tolist() == [5, 6, 7, 8, 8, *[1] * 11]
    assert BASE.inputs.vocabulary == 9
    assert KMER.encode("AAAAACTTTACNGT").tolist() == [9, 10, 72, 1, 7, 8]
    assert KMER.inputs.vocabulary == 9 + 64


@given(st.lists(dna, min_size=1, max_size=4))
@settings(deadline=None)
def test_kmers_equal_cutting_strings(sequences: list[str]) -> None:
    dataset = KMER.read(from_arrays(sequences))
    for example, sequence in zip(dataset, sequences, strict=True):
        whole = len(sequence) // 3 * 3
        words = [sequence[i : i + 3] for i in range(0, whole, 3)] + list(sequence[whole:])
        expected = [1 if "N" in w else KMER.encode(w).item() for w in words]
        assert example.inputs.tolist() == expected
        spelled = "".join(("N" * len(w) if "N" in w else w) for w in words[: whole // 3]) + "".join(words[whole // 3 :])
        if "N" not in sequence[whole:]:
            assert KMER.decode(example.inputs) == spelled


@given(dna)
@settings(deadline=None)
def test_single_bases_and_pairs_round_trip(sequence: str) -> None:
    for domain in (BASE, BPE):
        assert domain.decode(domain.encode(sequence)) == sequence


def test_byte_pairs_of_long_sequences_are_found_in_runs() -> None:
    long = "".join(CORPUS) + "N" * 7
    dataset = BPE.read(from_arrays([long, "ACGT", long[:600]]))
    assert [BPE.decode(e.inputs) for e in dataset] == [long, "ACGT", long[:600]]
    assert dataset.lengths[0] < len(long) / 2


@given(dna)
@settings(deadline=None)
def test_reverse_complement_of_ids(sequence: str) -> None:
    ids = torch.from_numpy(BASE.encode(sequence))
    assert BASE.decode(BASE.reverse_complement(ids)) == other_strand(sequence)
    assert torch.equal(BASE.reverse_complement(BASE.reverse_complement(ids)), ids)
    aligned = sequence[: len(sequence) // 3 * 3].replace("N", "A")
    words = torch.from_numpy(KMER.encode(aligned))
    assert torch.equal(KMER.reverse_complement(words), torch.from_numpy(KMER.encode(other_strand(aligned))))


@pytest.mark.parametrize("domain", [BASE, KMER])
def test_augment_turns_about_half_and_keeps_labels_beside_their_bases(domain: DnaDomain) -> None:
    sequences = ["".join(np.random.default_rng(i).choice(list("ACGT"), 9 + 3 * (i % 4))) for i in range(400)]
    dataset = domain.read(from_arrays(sequences))
    labels = np.empty(len(dataset), dtype=object)
    labels[:] = [e.inputs.astype(np.int64) for e in dataset]
    batch = domain.collate(list(type(dataset)(**{**vars(dataset), "element_targets": {"label": labels}})))
    turned = domain.augment(batch, torch.Generator().manual_seed(0))
    changed = 0
    for i in range(len(batch)):
        old, new = (b.inputs[batch.offsets[i] : batch.offsets[i + 1]] for b in (batch, turned))
        marks = turned.element_targets["label"][batch.offsets[i] : batch.offsets[i + 1]]
        if torch.equal(new, old):
            assert torch.equal(marks, old)
            continue
        changed += 1
        assert torch.equal(new, domain.reverse_complement(old))
        assert torch.equal(marks, old.flip(0))
    assert 150 < changed < 250
    assert torch.equal(turned.offsets, batch.offsets)


def test_strands_can_be_left_alone_and_byte_pairs_refuse() -> None:
    single = DnaSpec(reverse_complement=False).build()
    batch = single.collate(list(single.read(from_arrays(["ACGGT"] * 50))))
    assert single.augment(batch, torch.Generator().manual_seed(0)) is batch
    assert BPE.augment(batch, torch.Generator().manual_seed(0)) is batch
    assert not BPE.both_strands
    assert BASE.both_strands
    with pytest.raises(InputError, match="reverse_complement is not possible with byte-pair tokens"):
        DnaSpec.parse({"tokens": "bpe", "reverse_complement": True})
    with pytest.raises(InputError, match="no reverse complement"):
        BPE.reverse_complement(torch.tensor([5]))


@pytest.mark.parametrize("domain", [BASE, KMER, BPE])
def test_fingerprints_are_the_same_on_both_strands(domain: DnaDomain) -> None:
    sequence = CORPUS[0][:60]
    prints = [
        set(domain.fingerprints(domain.read(from_arrays([s]))[0]).tolist())
        for s in (
            sequence,
            other_strand(sequence),
            sequence[20:50],
            CORPUS[1][:60],
            "ACGTTGAC",
            other_strand("ACGTTGAC"),
        )
    ]
    assert prints[0] == prints[1]
    assert len(prints[0]) == 40
    assert prints[2] < prints[0]
    assert len(prints[2]) == 10
    assert not prints[0] & prints[3]
    assert prints[4] == prints[5]
    assert len(prints[4]) == 1
    gap = domain.read(from_arrays([sequence[:30] + "N" * 30 + sequence[30:]]))[0]
    assert set(domain.fingerprints(gap).tolist()) <= prints[0] | prints[1]


def test_baseline_features_equal_counting() -> None:
    sequences = ["ACGTACGGTN", "TTTTTTTTTT", "ACNNACGTTT"]
    (features,) = BASE.classical(BASE.read(from_arrays(sequences)))
    kmers = 4 + 16 + 64 + 256 + 1024
    assert features.shape == (3, kmers + 10 * 4)
    start = 0
    for k in range(1, 6):
        words = [[s[i : i + k] for i in range(len(s) - k + 1) if "N" not in s[i : i + k]] for s in sequences]
        for row, mine in enumerate(words):
            block = features[row, start : start + 4**k].toarray()[0]
            for word in set(mine):
                column = int("".join(str("ACGT".index(c)) for c in word), 4)
                assert block[column] == pytest.approx((mine.count(word) / len(mine)) ** 0.5)
            assert np.count_nonzero(block) == len(set(mine))
        start += 4**k
    places = features[:, kmers:].toarray().reshape(3, 10, 4)
    assert [["".join("ACGT"[i] for i in np.flatnonzero(p)) or "N" for p in row] for row in places] == [
        list(s) for s in sequences
    ]


def test_places_count_only_where_training_lengths_agree() -> None:
    train = BASE.read(from_arrays(["ACGT", "GGTA"]))
    other = BASE.read(from_arrays(["ACGTT", "A"]))
    first, second = BASE.classical(train, [other])
    assert first.shape[1] == second.shape[1] == 1364 + 16
    assert [m.shape[1] for m in BASE.classical(other, [train])] == [1364, 1364]


def test_windows_around_bases() -> None:
    short = DnaSpec(length=4).build()
    dataset = short.read(from_arrays(["ACGTA", "N"]))
    features = short.classical_elements(dataset).toarray().reshape(-1, 15, 5)
    assert len(features) == 5, "only what collate keeps"
    signs = ["".join("ACGT-"[i] for i in row.argmax(1)) for row in features]
    assert signs[0] == "-" * 7 + "ACGT" + "-" * 4
    assert signs[3] == "-" * 4 + "ACGT" + "-" * 7
    assert signs[4] == "-" * 15
    assert (features.sum(2) == 1).all()
    with pytest.raises(InputError, match="only with tokens base"):
        KMER.classical_elements(KMER.read(from_arrays(["ACG"])))


def test_no_ends() -> None:
    batch = BASE.collate(list(BASE.read(from_arrays(["ACGT", "GG"]))))
    assert batch.inputs.tolist() == [5, 6, 7, 8, 7, 7]


@pytest.mark.parametrize("domain", [BASE, KMER, BPE])
def test_saved_and_loaded(domain: DnaDomain, tmp_path: Path) -> None:
    domain.save(tmp_path)
    again = load_domain(tmp_path)
    assert again.describe() == domain.describe()
    np.testing.assert_array_equal(again.encode(CORPUS[0]), domain.encode(CORPUS[0]))
