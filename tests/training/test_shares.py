"""The shares of a battery's parts: measured as plainly computed, quiet over a healthy one, loud over a dead part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains import DnaSpec, from_arrays
from exapt.files import read_json
from exapt.objectives import Battery, BatterySpec, MaskedSpec
from exapt.objectives.base import Loss, Objective
from exapt.training.alarms import alarms_of
from exapt.training.log import TIMING, read_metrics
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import Pretrained
from exapt.training.shares import PATIENT, WINDOW, SharesWatcher, dead, still
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining
from exapt.training.weights import tensors_of

BASES = [("ACGT" * 8)[i % 4 : 24 + i % 4] for i in range(40)]
DOMAIN, NETWORK = DnaSpec(length=32), TransformerSpec(size="nano", width=16, depth=1, heads=2)
HALF = {"objective": {"kind": "masked", "ratio": 0.5}, "name": "half"}


def battery(*parts: dict[str, Any], every: int | None = 2) -> BatterySpec:
    return BatterySpec.parse({"parts": [{"objective": {"kind": "masked"}}, *parts], "every": every, "examples": 8})


def run(folder: Path, objective: Any, **training: Any) -> Pretrained:
    plain = {"steps": 12, "batch": 8, "lr": 0.003, "precision": "float32", "monitor": {"on": False}, "log_every": 4}
    spec = TrainingSpec.parse(plain | training)
    return pretrain(from_arrays(BASES), DOMAIN, NETWORK, objective, spec, folder, progress=False)


class Parts:
    """A battery by hand on one batch."""

    def __init__(self, weights: dict[str, float], parts: dict[str, Objective] | None = None) -> None:
        domain = DOMAIN.build()
        data = domain.read(from_arrays(BASES))
        self.batch = domain.collate([data[i] for i in range(8)])
        self.network = NETWORK.build(domain.inputs, seed=0)
        made = {name: MaskedSpec().build(domain, self.network, seed=i) for i, name in enumerate(weights)}
        self.battery = Battery(made | (parts or {}), weights)
        self.model = Pretraining(self.network, self.battery)

    def watcher(self, total: int = 20) -> SharesWatcher:
        return SharesWatcher(self.model, self.battery, self.batch, total, 1, seed=0)

    def train(self, watcher: SharesWatcher, steps: int) -> None:
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=3e-3)
        watcher.began(0)
        for step in range(1, steps + 1):
            optimiser.zero_grad()
            self.model(self.batch, torch.Generator().manual_seed(step)).value.backward()
            optimiser.step()
            with torch.no_grad():
                watcher.glanced(step, (0.0, 0.0))


class Detached(Objective):
    """A loss that no weight of the backbone can change."""

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        return Loss(backbone(batch).elements.square().mean().detach(), len(batch))


class Stuck(Objective):
    """A loss of one value whose gradient is not zero."""

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        reached = backbone(batch).elements.sum()
        return Loss(reached - reached.detach() + 1.0, len(batch))


def test_shares_are_the_norms_of_the_weighted_gradients() -> None:
    made = Parts({"a": 2.0, "b": 0.5})
    watcher = made.watcher()
    watcher.began(0)
    norms = {}
    for part in made.battery.losses(made.network, made.batch, torch.Generator().manual_seed(watcher.seed)):
        made.model.zero_grad()
        part.weighted.backward()
        found = [p.grad.double().square().sum() for p in made.network.parameters() if p.grad is not None]
        norms[part.name] = float(sum(found) ** 0.5)
    whole = sum(norms.values())
    assert watcher.looks[0]["shares"] == pytest.approx({name: norm / whole for name, norm in norms.items()}, rel=1e-5)
    assert sum(watcher.looks[0]["shares"].values()) == pytest.approx(1)


def test_a_look_leaves_no_trace() -> None:
    made = Parts({"a": 1.0, "b": 1.0})
    before = {name: tensor.clone() for name, tensor in tensors_of(made.model).items()}
    made.watcher().began(0)
    assert made.model.training and all(p.grad is None for p in made.model.parameters())
    for name, tensor in tensors_of(made.model).items():
        assert torch.equal(tensor, before[name])


def test_a_healthy_battery_raises_no_alarm() -> None:
    made = Parts({"a": 1.0, "b": 0.3})
    watcher = made.watcher()
    made.train(watcher, PATIENT + WINDOW)
    assert watcher.finish()["alarms"] == []
    assert all(0.05 < part["median_share"] < 0.95 for part in watcher.finish()["parts"].values())


def test_a_part_of_hardly_any_weight_is_dead_after_a_window() -> None:
    made = Parts({"a": 1.0, "feather": 1e-8})
    watcher = made.watcher()
    made.train(watcher, WINDOW + 2)
    (alarm,) = watcher.finish()["alarms"]
    assert alarm["step"] == WINDOW and alarm["state"] == "DEAD TERM"
    assert (
        alarm["why"] == f"part 'feather': its share of the gradient stayed below 1% over 5 looks (steps 1 to {WINDOW})"
    )


def test_a_detached_loss_is_dead_and_a_stuck_one_stands_still() -> None:
    made = Parts({"a": 1.0, "detached": 1.0, "stuck": 0.01}, {"detached": Detached(), "stuck": Stuck()})
    watcher = made.watcher()
    made.train(watcher, PATIENT)
    found = {alarm["why"].split("'")[1]: alarm for alarm in watcher.finish()["alarms"]}
    assert set(found) == {"detached", "stuck"}
    assert found["detached"]["step"] == WINDOW
    assert "its loss never moved from 1 by more than 0.2% in 10 looks" in found["stuck"]["why"]
    assert watcher.finish()["parts"]["stuck"]["last_share"] > 0.01


def test_a_part_that_dies_later_says_what_it_was() -> None:
    looks = [{"step": s, "shares": {"a": 0.6 if s > 3 else 0.4, "b": 0.001 if s > 3 else 0.6}} for s in range(12)]
    assert dead(looks[: 3 + WINDOW], "b") == ""
    assert dead(looks, "b").endswith("(steps 7 to 11), after 60% at most before")
    assert dead(looks, "a") == ""


def test_the_only_part_is_never_called_dead_and_a_loss_that_moved_never_still() -> None:
    assert dead([{"step": s, "shares": {"a": 0.0}} for s in range(9)], "a") == ""
    looks = [{"losses": {"a": 1.0 if s != 2 else 1.01}} for s in range(20)]
    assert still(looks, "a") == "" and still([looks[0]] * 20, "a") != ""


def test_a_run_logs_and_records_the_shares(tmp_path: Path) -> None:
    done = run(tmp_path / "run", battery(HALF))
    lines = [line for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "masked.share" in line]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert all(line["masked.share"] + line["half.share"] == pytest.approx(1) for line in lines)
    trained = [line for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "lr" in line]
    assert all({"masked.loss", "half.loss", "half.accuracy"} <= set(line) for line in trained)
    record = done.record["watched"]["battery"]
    assert record["parts"]["half"]["last_share"] == lines[-1]["half.share"] and record["alarms"] == []
    assert alarms_of(done.record) == []


def test_a_dead_part_is_told_in_the_record(tmp_path: Path) -> None:
    done = run(tmp_path / "run", battery(HALF | {"weight": 1e-8}))
    (said,) = alarms_of(done.record)
    assert said.startswith("step 10: DEAD TERM: part 'half': its share of the gradient stayed below 1%")


def test_measuring_changes_nothing_of_the_training(tmp_path: Path) -> None:
    measured = run(tmp_path / "with", battery(HALF))
    quiet = run(tmp_path / "without", battery(HALF).model_copy(update={"measure": False}))
    assert "watched" not in quiet.record
    for (name, one), two in zip(
        tensors_of(measured.backbone).items(), tensors_of(quiet.backbone).values(), strict=True
    ):
        assert torch.equal(one, two), name


def test_one_part_trains_as_that_objective_alone(tmp_path: Path) -> None:
    alone = run(tmp_path / "alone", MaskedSpec(), accumulate=2)
    part = run(tmp_path / "part", battery(), accumulate=2)
    for (name, one), two in zip(tensors_of(alone.backbone).items(), tensors_of(part.backbone).values(), strict=True):
        assert torch.equal(one, two), name


class StoppedError(Exception):
    pass


def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = battery(HALF | {"weight": 1e-8})
    whole = run(tmp_path / "whole", spec)
    glanced = SharesWatcher.glanced

    def dies(self: SharesWatcher, step: int, loss: tuple[float, float]) -> dict[str, Any]:
        if step == 8:
            raise StoppedError
        return glanced(self, step, loss)

    monkeypatch.setattr(SharesWatcher, "glanced", dies)
    with pytest.raises(StoppedError):
        run(tmp_path / "cut", spec)
    monkeypatch.undo()
    again = run(tmp_path / "cut", spec)
    assert again.record["watched"] == whole.record["watched"]
    for one, two in zip(tensors_of(whole.backbone).values(), tensors_of(again.backbone).values(), strict=True):
        assert torch.equal(one, two)
    first, second = (
        [{k: v for k, v in line.items() if k not in TIMING} for line in read_metrics(tmp_path / n / "metrics.jsonl")]
        for n in ("whole", "cut")
    )
    assert first == second
    assert read_json(tmp_path / "cut" / "exapt.json")["specs"]["objective"]["kind"] == "battery"
