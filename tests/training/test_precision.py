"""Which number type a run computes in."""

from __future__ import annotations

import pytest
import torch

from exapt.training import precision
from exapt.training.precision import ENOUGH, choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("native", "elements", "expected"),
    [
        (True, ENOUGH // 64, torch.bfloat16),
        (True, ENOUGH // 64 - 1, torch.float32),
        (False, ENOUGH, torch.float32),
    ],
)
def test_auto_takes_bfloat16_where_it_is_native_and_pays(
    monkeypatch: pytest.MonkeyPatch, native: bool, elements: float, expected: torch.dtype
) -> None:
    monkeypatch.setattr(precision, "native_bfloat16", lambda device: native)
    assert choose_precision("auto", 64, elements, CPU) == expected


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_what_is_asked_for_is_done(asked: str) -> None:
    assert choose_precision(asked, 1, 1, CPU) == getattr(torch, asked)


def test_a_network_without_width_stays_in_float32() -> None:
    assert choose_precision("auto", 0, 1e9, CPU) == torch.float32


def test_native_arithmetic_is_asked_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision.platform, "machine", lambda: "x86_64")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert not precision.native_bfloat16(CPU)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert precision.native_bfloat16(CPU)
    monkeypatch.setattr(precision.platform, "machine", lambda: "aarch64")
    assert not precision.native_bfloat16(CPU)
