"""The Fisher diagonal: one packed backward pass against a loop over examples, in processor time.

    OMP_NUM_THREADS=1 python benchmarks/fisher.py

Both give the same diagonal (asserted first, to 1e-5 of the largest entry of each weight); then each is timed on the
same examples. The loop is plain autograd, one example a batch; `torch.func.vmap` over `grad`, the usual way to speed it
up, is shown for the perceptron. The last column is the packed way's time over that of an ordinary forward and backward
pass on the same batches, which nothing exact can do without: where that pass itself is less than 10 times as fast as
the loop, because one example keeps the processor busy, no way can be 10 times as fast. Fails where the packed way is
not 10 times as fast as the loop on the cases marked *, or takes more than twice an ordinary pass on the others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exapt.adaptation.fisher import How, fisher
from exapt.audits.forgetting_planted import Digits, Perceptron, Reading
from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains import ImageSpec, ProteinSpec, from_arrays
from exapt.objectives import AutoregressiveSpec
from exapt.objectives.base import Objective
from exapt.objectives.guess import Guess
from exapt.tasks import ClassifySpec

BAR = 10.0
TWICE = 2.0


@dataclass(frozen=True)
class Case:
    """A network, what it predicts, and some batches of examples."""

    name: str
    backbone: Backbone
    objective: Objective
    batches: list[Batch]
    how: How
    barred: bool = True
    """Whether it must be 10 times as fast as the loop; else it may cost twice an ordinary pass."""

    def guess(self, batch: Batch, rng: torch.Generator) -> Guess:
        return self.objective.guess(self.backbone, batch, rng)

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.backbone.named_parameters())


def perceptron(how: How) -> Case:
    """A hidden layer of 128 over the digits."""
    digits = Digits.ordered()
    batches = [digits.batch(digits.train.subset(range(at, at + 100))) for at in range(0, 400, 100)]
    return Case(f"digits, perceptron, {how}", Perceptron(0), Reading(), batches, how)


def pictures() -> Case:
    """The transformer of the digits study (16 patches an example) under a head of 10 classes."""
    from sklearn.datasets import load_digits

    from exapt.adaptation import Supervised

    rows, labels = load_digits(return_X_y=True)
    source = from_arrays((15 * rows).astype(np.uint8).reshape(-1, 8, 8), label=labels)
    domain = ImageSpec(patch=2).build(source)
    data = domain.read(source)
    task = ClassifySpec().build(data)
    data = task.attach(data)
    backbone = TransformerSpec(size="nano").build(domain.inputs, seed=0)
    head = task.head(backbone.width, 0)
    with torch.no_grad():
        for p in head.parameters():
            p.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    batches = [domain.collate([data[i] for i in range(at, at + 128)]) for at in range(0, 512, 128)]
    return Case("digits, nano transformer, empirical", backbone, Supervised(head, task), batches, "empirical", False)


def proteins(longest: int, count: int) -> Case:
    """A causal nano transformer over random sequences of many lengths, its embedding tied to its output layer."""
    rng = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    texts = ["".join(rng.choice(letters, rng.integers(longest // 4, longest))) for _ in range(count)]
    domain = ProteinSpec(length=longest + 2).build()
    data = domain.read(from_arrays(sorted(texts, key=len)))
    backbone = TransformerSpec(size="nano", causal=True).build(domain.inputs, seed=0)
    objective = AutoregressiveSpec().build(domain, backbone, seed=0)
    batches = [domain.collate([data[i] for i in range(at, at + 64)]) for at in range(0, count, 64)]
    return Case(f"sequences to {longest}, nano, next token", backbone, objective, batches, "empirical", False)


def loop(case: Case) -> dict[str, Tensor]:
    """Plain autograd, an example at a time."""
    parameters = list(case.parameters.values())
    total, items = [torch.zeros_like(p) for p in parameters], 0
    for batch in case.batches:
        for place in range(len(batch)):
            said = case.guess(batch.select([place]), torch.Generator())
            items += len(said.owner)
            scalars = said.directions() if case.how == "exact" else [said.surprise().sum()]
            for scalar in scalars:
                for part, slope in zip(total, torch.autograd.grad(scalar, parameters, retain_graph=True), strict=True):
                    part.addcmul_(slope, slope)
    return {name: part / items for name, part in zip(case.parameters, total, strict=True)}


def packed(case: Case) -> dict[str, Tensor]:
    """Ours."""
    found = fisher(case.guess, [case.backbone, case.objective], case.parameters, case.batches, case.how)
    assert not found.one_by_one
    return found.diagonal


def ordinary(case: Case) -> dict[str, Tensor]:
    """One forward and backward pass over the same batches: the gradient of the sum."""
    for batch in case.batches:
        said = case.guess(batch, torch.Generator())
        for scalar in said.directions() if case.how == "exact" else [said.surprise().sum()]:
            torch.autograd.grad(scalar, list(case.parameters.values()), retain_graph=True)
    return {}


def vmapped(case: Case) -> dict[str, Tensor]:
    """`vmap` over `grad` of the perceptron."""
    weights = {name: p.detach() for name, p in case.parameters.items()}

    def surprise(weights: dict[str, Tensor], picture: Tensor, label: Tensor) -> Tensor:
        hidden = torch.relu(picture @ weights["first.weight"].T + weights["first.bias"])
        return torch.nn.functional.cross_entropy(hidden @ weights["second.weight"].T + weights["second.bias"], label)

    each = torch.func.vmap(torch.func.grad(surprise), in_dims=(None, 0, 0))
    total: dict[str, Any] = dict.fromkeys(weights, 0.0)
    items = sum(len(batch) for batch in case.batches)
    for batch in case.batches:
        for name, slopes in each(weights, batch.inputs.flatten(1), batch.targets["label"].long()).items():
            total[name] = total[name] + slopes.square().sum(0) / items
    return total


def timed(work: Callable[[Case], dict[str, Tensor]], case: Case, times: int) -> float:
    """The least processor time of some runs, in seconds."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work(case)
        found.append(time.process_time() - began)
    return min(found)


