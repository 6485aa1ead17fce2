"""The loop against a naive one, and what it promises around it."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from toy_training import Toy, collate, dataset, fit, held_out, same

from exapt.batch import Batch
from exapt.errors import InputError
from exapt.objectives.base import Loss
from exapt.training.batches import Batches
from exapt.training.optimiser import parameter_groups, set_rates
from exapt.training.schedule import factor
from exapt.training.spec import TrainingSpec


def naive(model: Toy, spec: TrainingSpec) -> list[float]:
    """Whole batches, plain AdamW, torch's own clipping."""
    batches = Batches(dataset(), collate, **spec.batching())
    optimiser = torch.optim.AdamW(parameter_groups(model.parameters(), spec.lr, spec.weight_decay), betas=spec.betas)
    losses: list[float] = []
    epoch = 0
    while len(losses) < (spec.steps or 0):
        for places in batches.plan(epoch):
            set_rates(optimiser, factor(spec.schedule, len(losses) + 1, spec.steps or 0))
            loss = model(batches.load(batches.dataset, places), torch.Generator()).value
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), spec.clip)
            optimiser.step()
            losses.append(loss.item())
            if len(losses) == spec.steps:
                break
        epoch += 1
    return losses


def test_the_loop_equals_a_naive_one() -> None:
    spec = TrainingSpec(steps=23, batch=4, lr=0.02, precision="float32", log_every=1, device="cpu")
    expected_model, model = Toy(), Toy()
    expected = naive(expected_model, spec)
    done = fit(model, **{k: v for k, v in spec.plain().items() if k in spec.model_fields_set})
    assert [line["loss"] for line in done.history] == pytest.approx(expected, abs=1e-6)
    assert same(model, expected_model, within=1e-6)


