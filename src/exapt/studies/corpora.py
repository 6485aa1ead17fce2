"""What the test part may not lend to pre-training: the examples that equal one of it, or its labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from exapt.domains.base import Dataset, Domain
from exapt.domains.label_values import absent
from exapt.errors import InputError
from exapt.studies.folder import RunFolder
from exapt.studies.labelled import Labelled
from exapt.studies.spec import OWN

LEFT_OUT = "left_out_of_corpus"
"""Under which `run.json` holds what the study's own corpus lost; the starts' stand under their names beside it."""


def same_data(data: Labelled, folder: RunFolder) -> None:
    """Refuse labelled data that is not what this run's fits were made with."""
    noted = folder.note().get("data")
    if noted is not None and noted["key"] != data.key:
        raise InputError(
            f"{data.spec.labelled.name}: not the data that {folder.path} was begun with; "
            "put the former file back, or choose another folder with --out"
        )


def without_test(data: Labelled, folder: RunFolder, corpus: Dataset, name: str = OWN) -> Dataset:
    """The corpus as pre-training may see it; what was left out of it is noted in `run.json`."""
    kept = unequal(data, corpus)
    left = data.domain.without(kept, data.test)
    facts = {"examples": len(corpus) - len(kept), "of": len(corpus)}
    if left is not kept:
        facts |= {"elements of others": int(kept.lengths.sum() - left.lengths.sum())}
    if name == OWN:
        folder.note(**{LEFT_OUT: facts})
    else:
        starts = folder.note().get("left_out_of_starts", {})
        folder.note(left_out_of_starts=starts | {name: facts})
    return left


def unseen(data: Labelled, corpus: Dataset) -> Dataset:
    """The corpus without what its field says that test examples share with it: whole examples, and parts of DNA."""
    return data.domain.without(unequal(data, corpus), data.test)


def unequal(data: Labelled, corpus: Dataset) -> Dataset:
    """The corpus without the examples that equal a test example; where these must stay, without their labels."""
    if data.domain.transductive:
        return _unlabelled(data, corpus)
    tests = set(_contents(data.test, data.domain))
    seen = np.array([content in tests for content in _contents(corpus, data.domain)], dtype=bool)
    return corpus.subset(np.flatnonzero(~seen)) if seen.any() else corpus


def labels_seen(data: Labelled, corpus: Dataset) -> dict[str, int]:
    """How many labels a corpus holds, in all columns that it names, and how many of its labelled examples equal one of
    the pool that budgets are drawn from."""
    columns = [corpus.column(name) for name in corpus.roles.get("label", ())]
    there = np.array([[not absent(value) for value in column] for column in columns], dtype=bool)
    pool = set(_contents(data.examples.subset(data.split.pool), data.domain))
    known = corpus.subset(np.flatnonzero(there.any(0)))
    return {
        "labels": int(there.sum()),
        "of_the_pool": sum(content in pool for content in _contents(known, data.domain)),
    }


def _unlabelled(data: Labelled, corpus: Dataset) -> Dataset:
    """The whole of a graph, with the labels of its test nodes taken out.

    Raises `InputError` where labels are named of another whole than the labelled one: which are tests is not known.
    """
    names = corpus.roles.get("label", ())
    if not names:
        return corpus
    if corpus.store.fingerprint() != data.raw.store.fingerprint():
        raise InputError(
            f"{corpus.source}: its labels may be those of test examples of {data.spec.labelled.name}, and which ones "
            "cannot be told; give the same file as both, or leave corpus.label out"
        )
    tests = np.isin(corpus.rows, data.test.rows)
    hidden = {name: _without(corpus.column(name), tests) for name in names}
    return replace(corpus, columns={**corpus.columns, **hidden})


def _without(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    left = np.array(values.tolist(), dtype=object)
    left[where] = None
    return left


def _contents(dataset: Dataset, domain: Domain) -> Iterator[bytes]:
    for row in dataset.rows:
        same = np.ascontiguousarray(domain.canonical(dataset.store[int(row)]))
        yield hashlib.blake2b(same.tobytes(), digest_size=16).digest()