def run(case: Case) -> bool:
    """Check that both agree, print one line, and whether the bar is met."""
    case.backbone.eval(), case.objective.eval()
    ours, plain = packed(case), loop(case)
    wrong = max(float((ours[name] - plain[name]).abs().max() / plain[name].abs().max()) for name in plain)
    assert wrong < 1e-5, f"{case.name}: the two disagree by {wrong:.1e}"
    quick, slow, least = timed(packed, case, 3), timed(loop, case, 1), timed(ordinary, case, 3)
    other = ""
    if isinstance(case.backbone, Perceptron) and case.how == "empirical":
        difference = max(float((vmapped(case)[n] - plain[n]).abs().max() / plain[n].abs().max()) for n in plain)
        assert difference < 1e-5
        other = f"  vmap {timed(vmapped, case, 3) / quick:.1f}"
    star = "*" if case.barred else " "
    count = sum(len(batch) for batch in case.batches)
    figures = f"{quick:8.4f} {slow:8.3f}  {slow / quick:6.1f}  {quick / least:13.1f}"
    print(f"{star} {case.name:<40} {count:5d}  {figures}{other}", flush=True)
    return slow / quick >= BAR if case.barred else quick / least <= TWICE


def main() -> int:
    """Exit code: 0 where every bar is met."""
    torch.set_num_threads(1)
    print("  case                                    examples packed s   loop s   ratio  ordinary pass")
    cases = [
        perceptron("empirical"),
        perceptron("exact"),
        pictures(),
        proteins(24, 256),
        proteins(128, 128),
    ]
    met = [run(case) for case in cases]
    print(
        f"{'met' if all(met) else 'MISSED'}: {BAR:.0f} times as fast on *, at most {TWICE:.0f} plain passes elsewhere"
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
