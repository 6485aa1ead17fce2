"""Which number type matrix products run in. Weights, gradients and optimiser stay in float32 always."""

from __future__ import annotations

import platform

import torch

from exapt.errors import InputError

ENOUGH = 2**16
"""On processors, width × elements of a micro-batch from which bfloat16 products win more than their casts cost.

Measured on one core with AVX512-BF16, time in float32 over time in bfloat16 of a masked step, 4 layers: 0.82 at
64 × 512 elements, 0.93 at 96 × 512, 1.09 at 128 × 512, 1.18 at 32 × 2,400, 1.44 at 64 × 2,400, 1.84 at 64 × 12,000
and 2.2 at 128 × 12,000.
"""


def choose_precision(asked: str, width: int, elements: float, device: torch.device) -> torch.dtype:
    """float32 or bfloat16. `auto` takes bfloat16 where the device computes in it natively and it pays.

    `elements` is how many a micro-batch holds.

    Raises `InputError` when bfloat16 is asked of a device that has no such arithmetic at all.
    """
    if asked == "float32":
        return torch.float32
    if asked == "bfloat16":
        if device.type == "mps":
            raise InputError("precision: bfloat16 autocast is not there on mps; valid: auto, float32")
        return torch.bfloat16
    pays = device.type != "cpu" or width * elements >= ENOUGH
    return torch.bfloat16 if pays and native_bfloat16(device) else torch.float32


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or platform.machine() not in ("x86_64", "AMD64"):
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)
