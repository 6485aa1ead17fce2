"""Pruning by magnitude: exact shares, ties, the ramp, and zeros that stay zero through AdamW, checkpoints and fits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapt_standins import halves, pictures, small_start
from torch import Tensor

from exapt.adaptation import FinetuneSpec, fit, load_fitted
from exapt.adaptation.pruning import (
    Pruner,
    PruneSpec,
    apply_masks,
    magnitude_masks,
    prunable,
    ramped,
    two_of_four,
    zero_share,
)
from exapt.errors import InputError
from exapt.training.batches import Batches
from exapt.training.loop import train
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Trainable

SMALL: dict[str, Any] = {"rates": [0.003], "min_steps": 20, "max_steps": 20, "evaluations": 10}


def some_weights(seed: int = 0) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(7, 12, generator=rng), "b": 3 * torch.randn(5, 8, generator=rng)}


def naive(weights: dict[str, Tensor], sparsity: float) -> dict[str, list[list[bool]]]:
    """Sort every (magnitude, place) and strike out the first round(s n)."""
    places = [(abs(float(w)), n, i) for n, (_, m) in enumerate(weights.items()) for i, w in enumerate(m.flatten())]
    gone = {(n, i) for _, n, i in sorted(places)[: round(sparsity * len(places))]}
    return {
        name: torch.tensor([(n, i) not in gone for i in range(m.numel())]).view_as(m).tolist()
        for n, (name, m) in enumerate(weights.items())
    }


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.7, 0.95, 0.999])
def test_masks_equal_the_naive_ones_and_the_share_is_exact(sparsity: float) -> None:
    weights = some_weights()
    masks = magnitude_masks(weights, sparsity)
    assert {name: mask.tolist() for name, mask in masks.items()} == naive(weights, sparsity)
    assert sum(int((~m).sum()) for m in masks.values()) == round(sparsity * (84 + 40))
    each = magnitude_masks(weights, sparsity, "layer")
    assert {n: m.tolist() for n, m in each.items()} == {k: naive({k: w}, sparsity)[k] for k, w in weights.items()}
    assert [int((~m).sum()) for m in each.values()] == [round(sparsity * 84), round(sparsity * 40)]


def test_global_takes_more_from_the_layer_with_smaller_weights() -> None:
    masks = magnitude_masks(some_weights(), 0.5)
    assert float(masks["a"].float().mean()) < 0.5 < float(masks["b"].float().mean())


def test_ties_go_by_place() -> None:
    weights = {"a": torch.tensor([[1.0, -1.0, 1.0, -1.0]]), "b": torch.tensor([[1.0, 1.0]])}
    masks = magnitude_masks(weights, 0.5)
    assert masks["a"].tolist() == [[False, False, False, True]] and masks["b"].tolist() == [[True, True]]


def test_two_of_every_four_inputs() -> None:
    weight = torch.tensor([[1.0, -4.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0]])
    assert two_of_four({"w": weight})["w"].tolist() == [[False, True, True, False, False, False, True, True]]
    random = {"w": torch.randn(6, 20, generator=torch.Generator().manual_seed(0))}
    mask = two_of_four(random)["w"]
    for row, kept in zip(random["w"], mask, strict=True):
        for at in range(0, 20, 4):
            largest = sorted(range(4), key=lambda i, at=at, row=row: abs(float(row[at + i])))[2:]
            assert sorted(torch.nonzero(kept[at : at + 4]).flatten().tolist()) == sorted(largest)
    with pytest.raises(InputError, match="w has 6 inputs, and 2:4 needs a multiple of 4"):
        two_of_four({"w": torch.ones(2, 6)})


def test_only_matrices_inside_the_layers_are_pruned() -> None:
    start, _, _ = pictures()
    names = set(prunable(start.network("t")))
    inside = {
        f"stack.layers.{i}.{part}.weight" for i in (0, 1) for part in ("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo")
    }
    assert names == inside


def test_the_ramp_is_cubic() -> None:
    assert [ramped(0.8, t, 10) for t in (0, 5, 10, 15)] == pytest.approx([0, 0.8 * (1 - 0.125), 0.8, 0.8])
    assert ramped(0.8, 0, 0) == 0 and ramped(0.8, 1, 0) == 0.8


class Line(Trainable):
    """One matrix that is drawn towards a target, and counts its own steps."""

    def __init__(self, die_at: int = 0) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 8, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))
        self.calls, self.die_at = 0, die_at

    def forward(self, batch: Any, rng: torch.Generator) -> Any:
        from exapt.objectives.base import Loss

        self.calls += self.training
        if self.training and self.calls == self.die_at:
            raise KeyboardInterrupt
        x = torch.randn(16, 8, generator=rng)
        return Loss((self.layer(x) - x.roll(1, 1)).square().mean(), 16)


def run(model: Line, spec: PruneSpec | None, folder: Path | None = None, steps: int = 24) -> Pruner | None:
    data = pictures()[2]
    batches = Batches(data, small_start_collate(), batch=8)
    plan = TrainingSpec(steps=steps, batch=8, lr=0.05, device="cpu", precision="float32", checkpoint_every=1, holdout=0)
    pruner = Pruner({"w": model.layer.weight}, spec, steps) if spec else None
    train(model, batches, plan, folder=folder, progress=False, watchers=[pruner] if pruner else [])
    return pruner


def small_start_collate() -> Any:
    return pictures()[0].domain.collate


def test_momentum_alone_resurrects_a_zero_and_the_pruner_does_not_let_it() -> None:
    free = Line()
    apply_masks({"w": free.layer.weight}, magnitude_masks({"w": free.layer.weight}, 0.5))
    run(free, None)
    assert zero_share({"w": free.layer.weight}) == 0, "AdamW moves pruned weights: this is what the pruner is for"
    held = Line()
    pruner = run(held, PruneSpec(sparsity=0.5))
    assert zero_share({"w": held.layer.weight}) == 0.5
    assert pruner and torch.equal(held.layer.weight != 0, pruner.masks["w"])


def test_a_gradual_pruning_rises_and_never_gives_back() -> None:
    model, shares, masks = Line(), [], []

    class Noting(Pruner):
        def stepped(self, step: int, optimiser: torch.optim.Optimizer) -> None:
            super().stepped(step, optimiser)
            shares.append(zero_share(self.weights))
            masks.append(self.masks["w"])

    spec = PruneSpec(sparsity=0.75, gradual=True, ramp=0.5)
    data = pictures()[2]
    plan = TrainingSpec(steps=24, batch=8, lr=0.05, device="cpu", precision="float32", holdout=0)
    noting = Noting({"w": model.layer.weight}, spec, 24)
    train(model, Batches(data, small_start_collate(), batch=8), plan, progress=False, watchers=[noting])
    wanted = [round(ramped(0.75, step, 12) * 64) / 64 for step in range(1, 25)]
    assert shares == pytest.approx(wanted) and shares[-1] == 0.75 and shares[0] > 0
    assert all(bool((later <= earlier).all()) for earlier, later in pairwise(masks))


@pytest.mark.parametrize("stop", [1, 5, 12, 13, 20])
@pytest.mark.parametrize("gradual", [False, True])
def test_resumed_equals_never_stopped(tmp_path: Path, stop: int, gradual: bool) -> None:
    spec = PruneSpec(sparsity=0.7, gradual=gradual) if not gradual else PruneSpec(sparsity=0.7, gradual=True, ramp=0.5)
    whole, first, second = Line(), Line(die_at=stop), Line()
    run(whole, spec, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(first, spec, tmp_path / "parts")
    with torch.no_grad():
        second.layer.weight.fill_(7.0)  # nothing may hang on what the weights were before they were restored
    if stop == 1:
        second = Line()
    run(second, spec, tmp_path / "parts")
    assert torch.equal(second.layer.weight, whole.layer.weight)


@pytest.mark.parametrize(
    ("prune", "share"),
    [
        ({"sparsity": 0.9}, 0.9),
        ({"sparsity": 0.6, "scope": "layer"}, 0.6),
        ({"sparsity": 0.8, "gradual": True}, 0.8),
        ({"pattern": "2:4"}, 0.5),
    ],
)
@pytest.mark.parametrize("refit", [False, True])
def test_a_fit_ends_with_exactly_that_share_of_zeros(
    prune: dict[str, Any], share: float, refit: bool, tmp_path: Path
) -> None:
    start, task, data = pictures(60)
    learn, choose, test = halves(data, 30, 10)
    spec = FinetuneSpec.parse(SMALL | {"prune": prune, "refit": refit, "choose": "loss"})
    before = {name: weight.clone() for name, weight in prunable(start.network("t")).items()}
    fitted = fit(spec, start, task, learn, choose, 0)
    backbone = fitted.backbone()
    assert backbone is not None
    weights = prunable(backbone)
    total = sum(w.numel() for w in weights.values())
    assert sum(int((w == 0).sum()) for w in weights.values()) == pytest.approx(share * total, abs=4)
    assert fitted.record["zero_weights"] == pytest.approx(share, abs=4 / total)
    assert all(torch.equal(before[n], w) for n, w in prunable(start.network("t")).items()), "the start is left alone"
    again = load_fitted(fitted.save(tmp_path / "model"))
    assert np.array_equal(again.predict(test), fitted.predict(test))


def test_without_the_key_nothing_changes() -> None:
    start, task, data = pictures(60)
    learn, choose, _ = halves(data, 30, 10)
    plain = fit(FinetuneSpec.parse(SMALL), start, task, learn, choose, 0)
    none = fit(FinetuneSpec.parse(SMALL | {"prune": {"sparsity": 0.0}}), start, task, learn, choose, 0)
    one, other = plain.backbone(), none.backbone()
    assert one is not None and other is not None
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert "zero_weights" not in plain.record


def test_validation_judges_only_what_is_pruned_enough() -> None:
    pruner = Pruner({"w": torch.nn.Parameter(torch.ones(2, 4))}, PruneSpec(gradual=True), 100)
    judged = pruner.judged(lambda: {"loss": 1.0})
    assert judged is not None and pruner.judged(None) is None
    pruner.step = 59
    assert np.isnan(judged()["loss"])
    pruner.step = 60
    assert judged() == {"loss": 1.0}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"sparsity": 1.0}, "sparsity"),
        ({"sparsity": -0.1}, "sparsity"),
        ({"pattern": "2:4", "sparsity": 0.7}, "prunes half of the weights"),
        ({"pattern": "2:4", "gradual": True}, "gradual does nothing when pattern is '2:4'"),
        ({"pattern": "neurons", "scope": "layer"}, "scope does nothing when pattern is 'neurons'"),
        ({"ramp": 0.3}, "ramp does nothing without gradual"),
        ({"sparsty": 0.3}, "did you mean 'sparsity'"),
    ],
)
def test_mistakes_are_refused(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PruneSpec.parse(spec)
    with pytest.raises(InputError, match=words):
        FinetuneSpec.parse({"prune": spec})


def test_wrong_shares_and_networks_without_layers_are_refused() -> None:
    with pytest.raises(InputError, match="sparsity: 1"):
        magnitude_masks(some_weights(), 1.0)
    start = small_start(pictures()[0].domain)
    backbone = start.network("t")
    for block in list(backbone.blocks)[1:-1]:
        for name, part in list(block.named_modules()):
            if isinstance(part, torch.nn.Linear):
                owner, _, last = name.rpartition(".")
                setattr(block.get_submodule(owner), last, torch.nn.Identity())
    with pytest.raises(InputError, match="no linear maps inside its layers"):
        prunable(backbone)
