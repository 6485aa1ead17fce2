"""A run that goes wrong stops by name and leaves the last good checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_training import Toy, fit, same

from exapt.batch import Batch
from exapt.errors import DivergenceError
from exapt.objectives.base import Loss
from exapt.training.checkpoints import Checkpoints
from exapt.training.watch import RECENT, Watch


class Poisoned(Toy):
    """Good until call `bad`, then its loss is multiplied."""

    def __init__(self, bad: int, factor: float) -> None:
        super().__init__()
        self.bad, self.factor = bad, factor

    def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
        loss = super().forward(batch, rng)
        return Loss(loss.value * self.factor, loss.count) if self.calls >= self.bad else loss


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
@pytest.mark.parametrize("log_every", [1, 5, 50])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, factor: float, log_every: int) -> None:
    with pytest.raises(DivergenceError, match=rf"step 7: the loss is {factor}") as caught:
        fit(Poisoned(7, factor), tmp_path, checkpoint_every=2, log_every=log_every)
    assert str(tmp_path / "checkpoints" / "step-00000006") in str(caught.value)
    kept = Checkpoints(tmp_path / "checkpoints").newest()
    assert kept
    assert all(torch.isfinite(tensor).all() for tensor in kept[0].values())
    good = Toy()
    fit(good, tmp_path, checkpoint_every=2, log_every=log_every)
    whole = Toy()
    fit(whole)
    assert same(good, whole)


def test_a_gradient_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    class Cliff(Poisoned):
        def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
            loss = Toy.forward(self, batch, rng)
            steep = (self.head.bias.sum() * 0).abs().sqrt()
            return Loss(loss.value + (steep if self.calls >= self.bad else 0), loss.count)

    with pytest.raises(DivergenceError, match="step 5: the norm of the gradient is nan"):
        fit(Cliff(5, 1.0), tmp_path, checkpoint_every=1)


def test_the_best_weights_survive(tmp_path: Path) -> None:
    model = Poisoned(8, float("nan"))
    with pytest.raises(DivergenceError):
        fit(model, tmp_path, evaluate=lambda: {"loss": 1.0}, evaluate_every=3, checkpoint_every=3)
    assert all(torch.isfinite(t).all() for t in Checkpoints(tmp_path / "checkpoints").best().values())


def test_without_a_folder_the_message_says_so() -> None:
    with pytest.raises(DivergenceError, match="no checkpoint was kept"):
        fit(Poisoned(2, float("nan")))


def test_a_loss_that_ran_away_stops_the_run() -> None:
    with pytest.raises(DivergenceError, match=r"step \d+: the loss has run away to \d+"):
        fit(Poisoned(30, 1000.0), steps=60, lr=1e-4)


def watched(losses: list[float]) -> int | None:
    """The step at which a watch stops a run with these losses."""
    watch = Watch(lambda: "")
    for step, loss in enumerate(losses, start=1):
        try:
            watch.see(step, loss, 1.0)
        except DivergenceError:
            return step
    return None


@pytest.mark.parametrize(
    "losses",
    [
        [8.0] * 100,
        [8.0 - 0.05 * i for i in range(150)],
        [5.0] * 50 + [1e6] * (RECENT // 2 - 1) + [5.0] * 50,
        [0.01] * 60 + [0.9] * 60,
        [-40.0] * 60 + [-20.0] * 60,
        [0.0] * 100,
    ],
)
def test_no_false_alarm(losses: list[float]) -> None:
    assert watched(losses) is None


@pytest.mark.parametrize("losses", [[2.0] * 50 + [9.0] * 50, [0.0] * 50 + [1.5] * 50])
def test_alarm_within_the_window(losses: list[float]) -> None:
    stopped = watched(losses)
    assert stopped is not None
    assert 50 < stopped <= 50 + RECENT


def test_a_watch_goes_on_from_its_state() -> None:
    one, other = Watch(lambda: ""), Watch(lambda: "")
    for step in range(1, 40):
        one.see(step, 5.0 / step, 1.0)
        other.see(step, 5.0 / step, 1.0)
        fresh: Any = Watch(lambda: "")
        fresh.restore(other.state())
        other = fresh
    assert one.state() == other.state()
