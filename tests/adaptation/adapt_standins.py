"""Small fields, networks and tasks for the tests of adaptation."""

import numpy as np

from exapt.adaptation import Start
from exapt.backbones import TransformerSpec
from exapt.domains import Arrays, ImageSpec, ProteinSpec, TextSpec, from_arrays
from exapt.tasks import ClassifySpec, HeadSpec, RegressSpec, TagSpec

RESIDUES = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
RICH = HeadSpec(dropout=0.0)


def sequences(n, seed=0, shortest=5, longest=14):
    """Random sequences whose class is which of two residues they are rich in."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(n) % 2)
    texts = []
    for kind in kinds:
        length = int(rng.integers(shortest, longest + 1))
        letters = rng.choice(RESIDUES, size=length)
        letters[rng.random(length) < 0.5] = "AW"[kind]
        texts.append("".join(letters))
    return texts, kinds


def small_start(domain, seed=0, dropout=0.0, depth=2):
    spec = TransformerSpec(width=16, depth=depth, heads=2, hidden=24, dropout=dropout)
    return Start(domain, spec.build(domain.inputs, seed=seed))


def classify(n=40, seed=0, **options):
    """(start, task, data set) of two classes of proteins."""
    texts, kinds = sequences(n, seed)
    domain = ProteinSpec(length=32).build()
    data = domain.read(from_arrays(texts, label=np.array(["a", "w"])[kinds]))
    task = ClassifySpec(head=RICH, **options).build(data)
    return small_start(domain), task, task.attach(data)


def regress(n=40):
    """(start, task, data set): the share of tryptophan, in odd units."""
    texts, _ = sequences(n)
    values = [1000 + 50 * text.count("W") / len(text) for text in texts]
    domain = ProteinSpec(length=32).build()
    data = domain.read(from_arrays(texts, label=values))
    task = RegressSpec(head=RICH).build(data)
    return small_start(domain), task, task.attach(data)


def tag(n=24):
    """(start, task, data set): whether a residue is A, with some labels missing; some examples longer than is kept."""
    texts, _ = sequences(n, longest=20)
    labels = ["".join("?" if i % 7 == 3 else "yn"[c != "A"] for i, c in enumerate(text)) for text in texts]
    domain = ProteinSpec(length=16).build()
    data = domain.read(from_arrays(texts, label=labels))
    task = TagSpec(head=RICH).build(data)
    return small_start(domain), task, task.attach(data)


def several(n=40):
    """(start, task, data set) of two labels, some of them unknown."""
    texts, kinds = sequences(n)
    first, second = kinds.astype(float), np.array([float(len(t) > 9) for t in texts])
    first[::5], second[1::4] = np.nan, np.nan
    domain = ProteinSpec(length=32).build()
    data = domain.read(Arrays(texts, {"one": first, "two": second}, label=["one", "two"]))
    task = ClassifySpec(head=RICH, metric="AUC").build(data)
    return small_start(domain), task, task.attach(data)


def pictures(n=40, seed=0):
    """(start, task, data set): bright on the left or on the right."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(n) % 2)
    values = rng.integers(0, 60, size=(n, 4, 8, 1)).astype(np.uint8)
    for picture, kind in zip(values, kinds, strict=True):
        picture[:, 4 * kind : 4 * kind + 4] += 120
    source = from_arrays(values, label=kinds)
    domain = ImageSpec(patch=2).build(source)
    data = domain.read(source)
    task = ClassifySpec(head=RICH).build(data)
    return small_start(domain), task, task.attach(data)


def texts(n=40):
    """(start, task, data set) of short reviews in characters."""
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.arange(n) % 2)
    words = [["bad", "poor", "dull"], ["good", "fine", "great"]]
    rows = [" ".join(["the", "film", "was", *rng.choice(words[k], size=2)]) for k in kinds]
    source = from_arrays(rows, label=np.array(["no", "yes"])[kinds])
    domain = TextSpec(tokens="characters", length=48).build(source)
    data = domain.read(source)
    task = ClassifySpec(head=RICH).build(data)
    return small_start(domain), task, task.attach(data)


TASKS = {"classify": classify, "regress": regress, "tag": tag, "several": several, "pictures": pictures, "texts": texts}


def halves(data, train=20, valid=10):
    """Training, validation and test part."""
    return (
        data.subset(range(train)),
        data.subset(range(train, train + valid)),
        data.subset(range(train + valid, len(data))),
    )
