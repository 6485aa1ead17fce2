"""The monitor: planted collapse, resumption, its schedule, its share of the work, and where its figures go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exapt.audits.planted_collapse import watched
from exapt.backbones import TransformerSpec
from exapt.domains import ImageSpec, TextSpec, from_arrays
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.objectives import MaskedSpec
from exapt.training.checkpoints import Checkpoints
from exapt.training.collapse import classify, judge
from exapt.training.log import TIMING, read_metrics
from exapt.training.monitor import MonitorSpec, pooled, steps_between
from exapt.training.neighbours import neighbour_score
from exapt.training.pretrain import pretrain
from exapt.training.run import Run
from exapt.training.spec import TrainingSpec

PICTURES = np.random.default_rng(0).integers(0, 256, (120, 4, 4), dtype=np.uint8)
NETWORK = TransformerSpec(width=16, depth=1, heads=1)
OBJECTIVE = MaskedSpec(ratio=0.5, decoder_depth=1)


def quick(folder: Path, labelled: Any = None, **keys: Any) -> Any:
    spec = {"steps": 12, "batch": 16, "holdout": 0.2, "device": "cpu", "checkpoint_every": 1, **keys}
    training = TrainingSpec.parse(spec)
    domain = ImageSpec(patch=2)
    return pretrain(
        from_arrays(PICTURES), domain, NETWORK, OBJECTIVE, training, folder, progress=False, labelled=labelled
    )


def half_labels(domain: Domain) -> tuple[Dataset, np.ndarray]:
    labels = np.arange(len(PICTURES)) % 2
    labels[:5] = -1
    return domain.read(from_arrays(PICTURES)), labels


def lines(folder: Path) -> list[dict[str, Any]]:
    found = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in TIMING} for line in found]


def test_alignment_alone_raises_the_alarm_and_vicreg_does_not() -> None:
    collapsed, ended = watched("alignment", 0, steps=160, action="stop")
    assert collapsed.alarm and "COLLAPSE" in collapsed.alarm["state"]
    assert ended.step == collapsed.alarm["step"] < 160 and ended.stopped == f"monitor: {collapsed.alarm['why']}"
    assert collapsed.looks[-1]["accuracy"] < collapsed.looks[0]["accuracy"] - 0.2
    healthy, ended = watched("vicreg", 0, steps=160, action="stop")
    assert healthy.alarm is None and ended.step == 160 and healthy.looks[-1]["state"] == "HEALTHY"


@pytest.mark.slow
def test_planted_collapse_over_ten_seeds() -> None:
    assert all(watched("alignment", seed)[0].alarm for seed in range(10))
    assert not any(watched("vicreg", seed)[0].alarm for seed in range(10))


def test_looks_stand_in_the_metrics_and_in_the_artifact(tmp_path: Path) -> None:
    found = quick(tmp_path, half_labels, monitor={"every": 5})
    looked = [line for line in lines(tmp_path) if "monitor_rank" in line]
    assert [line["step"] for line in looked] == [5, 10, 12]
    assert all(0 <= line["monitor_accuracy"] <= 1 and line["monitor_state"] for line in looked)
    assert looked[-1]["monitor_trend_why"] == "too few evaluations: 3, needs 21"
    record = found.record["monitor"]
    assert (record["looks"], record["examples"], record["held_out"]) == (3, 120, 24)
    assert record["last"]["rank"] == pytest.approx(looked[-1]["monitor_rank"])


def test_the_loss_of_a_look_is_the_mean_since_the_last(tmp_path: Path) -> None:
    quick(tmp_path, monitor={"every": 3}, log_every=3)
    found = lines(tmp_path)
    trained = [line["loss"] for line in found if "loss" in line]
    assert [line["monitor_loss"] for line in found if "monitor_loss" in line] == pytest.approx(trained)


def test_watching_changes_no_weight_and_off_is_off(tmp_path: Path) -> None:
    on = quick(tmp_path / "on", monitor={"every": 1})
    off = quick(tmp_path / "off", monitor={"on": False})
    assert all(torch.equal(a, b) for a, b in zip(on.backbone.parameters(), off.backbone.parameters(), strict=True))
    assert off.record["monitor"] is None and not any("monitor_rank" in line for line in lines(tmp_path / "off"))


def test_resumed_equals_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: dict[str, Any] = {"monitor": {"every": 2}}
    whole = quick(tmp_path / "whole", half_labels, **keys)
    take = Run.take

    def dying(self: Run, step: int) -> None:
        if step == 8:
            raise KeyboardInterrupt
        take(self, step)

    monkeypatch.setattr(Run, "take", dying)
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path / "parts", half_labels, **keys)
    monkeypatch.setattr(Run, "take", take)
    parts = quick(tmp_path / "parts", half_labels, **keys)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert parts.record["monitor"] == whole.record["monitor"]
    states = [Checkpoints(tmp_path / name / "checkpoints").newest() for name in ("whole", "parts")]
    assert states[0] and states[1] and states[0][1]["watchers"] == states[1][1]["watchers"]


def test_looks_follow_from_their_share_of_the_work() -> None:
    # 1 % of 1.5 × 100,000 elements pays for 15 forward passes over 100: 14 looks and the random network's.
    assert steps_between(140, 0.01, 100_000, 100) == 10
    assert steps_between(190, 0.01, 1_000, 100) == 190  # too short a run is looked at once, at its end
    assert steps_between(1000, 0.01, 1e9, 100) == 10  # never more than 100 looks


def test_pooled_features_are_the_backbones_in_order() -> None:
    domain = TextSpec(tokens="characters", length=16).build(from_arrays(["abc", "a", "abcdefgh"]))
    dataset = domain.read(from_arrays(["abc", "a", "abcdefgh"]))
    network = NETWORK.build(domain.inputs, seed=0).eval()
    with torch.no_grad():
        plain = torch.cat([network(domain.collate([dataset[i]])).pooled() for i in range(3)])
        torch.testing.assert_close(pooled(network, domain, dataset), plain, atol=1e-5, rtol=1e-5)


def test_neighbours_vote_without_the_example_itself() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    apart = torch.tensor(np.eye(3)[labels] * 5 + rng.normal(size=(120, 3)))
    assert neighbour_score(apart, labels) > 0.95
    assert neighbour_score(torch.tensor(rng.normal(size=(120, 3))), labels) < 0.55
    assert neighbour_score(apart, labels.astype(float)) > 0.9
    two = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, -0.1]])
    assert neighbour_score(two, np.array([0, 1, 0, 1])) == 0.0  # each has only the other one's label beside it


def test_a_verdict_is_calibrated_by_random_networks_and_examples() -> None:
    rng = np.random.default_rng(0)
    cloud = lambda n=400: rng.normal(size=(n, 64)) + 1  # noqa: E731
    floors = [cloud() for _ in range(3)]
    healthy = judge(cloud(), floors)
    assert healthy.verdict == "HEALTHY" and healthy.interval[0] < 1 < healthy.interval[1]
    few = cloud() * (np.arange(64) < 10)
    assert judge(few, floors).verdict == "PARTLY COLLAPSED"
    assert judge(1 + 1e-3 * cloud(), floors).verdict == "COLLAPSED"
    assert judge(cloud(40), [cloud(40)]).verdict == "UNDECIDED"
    assert classify(400, (0.4, 0.6), 1.0, 30)[0] == "UNDECIDED"
    assert "too few to lose" in classify(400, (0.4, 0.6), 1.0, 2)[1]
    assert classify(400, (0.05, 0.08), 1.0, 30)[0] == "COLLAPSED"
    with pytest.raises(ValueError, match="at least one random network"):
        judge(cloud(), [])


def test_a_mistake_in_the_key() -> None:
    with pytest.raises(InputError, match="less than or equal to 2048"):
        TrainingSpec.parse({"steps": 1, "monitor": {"examples": 5000}})
    assert MonitorSpec().action == "warn"
