"""A small table whose labels are partly chance, as a subject of the privacy audit."""

import numpy as np

from exapt.adaptation import FinetuneSpec, ProbeSpec
from exapt.audits import Subject
from exapt.backbones import TransformerSpec
from exapt.domains import TableSpec, from_arrays
from exapt.objectives import MaskedSpec
from exapt.tasks import ClassifySpec
from exapt.tasks.heads import HeadSpec
from exapt.training.pretrained import Pretrained

NETWORK = TransformerSpec(width=16, depth=1, heads=1, hidden=16)


def subject(n=260, noise=0.5, seed=0, task=None, penalties=(1e-3,)):
    """Eight columns, and a label that follows the first of them, but for a share drawn at random."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 8))
    kinds = np.where(rng.random(n) < noise, rng.integers(0, 2, n), values[:, 0] > 0)
    rows = [{f"x{i}": float(v) for i, v in enumerate(row)} for row in values]
    source = from_arrays(rows, label=np.array(["no", "yes"])[kinds])
    domain = TableSpec(bins=8).build(source)
    data = domain.read(source)
    task = (task or ClassifySpec(head=HeadSpec(dropout=0.0))).build(data)
    data = task.attach(data)
    backbone = NETWORK.build(domain.inputs, seed=0)
    objective = MaskedSpec().build(domain, backbone, seed=0)
    return Subject(
        start=Pretrained(domain, backbone, objective, {}, {}, {}),
        fresh=lambda seed: NETWORK.build(domain.inputs, seed=100 + seed),
        corpus=lambda: data,
        labelled=data,
        pool=np.arange(n - 10),
        test=np.arange(n - 10, n),
        task=task,
        adapt=FinetuneSpec(min_steps=3, max_steps=3, batch=16, probe_first=False),
        probe=ProbeSpec(penalties=list(penalties)),
        budgets=[50],
        seeds=2,
    )
