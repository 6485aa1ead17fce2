"""How long, how fast and how carefully to train."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from exapt.spec import Spec
from exapt.training.monitor import MonitorSpec
from exapt.training.schedule import ScheduleSpec

FREE = ("checkpoint_every", "keep", "tensorboard")
"""Keys that change nothing a run computes: they may differ when it is resumed."""


class TrainingSpec(Spec):
    """One training run. Give `steps` or `epochs`, and `batch` or `batch_elements`."""

    steps: PositiveInt | None = None
    """Optimiser steps."""
    epochs: PositiveFloat | None = None
    """Passes over the data, counted in steps of the first pass; may be a fraction."""
    batch: PositiveInt | None = None
    """Examples in a micro-batch, per process."""
    batch_elements: PositiveInt | None = None
    """Elements (tokens, patches) a micro-batch may hold, per process. With neither given: 8192."""
    accumulate: PositiveInt = 1
    """Micro-batches in a step: accumulate=k with batch=b equals batch=k·b, also where their loss counts differ."""
    bucket: bool = True
    """Put examples of like length into one batch; the order of batches stays random."""

    lr: PositiveFloat = 1e-3
    """The peak rate of AdamW, for parameter groups without one of their own."""
    schedule: ScheduleSpec = ScheduleSpec()
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled decay of matrices; norms and biases have none."""
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = Field(default=1.0, ge=0)
    """The largest norm of the gradient; 0 does not clip."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` takes bfloat16 autocast where it pays; weights and optimiser stay in float32."""
    compile: bool = False
    """Compile the network's blocks with `torch.compile`."""
    device: str = "auto"
    """`auto` takes the first accelerator there is, else the processor."""
    parallel: Literal["data", "sharded"] = "data"
    """Under torchrun or accelerate launch: DDP, or FSDP2, which also shards weights and optimiser."""

    holdout: float = Field(default=0.02, ge=0, le=0.5)
    """Pre-training: the share of the corpus that is only evaluated on; 0 evaluates nothing."""
    evaluate_every: PositiveInt | None = None
    """Steps between evaluations; None: ten in a run. The end is always evaluated."""
    keep_best: bool = True
    """End with the weights of the best evaluation rather than the last ones. With objectives whose held-out loss does
    not say which are better (byol, simsiam) it is always the last ones."""
    patience: PositiveInt | None = None
    """Stop after so many evaluations without a better one."""
    checkpoint_every: PositiveInt | None = None
    """Steps between checkpoints; None: ten in a run. The end is always kept."""
    keep: PositiveInt = 2
    """How many of the latest checkpoints stay on disk, beside the best."""
    monitor: MonitorSpec = MonitorSpec()
    """Pre-training: watching the representation for collapse while it is trained."""
    log_every: PositiveInt = 10
    """Steps between lines of `metrics.jsonl`."""
    tensorboard: bool = False
    """Also write TensorBoard events to `tensorboard/`."""
    seed: int = 0
    """Decides the order of examples, what is masked, and dropout."""

    @model_validator(mode="before")
    @classmethod
    def _default_batch(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("batch") is None and data.get("batch_elements") is None:
            return data | {"batch_elements": 8192}
        return data

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            both = f"steps = {self.steps} and epochs = {self.epochs}" if self.steps else "neither"
            raise ValueError(f"give either steps or epochs, and null for the other (found {both})")
        if self.batch is not None and self.batch_elements is not None:
            raise ValueError(
                f"give either batch (examples) or batch_elements (found {self.batch} and {self.batch_elements})"
            )
        if self.steps is not None and 1 <= self.steps <= self.schedule.warmup:
            raise ValueError(
                f"schedule.warmup {self.schedule.warmup:g} leaves none of the {self.steps} steps at the full rate; "
                "lower it, or give a share below 1"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1) (found {list(self.betas)})")
        return self

    def total_steps(self, per_epoch: int) -> int:
        """Steps of the run when a pass over the data takes `per_epoch` of them."""
        return self.steps if self.steps is not None else max(1, math.ceil((self.epochs or 0) * per_epoch - 1e-9))

    def batching(self) -> dict[str, Any]:
        """The keywords of `Batches` that this spec decides."""
        keys = ("batch", "batch_elements", "bucket", "seed")
        return {key: getattr(self, key) for key in keys}

    def trajectory(self) -> dict[str, Any]:
        """The plain keys that decide what the run computes."""
        return {key: value for key, value in self.plain().items() if key not in FREE}
