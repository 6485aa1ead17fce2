"""One optimiser step: micro-batches, their gradients weighed by what their losses average over, and the update."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from exapt.batch import Batch
from exapt.objectives.base import Loss
from exapt.training.launch import Launch
from exapt.training.optimiser import scale_gradients
from exapt.training.parallel import without_sync
from exapt.training.seeds import derive, seed_dropout
from exapt.training.watch import Taken


class Stepper:
    """Takes steps with one network and optimiser."""

    def __init__(
        self,
        net: nn.Module,
        optimiser: torch.optim.Optimizer,
        launch: Launch,
        precision: torch.dtype,
        clip: float,
        seed: int,
    ) -> None:
        self.net, self.optimiser, self.launch = net, optimiser, launch
        self.precision, self.clip, self.seed = precision, clip, seed
        self.parameters = [p for group in optimiser.param_groups for p in group["params"]]
        self.rng = torch.Generator()

    def autocast(self) -> AbstractContextManager[None]:
        """The precision of forward passes."""
        kind = self.launch.device.type
        return torch.autocast(kind, self.precision, enabled=self.precision != torch.float32)

    def take(self, step: int, batches: Sequence[Batch]) -> Taken:
        """Descend the mean loss over every item of every micro-batch of every process.

        Each micro-batch's loss is multiplied by its count before the backward pass, and the gradient divided by the
        total count after it, so that k micro-batches equal one of their union. Processes average what should be
        summed: hence the factor `ranks`.
        """
        losses = []
        for number, batch in enumerate(batches):
            with without_sync(self.net, last=number == len(batches) - 1):
                losses.append(self._backward(step, number, batch))
        sums = self.launch.total(_sums(losses, batches))
        count = sums[0].clamp(min=1) if self.launch.ranks > 1 else max(1, sum(loss.count for loss in losses))
        norm = scale_gradients(self.parameters, self.launch.ranks / count, self.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return Taken(tuple(losses[0].terms), sums, norm)

    def _backward(self, step: int, number: int, batch: Batch) -> Loss:
        place = number * self.launch.ranks + self.launch.rank
        self.rng.manual_seed(derive(self.seed, "draw", step, place))
        seed_dropout(derive(self.seed, "dropout", step, place), self.launch.device)
        with self.autocast():
            loss: Loss = self.net(batch.to(self.launch.device), self.rng)
        (loss.value * loss.count).backward()
        return loss


def _sums(losses: Sequence[Loss], batches: Sequence[Batch]) -> Tensor:
    """Count, elements, examples, and count times loss and every term."""
    rows = []
    for loss, batch in zip(losses, batches, strict=True):
        value = loss.value.detach().float()
        terms = [torch.as_tensor(term, device=value.device, dtype=value.dtype) for term in loss.terms.values()]
        sizes = value.new_tensor([loss.count, int(batch.offsets[-1]), len(batch)])
        rows.append(torch.cat([sizes, torch.stack([value, *terms]) * loss.count]))
    return torch.stack(rows).sum(0)
