"""Where a run happens: one process, or one of several that torchrun or `accelerate launch` started.

A single process never touches accelerate: its `prepare` wraps and moves things that need neither, and fits of a few
dozen labels are run by the hundred. Several processes meet through accelerate's `PartialState` (process group, device,
both launchers); the wrapping is torch's own DDP and FSDP2, because accelerate silently trains plain DDP where FSDP is
asked for on processors.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from exapt.errors import InputError


@dataclass(frozen=True)
class Launch:
    """This process's device and its place among the others."""

    device: torch.device
    rank: int = 0
    ranks: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, on each of them; not differentiable."""
        if self.ranks > 1:
            values = values.to(self.device, copy=True)
            torch.distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Until every process has come here."""
        if self.ranks > 1:
            torch.distributed.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process runs the block before the others, which then find its files."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()


def launch(device: str = "auto", parallel: str = "data") -> Launch:
    """Join the processes of this launch, if there are several; may be called more than once.

    Raises `InputError` for an unknown device, or when accelerate's configuration asks for FSDP but the spec does not.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Launch(pick_device(device))
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true" and parallel != "sharded":
        raise InputError("accelerate launch asks for FSDP, the spec for parallel: data; set parallel: sharded")
    from accelerate import PartialState

    fresh = not torch.distributed.is_initialized()
    state = PartialState(cpu=pick_device(device).type == "cpu")
    if fresh:
        atexit.register(state.destroy_process_group)
    return Launch(torch.device(state.device.type, state.device.index or 0), state.process_index, state.num_processes)


def pick_device(name: str) -> torch.device:
    """`auto` is the first accelerator, else the processor; raises `InputError` for a device that is not there."""
    there = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name == "auto":
        return there or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device: '{name}' is no device; valid: auto, cpu, cuda, cuda:1, …") from None
    known = ["cpu", there.type] if there else ["cpu"]
    if device.type not in known:
        raise InputError(f"device: '{name}' is not available here; valid: auto, {', '.join(known)}")
    return device
