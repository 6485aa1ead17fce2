"""Every random draw of a run follows from its seed and where it falls, so a resumed run needs no saved generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, *where: int | str) -> int:
    """A 63-bit seed for one place of a run, such as `derive(seed, "step", 12)`; unlike places get unlike seeds."""
    text = ":".join(str(part) for part in (seed, *where))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seed the global generator that dropout draws from, on one device only (`torch.manual_seed` visits them all)."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        getattr(torch, device.type).manual_seed(seed)


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Give the caller's global generators back as they were."""
    with torch.random.fork_rng([device] if device.type != "cpu" else [], device_type=_accelerator(device)):
        yield


@contextmanager
def own_threads() -> Iterator[None]:
    """Give the caller's number of threads back; a resumed run takes the number it began with."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _accelerator(device: torch.device) -> str:
    return "cuda" if device.type == "cpu" else device.type
