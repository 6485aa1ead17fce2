"""Real files, where `EXAPT_DATA` names a folder that holds them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from exapt.domains import DnaSpec, ImageSpec, ProteinSpec, Source, TextSpec

DATA = Path(os.environ.get("EXAPT_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="EXAPT_DATA names no folder of real data")


def test_a_whole_genome_is_read_in_a_second(tmp_path: Path) -> None:
    domain, source = DnaSpec().build(), Source(path=str(DATA / "dna/ecoli_mg1655.fa.gz"))
    start = time.process_time()
    dataset = domain.read(source, tmp_path)
    assert time.process_time() - start < 2
    assert dataset.lengths.tolist() == [4_639_675]
    assert domain.decode(dataset[0].inputs[:20]) == "AGCTTTTCATTCTGACTGCA"
    assert domain.windows(dataset).lengths.sum() == 4_639_675


def test_promoters() -> None:
    domain = DnaSpec().build()
    dataset = domain.read(Source(path=str(DATA / "dna/ecoli_promoters.csv.gz"), label="label"))
    assert len(dataset) == 5720
    assert set(dataset.lengths.tolist()) == {81}
    assert np.unique(dataset.columns["label"], return_counts=True)[1].tolist() == [2860, 2860]
    positive = domain.read(Source(path=str(DATA / "dna/human_tata_positive.txt.gz")))
    assert len(positive) == 2929


def test_secondary_structure_with_mask_and_official_split() -> None:
    source = Source(
        path=f"{DATA / 'protein/flip_secondary_structure.zip'}::splits/sequences.fasta",
        label="sampled.fasta",
        mask="mask.fasta",
        split="SET",
    )
    dataset = ProteinSpec().build().read(source)
    assert len(dataset) == 11156
    assert dict(zip(*np.unique(dataset.columns["SET"], return_counts=True), strict=True)) == {
        "test": 364,
        "train": 9712,
        "valid": 1080,
    }
    labels = dataset.columns["sampled.fasta"]
    assert [len(text) for text in labels] == dataset.lengths.tolist()
    assert set("".join(labels)) == set("HEC?")
    assert sum(text.count("?") for text in labels) == 186_876
    binding = f"{DATA / 'protein/flip_binding_sites.zip'}::splits/sequences.fasta"
    some = ProteinSpec().build().read(Source(path=binding, label="splits/one_vs_sm.fasta", split="SET"))
    assert len(some) == 1244
    assert some.skipped == {"without a label": 116}


def test_uniprot_and_gb1() -> None:
    domain = ProteinSpec().build()
    dataset = domain.read(Source(path=str(DATA / "protein/uniprot_20k.fasta.gz")))
    assert (len(dataset), dataset.lengths.sum()) == (20_000, 9_055_569)
    gb1 = Source(path=f"{DATA / 'protein/flip_gb1.zip'}::splits/low_vs_high.csv", label="target", split="set")
    assert {"train", "valid", "test"} == set(domain.read(gb1).columns["set"].tolist())


def test_reviews(tmp_path: Path) -> None:
    source = Source(path=str(DATA / "text/imdb_unlabelled_20k.jsonl.gz"), limit=500)
    domain = TextSpec(vocabulary=1000).build(source)
    dataset = domain.read(source, tmp_path)
    assert len(dataset) == 500
    assert domain.texts(dataset.subset([0]))[0].startswith("There are different types of bad movies.<br />")
    windows = domain.windows(dataset, 7)
    batch = domain.collate([windows[i] for i in range(40)])
    assert int(domain.mask(batch, 0.3, torch.Generator().manual_seed(0)).where.numel()) > 1000


def test_shakespeare_is_one_running_document() -> None:
    source = Source(path=str(DATA / "text/tinyshakespeare.txt.gz"))
    domain = TextSpec(tokens="characters", length=66).build(source)
    dataset = domain.read(source)
    assert len(domain.alphabet) == 65
    assert dataset.lengths.tolist() == [1_115_394]


def test_pictures(tmp_path: Path) -> None:
    source = Source(path=str(DATA / "image/cifar10_12k.npz"), label="y")
    domain = ImageSpec().build(source, tmp_path)
    assert domain.shape == (32, 32, 3)
    assert np.bincount(domain.read(source, tmp_path).columns["y"]).sum() == 12_000
    cells = Source(path=str(DATA / "image/bccd/JPEGImages"), limit=10)
    assert ImageSpec(patch=16).build(cells).shape == (480, 640, 3)
    assert ImageSpec(patch=8, size=64).build(cells).shape == (64, 64, 3)
