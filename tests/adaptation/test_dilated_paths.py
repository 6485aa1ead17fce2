"""Every way of adapting, over gated dilated convolutions and over both strands: it works, or it says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from exapt.adaptation import FinetuneSpec, KnnSpec, ProbeSpec, StackSpec, Start, Supervised, fit, load_fitted
from exapt.adaptation.features import embed
from exapt.adaptation.fisher import fisher
from exapt.backbones import DilatedSpec, StrandsSpec
from exapt.domains import DnaSpec, from_arrays
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.tasks import ClassifySpec, TagSpec
from exapt.tasks.base import Task

QUICK: dict[str, Any] = {
    "min_steps": 8,
    "max_steps": 8,
    "batch": 8,
    "evaluations": 2,
    "rates": [0.02],
    "probe_first": False,
}
SMALL = DilatedSpec(width=8, depth=3, kernel=3)
JOINS: tuple[Literal["mean", "channels", "evaluation"], ...] = ("mean", "channels", "evaluation")
NETWORKS = [SMALL, *(StrandsSpec(of=SMALL, join=join) for join in JOINS)]
IDS = ["dilated", *JOINS]


def begun(spec: DilatedSpec | StrandsSpec, count: int = 40) -> tuple[Start, Task, Dataset]:
    """Sequences of unequal length, rich or poor in A and T."""
    rng = np.random.default_rng(0)
    kinds = np.arange(count) % 2
    texts = ["".join(rng.choice(list("ACGT"), 10 + i % 5, p=([0.4, 0.1] * 2, [0.1, 0.4] * 2)[k])) for i, k in
             enumerate(kinds)]  # fmt: skip
    domain = DnaSpec(length=16).build()
    data = domain.read(from_arrays(texts, label=kinds))
    task = ClassifySpec().build(data)
    return Start(domain, spec.build(domain.inputs, 0)), task, task.attach(data)


@pytest.mark.parametrize("spec", NETWORKS, ids=IDS)
@pytest.mark.parametrize(
    "options",
    [{}, {"last": 1, "layer_decay": 0.5}, {"anchor": "l2sp"}, {"prune": {"sparsity": 0.5}}, {"lora": {"rank": 2}}],
    ids=str,
)
def test_it_is_tuned_saved_and_read_back(options: dict[str, Any], spec: Any, tmp_path: Path) -> None:
    if "lora" in options:
        pytest.importorskip("peft")
    start, task, data = begun(spec)
    train, valid, test = (data.subset(range(at, 40, 3)) for at in range(3))
    fitted = fit(FinetuneSpec(**(QUICK | options)), start, task, train, valid, seed=0)
    network, before = fitted.backbone(), start.network("finetune").state_dict()
    assert network is not None
    moved = [name for name, p in network.state_dict().items() if not torch.equal(p, before[name])]
    assert moved
    if "last" in options:
        assert {name.removeprefix("inner.").split(".")[0] for name in moved} <= {"layers", "final_norm"}
        assert not any("layers.0" in name or "layers.1" in name for name in moved)
    fitted.save(tmp_path / "fit")
    assert torch.equal(load_fitted(tmp_path / "fit").outputs(test), fitted.outputs(test))


@pytest.mark.parametrize("spec", NETWORKS, ids=IDS)
def test_probes_of_it(spec: Any) -> None:
    start, task, data = begun(spec)
    train, valid, test = (data.subset(range(at, 40, 3)) for at in range(3))
    for adapt in (ProbeSpec(), KnnSpec(), StackSpec()):
        fitted = fit(adapt, start, task, train, valid, seed=0)
        assert fitted.predict(test).shape == (13, 2)
    assert embed(start.network("probe"), start.domain, data).shape == (40, start.network("probe").width)
    with pytest.raises(InputError, match="layers: this backbone's layers are not one vector an element; valid: 1"):
        embed(start.network("probe"), start.domain, data, layers=2)


@pytest.mark.parametrize("how", ["exact", "empirical"])
def test_fisher_in_one_pass_is_example_by_example(how: Any) -> None:
    start, task, data = begun(SMALL, 9)
    backbone = start.network("fisher")
    head = task.head(backbone.width, 0)
    with torch.no_grad():
        for p in head.parameters():
            p.normal_(generator=torch.Generator().manual_seed(1))
    supervised, named = Supervised(head, task), dict(backbone.named_parameters())
    batch = start.domain.collate([data[i] for i in range(9)])

    def guess(some: Any, rng: torch.Generator) -> Any:
        return supervised.guess(backbone, some, rng)

    found = fisher(guess, [backbone, supervised], named, [batch], how=how, seed=3)
    assert not found.one_by_one
    wanted = {name: torch.zeros_like(p) for name, p in named.items()}
    for example in range(9):
        alone = fisher(guess, [backbone, supervised], named, [batch.select([example])], how=how, seed=3)
        for name, value in alone.diagonal.items():
            wanted[name] += value / 9
    for name, value in found.diagonal.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-3, atol=1e-8)


def test_labels_of_elements() -> None:
    """Bases that are A, told by a network that reads both strands: the halves side by side know which strand it is."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 9)) for _ in range(60)]
    domain = DnaSpec(length=16).build()
    data = domain.read(from_arrays(texts, label=["".join("Y" if b == "A" else "N" for b in t) for t in texts]))
    task = TagSpec().build(data)
    data = task.attach(data)
    scores = {}
    for join in ("mean", "channels"):
        backbone = StrandsSpec.parse({"of": SMALL.plain(), "join": join}).build(domain.inputs, 0)
        fitted = fit(ProbeSpec(), Start(domain, backbone), task, data.subset(range(40)), data.subset(range(40, 50)), 0)
        test = data.subset(range(50, 60))
        scores[join] = task.metric(fitted.predict(test), task.truth(test, domain.kept(test)))
    assert scores["channels"] > 0.95
    assert scores["mean"] < scores["channels"] - 0.1, "the mean of both strands cannot tell A from T"
