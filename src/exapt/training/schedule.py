"""The learning rate over a run, as one pure function of the step."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from exapt.spec import Spec

ONLY: dict[str, tuple[str, ...]] = {
    "final": ("cosine", "exponential", "linear", "wsd"),
    "decay": ("wsd",),
    "milestones": ("step",),
    "gamma": ("step",),
}
"""Which kinds read which key: a key that would do nothing is refused."""


class ScheduleSpec(Spec):
    """Warm-up, then one of six shapes. The rate of each parameter group is multiplied by the factor."""

    kind: Literal["constant", "cosine", "exponential", "step", "linear", "wsd"] = "cosine"
    """`wsd` is warm-up, stable, then a decay of 1 − √ (Hägele et al. 2024, arXiv 2405.18392)."""
    warmup: float = Field(default=0.05, ge=0)
    """Steps over which the factor rises linearly to 1: below 1 a share of all steps, else a number of steps."""
    final: float | None = Field(default=None, ge=0, lt=1)
    """Where the factor ends. None: 0.01 for `exponential`, 0 for the others."""
    decay: float = Field(default=0.2, gt=0, le=1)
    """`wsd`: the share of all steps that cool down, at the end; a warm-up in steps comes first."""
    milestones: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)] = [0.5, 0.75]
    """`step`: the shares of the run at which the factor is multiplied by `gamma`."""
    gamma: float = Field(default=0.1, gt=0, lt=1)
    """`step`: the multiplier at each milestone."""

    @model_validator(mode="after")
    def _no_idle_keys(self) -> Self:
        for key, kinds in ONLY.items():
            given = key in self.model_fields_set and getattr(self, key) != type(self).model_fields[key].default
            if given and self.kind not in kinds:
                raise ValueError(f"{key} does nothing when kind is '{self.kind}'; it belongs to {', '.join(kinds)}")
        if self.kind == "exponential" and self.final == 0:
            raise ValueError("an exponential decay never reaches final = 0; choose a value such as 0.01")
        if self.kind == "wsd" and self.warmup < 1 < self.warmup + self.decay - 1e-9:
            raise ValueError(
                f"warmup {self.warmup:g} and decay {self.decay:g} together are more than the whole run; lower one"
            )
        if self.milestones != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise (found {self.milestones})")
        return self

    def warmup_steps(self, total: int) -> int:
        """How many of `total` steps warm up."""
        return min(total, round(self.warmup * total) if self.warmup < 1 else round(self.warmup))


def factor(spec: ScheduleSpec, step: int, total: int) -> float:
    """The multiplier of the rate at step 1 … total.

    Warm-up of w steps gives step / w. After it, t = (step − 1 − w) / (total − w) in [0, 1) is the share already
    walked: the first step runs at the full rate, and none is wasted at a rate of 0.
    """
    warm = spec.warmup_steps(total)
    if step <= warm:
        return step / warm
    walked = (step - 1 - warm) / (total - warm)
    if spec.kind == "wsd":
        return _wsd(spec, step, total)
    if spec.kind == "step":
        return spec.gamma ** sum((step - 1) / total >= share for share in spec.milestones)
    final = _final(spec)
    shape = {
        "constant": 1.0,
        "cosine": final + (1 - final) * 0.5 * (1 + math.cos(math.pi * walked)),
        "linear": final + (1 - final) * (1 - walked),
    }
    return final**walked if spec.kind == "exponential" else shape[spec.kind]


def _wsd(spec: ScheduleSpec, step: int, total: int) -> float:
    """1, then final + (1 − final)(1 − √u) with u the share of the decay already walked."""
    length = min(max(1, round(spec.decay * total)), total - spec.warmup_steps(total))
    walked = max(0, step - 1 - (total - length)) / length
    return _final(spec) + (1 - _final(spec)) * (1 - math.sqrt(walked))


def _final(spec: ScheduleSpec) -> float:
    return spec.final if spec.final is not None else 0.01 if spec.kind == "exponential" else 0.0
