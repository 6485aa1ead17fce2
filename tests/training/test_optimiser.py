"""Parameter groups, rates and the gradient's scale."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_training import Toy, dataset, fit

from exapt.training.optimiser import adamw, parameter_groups, scale_gradients, set_rates
from exapt.training.spec import TrainingSpec

SPEC = TrainingSpec(steps=1, weight_decay=0.5)


def test_norms_and_biases_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    matrices, vectors = parameter_groups(model.parameters(), lr=0.1, weight_decay=0.5)
    assert [p.shape for p in matrices["params"]] == [(4, 3)]
    assert matrices["weight_decay"] == 0.5
    assert len(vectors["params"]) == 3
    assert vectors["weight_decay"] == 0.0


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(3, 4)
    model.bias.requires_grad_(False)
    groups = parameter_groups(model.parameters(), 0.1, 0.0)
    assert [len(group["params"]) for group in groups] == [1]


def test_decay_reaches_matrices_only() -> None:
    model = nn.Linear(3, 4)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = adamw(parameter_groups(model.parameters(), 0.1, 0.5), SPEC)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step()
    assert torch.allclose(model.weight, before["weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias, before["bias"])


def test_every_group_keeps_its_own_rate() -> None:
    model = nn.Linear(3, 4)
    groups = [{"params": [model.weight], "lr": 0.5}, {"params": [model.bias]}]
    optimiser = adamw(groups, SPEC)
    for factor in (0.5, 0.1):
        set_rates(optimiser, factor)
        assert [g["lr"] for g in optimiser.param_groups] == pytest.approx([0.5 * factor, SPEC.lr * factor])


def test_a_group_without_rate_does_not_move() -> None:
    model = Toy()
    before = model.embed.weight.detach().clone()
    rest = [p for name, p in model.named_parameters() if not name.startswith("embed")]
    groups = [{"params": [model.embed.weight], "lr": 0.0}, {"params": rest, "lr": 0.1}]
    fit(model, groups=groups)
    assert torch.equal(model.embed.weight, before)
    assert not torch.equal(model.head.weight, Toy().head.weight)


@pytest.mark.parametrize("clip", [0.0, 0.5, 1e9])
@pytest.mark.parametrize("scale", [1.0, 0.01, torch.tensor(0.3)])
def test_scaled_gradients_equal_the_two_passes(clip: float, scale: float | torch.Tensor) -> None:
    torch.manual_seed(0)
    fast, plain = nn.Linear(5, 3), nn.Linear(5, 3)
    for p, q in zip(fast.parameters(), plain.parameters(), strict=True):
        p.grad = torch.randn_like(p) * 4
        q.grad = p.grad * scale
    expected = torch.nn.utils.clip_grad_norm_(plain.parameters(), clip or 1e12)
    norm = scale_gradients(list(fast.parameters()), scale, clip)
    assert torch.allclose(norm, expected)
    for p, q in zip(fast.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad)


def test_a_step_without_gradients_has_norm_zero() -> None:
    assert scale_gradients(list(nn.Linear(2, 2).parameters()), 1.0, 1.0) == 0


def test_the_fused_kernel_equals_the_plain_one() -> None:
    fused, plain = Toy(), Toy()
    fit(fused, steps=3, clip=0.0, schedule={"kind": "constant", "warmup": 0}, bucket=False, precision="float32")
    groups = parameter_groups(plain.parameters(), 0.02, 0.01)
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=False, foreach=False)
    from toy_training import collate

    for places in fused.seen:
        data = dataset()
        plain(collate([data[i] for i in places]), torch.Generator()).value.backward()
        optimiser.step()
        optimiser.zero_grad()
    for p, q in zip(fused.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-6)
