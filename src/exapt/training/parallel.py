"""DDP and FSDP2 around a trainable, and whole tensors out of shards.

Both average gradients over processes, which the loop undoes: it weighs every process by its own `Loss.count`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from exapt.training.launch import Launch
from exapt.training.trainable import Trainable


def wrap(model: Trainable, how: str, launch: Launch) -> nn.Module:
    """What to call instead of the model: itself in one process, DDP, or the model sharded in place by FSDP2."""
    if launch.ranks == 1:
        return model
    if how == "data":
        return DistributedDataParallel(model)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(launch.device.type, (launch.ranks,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def without_sync(net: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Gradients travel between processes only with the last micro-batch of a step."""
    sharded: Any = getattr(net, "set_requires_gradient_sync", None)
    if sharded is not None:
        sharded(last)
        return nullcontext()
    return nullcontext() if last or not isinstance(net, DistributedDataParallel) else net.no_sync()


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """While open, a part of an FSDP2 model can be called by itself; all processes must come here together."""
    shards: list[Any] = [part for part in model.modules() if hasattr(part, "unshard")]
    for part in shards:
        part.unshard()
    try:
        yield
    finally:
        for part in shards:
            part.reshard()


def follow_shards(
    groups: Sequence[Mapping[str, Any]], names: Mapping[int, str], model: nn.Module
) -> list[dict[str, Any]]:
    """Parameter groups made before sharding, over the parameters that stand under the same names after it."""
    now = dict(model.named_parameters())
    return [{**group, "params": [now[names[id(p)]] for p in group["params"]]} for group in groups]


def whole(tensor: Tensor) -> Tensor:
    """The full tensor on every process; all of them must call this."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def fill(target: Tensor, source: Tensor) -> None:
    """Copy a full tensor into a plain one, or into this process's shard of a sharded one."""
    if hasattr(target, "device_mesh"):
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(target, DTensor)
        source = distribute_tensor(source.to(target.device), target.device_mesh, target.placements)
    with torch.no_grad():
        target.copy_(source)


def like(source: Tensor, parameter: Tensor) -> Tensor:
    """A full tensor of optimiser state, placed as its parameter is; a scalar (the step) is placed nowhere."""
    if source.ndim == 0:
        return source.to(parameter.device)
    target = torch.empty_like(parameter, dtype=source.dtype)
    fill(target, source)
    return target.detach()