@pytest.mark.parametrize("bucket", [True, False])
@pytest.mark.parametrize(("batch", "accumulate"), [(4, 2), (2, 4), (1, 8)])
def test_accumulation_equals_one_large_batch(batch: int, accumulate: int, bucket: bool) -> None:
    """Micro-batches hold unlike numbers of tokens, so their losses must be weighed."""
    parts, whole = Toy(), Toy()
    common: dict[str, Any] = {"bucket": bucket, "precision": "float32", "lr": 1e-3, "log_every": 1}
    small = fit(parts, batch=batch, accumulate=accumulate, **common)
    large = fit(whole, batch=8, **common)
    assert same(parts, whole, within=1e-6)
    for one, other in zip(small.history, large.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
        assert one["norm"] == pytest.approx(other["norm"], rel=1e-5)
        assert one["elements"] == other["elements"]


def test_accumulation_by_unweighted_means_would_differ() -> None:
    """The planted mistake that the test above must be able to see."""

    class Unweighted(Toy):
        def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
            loss = super().forward(batch, rng)
            return Loss(loss.value, 1)

    parts, whole = Unweighted(), Toy()
    fit(parts, batch=2, accumulate=4, precision="float32", lr=1e-3)
    fit(whole, batch=8, precision="float32", lr=1e-3)
    assert not same(parts, whole, within=1e-4)


def test_a_step_whose_labels_are_all_missing_costs_nothing() -> None:
    class Blind(Toy):
        def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
            return Loss(super().forward(batch, rng).value * 0, 0)

    model = Blind()
    done = fit(model, weight_decay=0.0)
    assert same(model, Toy())
    assert "loss" not in done.history[-1]


def test_the_same_seed_trains_the_same() -> None:
    one, other, third = (Toy(noise=0.3, dropout=0.2) for _ in range(3))
    fit(one), fit(other), fit(third, seed=1)
    assert same(one, other)
    assert not same(one, third)


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    model = Toy.__new__(Toy)
    state = torch.get_rng_state()
    Toy.__init__(model, dropout=0.3)
    torch.set_rng_state(state)
    fit(model)
    assert torch.equal(torch.rand(4), expected)


def test_the_best_weights_are_left_in_the_network() -> None:
    model = Toy()
    scores = iter([1.0, 3.0, 2.0, 0.0])
    kept: list[torch.Tensor] = []

    def evaluate() -> dict[str, float]:
        kept.append(model.head.weight.detach().clone())
        return {"score": next(scores)}

    done = fit(model, evaluate=evaluate, evaluate_every=3)
    assert done.best == {"step": 6, "score": 3.0}
    assert torch.equal(model.head.weight, kept[1])
    assert [line["held_out_score"] for line in done.history if "held_out_score" in line] == [1, 3, 2, 0]


def test_the_last_weights_are_left_when_asked() -> None:
    model, plain = Toy(), Toy()
    scores = iter([3.0, 2.0, 1.0])
    fit(model, evaluate=lambda: {"score": next(scores)}, evaluate_every=4, keep_best=False)
    fit(plain)
    assert same(model, plain)


def test_loss_breaks_ties_of_the_score_and_earlier_wins_over_equal() -> None:
    figures = iter([{"score": 1.0, "loss": 0.5}, {"score": 1.0, "loss": 0.4}, {"score": 1.0, "loss": 0.4}])
    done = fit(Toy(), evaluate=lambda: next(figures), evaluate_every=4)
    assert done.best == {"step": 8, "score": 1.0, "loss": 0.4}


def test_a_lower_loss_is_better_and_nan_is_never_best() -> None:
    figures = iter([{"loss": float("nan")}, {"loss": 0.9}, {"loss": 0.5}, {"loss": 0.7}])
    done = fit(Toy(), evaluate=lambda: next(figures), evaluate_every=3)
    assert done.best == {"step": 9, "loss": 0.5}


def test_patience_stops_early() -> None:
    scores = iter([2.0, 1.0, 1.5, 9.0])
    done = fit(Toy(), evaluate=lambda: {"score": next(scores)}, evaluate_every=3, patience=2)
    assert (done.stopped, done.step, done.best) == ("patience", 9, {"step": 3, "score": 2.0})


def test_evaluation_sees_no_dropout_and_no_gradients() -> None:
    model = Toy(dropout=0.5)
    modes = []
    fit(model, evaluate=lambda: modes.append((model.training, torch.is_grad_enabled())) or {"loss": 1.0})
    assert set(modes) == {(False, False)}
    assert model.training


def test_evaluating_changes_nothing_of_the_training() -> None:
    watched, plain = Toy(dropout=0.2, noise=0.1), Toy(dropout=0.2, noise=0.1)
    fit(watched, evaluate=lambda: {"loss": float(torch.rand(()))}, evaluate_every=1, keep_best=False)
    fit(plain)
    assert same(watched, plain)


def test_epochs_see_every_example_that_often() -> None:
    model = Toy()
    done = fit(model, steps=None, epochs=3)
    assert done.step == 30
    assert done.examples == 120
    assert done.elements == 3 * dataset().lengths.sum()
    assert sorted(i for call in model.seen for i in call) == sorted([*range(40)] * 3)


def test_history_holds_means_over_the_steps_between_lines() -> None:
    one, five = fit(Toy(), log_every=1), fit(Toy(), log_every=5)
    losses = [line["loss"] for line in one.history]
    tokens = [line["elements"] for line in one.history]
    counts = [b - a for a, b in zip([0, *tokens], tokens, strict=False)]
    mean = sum(x * n for x, n in zip(losses[:5], counts[:5], strict=True)) / sum(counts[:5])
    assert [line["step"] for line in five.history] == [5, 10, 12]
    assert five.history[0]["loss"] == pytest.approx(mean)
    assert 0 <= five.history[0]["accuracy"] <= 1


def test_bfloat16_keeps_the_weights_in_float32() -> None:
    narrow, wide = Toy(), Toy()
    fit(narrow, precision="bfloat16"), fit(wide, precision="float32")
    assert {p.dtype for p in narrow.parameters()} == {torch.float32}
    assert not same(narrow, wide)
    assert same(narrow, wide, within=0.2)


def test_patience_without_evaluation_is_refused() -> None:
    with pytest.raises(InputError, match="patience"):
        fit(Toy(), patience=2)


def test_tensorboard_without_a_folder_is_refused() -> None:
    with pytest.raises(InputError, match="tensorboard"):
        fit(Toy(), tensorboard=True)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match="device: 'gpu'"):
        fit(Toy(), device="gpu")


def test_compiled_blocks_train_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[dict[str, Any]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compiled.append(how))
    one, other = Toy(), Toy()
    fit(one, compile=True), fit(other)
    assert compiled == [{"dynamic": True}] * 2
    assert same(one, other)


def test_held_out_loss_falls() -> None:
    model = Toy()
    done = fit(model, steps=60, evaluate=held_out(model))
    losses = [line["held_out_loss"] for line in done.history if "held_out_loss" in line]
    assert len(losses) == 10
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_a_short_run_costs_little_beside_its_steps() -> None:
    """Fits of a few labels are run by the hundred: 50 steps may spend 20 ms on all that is not in a bare loop."""
    spec = TrainingSpec(steps=50, batch=4, precision="float32", device="cpu")

    def seconds(run: Any) -> float:
        began = time.thread_time()
        run(Toy())
        return time.thread_time() - began

    whole = min(seconds(lambda model: fit(model, steps=50)) for _ in range(7))
    bare = min(seconds(lambda model: naive(model, spec)) for _ in range(7))
    assert whole - bare < 0.02
