"""Weighing by uncertainty: against the paper's formula, where its optimum lies, and that noise is given up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exapt.backbones import TransformerSpec
from exapt.domains import DnaSpec
from exapt.domains.base import Arrays
from exapt.errors import InputError
from exapt.files import read_json
from exapt.objectives import BatterySpec, PropertiesSpec
from exapt.objectives.battery import Battery
from exapt.objectives.weighing import PACE, Uncertainty
from exapt.training.log import TIMING, read_metrics
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import Pretrained
from exapt.training.spec import TrainingSpec
from exapt.training.weights import tensors_of

DRAW = np.random.default_rng(0)
SEQUENCES = ["".join(DRAW.choice(list("ACGT"), size=24)) for _ in range(96)]
COLUMNS: dict[str, list[Any]] = {
    "share": [s.count("G") / 24 for s in SEQUENCES],
    "starts": [s[0] for s in SEQUENCES],
    "noise": DRAW.normal(size=96).tolist(),
}
DOMAIN = DnaSpec(length=32, reverse_complement=False)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_it_is_the_formula_of_the_paper() -> None:
    """Equations 7 and 10: L / (2 σ²) + log σ of a Gaussian, L / σ² + log σ of a softmax."""
    made = Uncertainty([True, False, True]).double()
    with torch.no_grad():
        made.parameter.copy_(torch.tensor([0.3, -0.2, 0.1]) / PACE)
    losses = torch.tensor([0.7, 1.3, 2.0], dtype=torch.float64)
    found = made(losses, torch.tensor([True, True, False]))
    sigma = [math.exp(s / 2) for s in (0.3, -0.2)]
    wanted = [0.7 / (2 * sigma[0] ** 2) + math.log(sigma[0]), 1.3 / sigma[1] ** 2 + math.log(sigma[1]), 0.0]
    assert found.tolist() == pytest.approx(wanted)
    pull = torch.autograd.grad(found.sum(), made.parameter)[0]
    assert pull[2] == 0 and (pull[:2] != 0).all(), "a loss of no labels does not move its variance"
    given = torch.tensor([0.05, -0.1, 0.2], dtype=torch.float64, requires_grad=True)

    def cost(parameter: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        seen = torch.tensor([True, True, False])
        out: torch.Tensor = torch.func.functional_call(made, {"parameter": parameter}, (losses, seen))
        return out

    assert torch.autograd.gradcheck(cost, (given, losses.requires_grad_()))


def test_the_best_variance_is_that_of_the_errors() -> None:
    made, losses = Uncertainty([True, False]).double(), torch.tensor([0.25, 0.25], dtype=torch.float64)
    optimiser = torch.optim.LBFGS([made.parameter], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = made(losses, torch.tensor([True, True])).sum()
        value.backward()
        return value

    optimiser.step(closure)
    assert made.log_variances.tolist() == pytest.approx([math.log(0.25), math.log(0.5)], abs=1e-4)


class Bench:
    """Ninety-six sequences with a number and a class that can be told, and a number that is noise."""

    def __init__(self, objective: Any) -> None:
        self.domain = DOMAIN.build()
        data = self.domain.read(Arrays(SEQUENCES, COLUMNS, label=list(COLUMNS)))
        spec = objective.settled(data, self.domain)
        data = spec.attach(data, self.domain)
        self.backbone = TransformerSpec(size="nano", width=16, depth=1, heads=2).build(self.domain.inputs, seed=0)
        self.objective = spec.build(self.domain, self.backbone, seed=1)
        self.batch = self.domain.collate([data[i] for i in range(96)])

    def train(self, steps: int) -> None:
        optimiser = torch.optim.AdamW([*self.backbone.parameters(), *self.objective.parameters()], lr=3e-3)
        draws = torch.Generator().manual_seed(0)
        for _ in range(steps):
            optimiser.zero_grad()
            chosen = torch.randperm(96, generator=draws)[:32]
            self.objective(self.backbone, self.batch.select(chosen), draws).value.backward()
            optimiser.step()


def test_a_head_of_noise_is_weighed_down_and_the_others_are_not() -> None:
    bench = Bench(PropertiesSpec(weighing="uncertainty"))
    bench.train(120)
    spread = dict(zip(bench.objective.heads, bench.objective.uncertainty.log_variances.tolist(), strict=True))
    assert spread["share"] < spread["noise"] - 1.0, spread
    loss = bench.objective(bench.backbone, bench.batch, rng())
    assert float(torch.as_tensor(loss.terms["noise.log_variance"])) == pytest.approx(spread["noise"])
    factor = {name: math.exp(-s) for name, s in spread.items()}
    assert factor["noise"] < 0.4 * factor["share"]


def parts(**more: Any) -> BatterySpec:
    heads = {"kind": "properties", "heads": ["share", "noise"]}
    return BatterySpec.parse(
        {"parts": [{"objective": {"kind": "masked"}}, {"objective": heads, "weight": 2.0}], **more}
    )


def test_a_battery_weighs_its_parts_and_shares_follow() -> None:
    bench = Bench(parts(weighing="uncertainty"))
    battery = bench.objective
    assert isinstance(battery, Battery) and battery.uncertainty is not None
    assert battery.uncertainty.factors.tolist() == [1.0, 0.5], "a cross entropy, and squared errors"
    with torch.no_grad():
        battery.uncertainty.parameter.copy_(torch.tensor([0.5, -0.7]) / PACE)
    found = battery.losses(bench.backbone, bench.batch, rng())
    one, two = (float(part.loss.value.detach()) for part in found)
    wanted = [math.exp(-0.5) * one + 0.25, 2 * (math.exp(0.7) * two / 2 - 0.35)]
    assert [float(part.weighted.detach()) for part in found] == pytest.approx(wanted, rel=1e-5)
    whole = battery(bench.backbone, bench.batch, rng())
    assert float(whole.value.detach()) == pytest.approx(sum(wanted), rel=1e-5)
    assert float(torch.as_tensor(whole.terms["properties.log_variance"])) == pytest.approx(-0.7)
    weights = [p for p in bench.backbone.parameters() if p.requires_grad]
    plain = torch.autograd.grad(found[1].loss.value, weights, allow_unused=True, retain_graph=True)
    pulled = torch.autograd.grad(found[1].weighted, weights, allow_unused=True)
    for a, b in zip(plain, pulled, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(math.exp(0.7) * a, b, rtol=1e-4, atol=1e-7)


def test_a_part_without_labels_leaves_its_variance_alone() -> None:
    bench = Bench(parts(weighing="uncertainty"))
    blank = {name: torch.full_like(value, math.nan) for name, value in bench.batch.targets.items()}
    batch = type(bench.batch)(bench.batch.inputs, bench.batch.offsets, targets=blank)
    bench.objective(bench.backbone, batch, rng()).value.backward()
    pull = bench.objective.uncertainty.parameter.grad
    assert pull[1] == 0 and pull[0] != 0


def test_fixed_weights_are_not_written_out_and_cannot_be_mixed_with_doubled_weighing() -> None:
    assert "weighing" not in parts().plain() and parts(weighing="uncertainty").plain()["weighing"] == "uncertainty"
    assert BatterySpec.parse(parts(weighing="uncertainty").plain()).weighing == "uncertainty"
    inner = {"objective": {"kind": "properties", "weighing": "uncertainty"}}
    with pytest.raises(InputError, match="part 'properties' weighs by uncertainty itself"):
        BatterySpec.parse({"parts": [{"objective": {"kind": "masked"}}, inner], "weighing": "uncertainty"})
    with pytest.raises(InputError, match="weighing"):
        BatterySpec.parse({"parts": [inner], "weighing": "learnt"})


NETWORK = TransformerSpec(size="nano", width=16, depth=1, heads=2)


def run(folder: Path, stop_at: int | None = None) -> Pretrained:
    plain = {"steps": 12, "batch": 16, "lr": 0.003, "precision": "float32", "monitor": {"on": False}, "log_every": 4}
    spec = TrainingSpec.parse(plain | {"checkpoint_every": 4})
    heads = {"kind": "properties", "heads": ["share", "starts", "noise"]}
    objective = BatterySpec.parse(
        {"parts": [{"objective": {"kind": "masked"}}, {"objective": heads}], "weighing": "uncertainty", "every": 4}
    )
    holed = {name: [None if i % 3 else v for i, v in enumerate(values)] for name, values in COLUMNS.items()}
    corpus = Arrays(SEQUENCES, holed, label=list(holed))
    return pretrain(corpus, DOMAIN, NETWORK, objective, spec, folder, progress=False, watchers=stopper(stop_at))


def stopper(at: int | None) -> Any:
    from exapt.training.watcher import Watcher

    class Stop(Watcher):
        name = "stop"

        def due(self, step: int) -> bool:
            if step == at:
                raise KeyboardInterrupt
            return False

    return lambda _model, _domain: [Stop()]


def test_variances_are_kept_resumed_bit_for_bit_and_logged(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", stop_at=7)
    resumed = run(tmp_path / "broken")
    one, two = tensors_of(whole.objective), tensors_of(resumed.objective)
    assert any("uncertainty" in name for name in one) and any("recent" in name for name in one)
    for name in one:
        assert torch.equal(one[name], two[name]), name
    for name, tensor in tensors_of(whole.backbone).items():
        assert torch.equal(tensor, tensors_of(resumed.backbone)[name]), name
    lines, again = (logged(tmp_path / name / "metrics.jsonl") for name in ("whole", "broken"))
    assert lines == again
    assert any("properties.log_variance" in line and "properties.share.loss" in line for line in lines)
    told = read_json(tmp_path / "whole" / "exapt.json")["record"]["watched"]["battery"]["parts"]
    assert set(told) == {"masked", "properties"} and told["masked"]["log_variance"] != 0.0


def logged(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in TIMING} for line in read_metrics(path)]
