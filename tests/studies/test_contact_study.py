"""Contacts as a study of made-up families, and as predictions on files."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from exapt.adaptation import MapsSpec, Start, fit
from exapt.domains import Source
from exapt.errors import InputError
from exapt.studies.reading import read_study
from exapt.studies.single import predict_file
from exapt.tasks import ContactsSpec
from protein_standins import network


def test_the_shipped_studies_resolve() -> None:
    assert {*read_study("contacts").all_arms()} >= {"pretrained", "scratch", "jacobian", "separation"}
    with pytest.raises(InputError, match=r"corpus\.path is not set"):
        read_study("contacts-files")
    assert read_study("contacts-files", ["corpus.path=a.fa", "labelled.path=pdb"]).domain.homologues == "leave-out"
    sites = read_study("binding-sites", ["corpus.path=a.fa", "labelled.path=b.csv"])
    assert sites.task.against == "0"


def test_arms_that_no_probe_can_answer_are_refused() -> None:
    with pytest.raises(InputError, match="contacts are no linear function of frozen features"):
        read_study("contacts", ["arms=[pretrained, scratch, frozen]"])


def test_predictions_are_the_likeliest_pairs(tmp_path: Path) -> None:
    domain, backbone, _ = network()
    dataset = domain.read(Source(path="potts:1x3x20"))
    task = ContactsSpec(range="all").build(dataset)
    data = task.attach(dataset)
    folder = fit(MapsSpec(of="separation"), Start(domain, backbone), task, data, data.subset([]), 0).save(
        tmp_path / "f"
    )
    (tmp_path / "new.fasta").write_text(">a\nMKVACDEFGHIK\n>b\nMKVACDEFG\n")
    written = predict_file(folder, Source(path=str(tmp_path / "new.fasta")), tmp_path / "pairs.csv")
    rows = list(csv.DictReader((tmp_path / "pairs.csv").read_text().splitlines()))
    assert len(rows) == written == 21 + 6  # every pair at least 6 apart: fewer than 3 L
    assert all(int(row["j"]) - int(row["i"]) >= 6 for row in rows)
    chances = [float(row["probability"]) for row in rows if row["index"] == "0"]
    assert chances == sorted(chances, reverse=True)
