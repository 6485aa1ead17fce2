"""Share of the machine's measured matrix-product peak that a masked-language-model training step reaches.

    python benchmarks/peak.py --sizes micro mini small

A step is forward, backward, clipping and AdamW on `--batch` rows of `--length` tokens, 30 % of them predicted. Its
floating-point operations are counted by hand, two for each multiply-add, and three times the forward's for a step:

    forward = N · depth · (8 · D² + 6 · D · F  +  4 · L · D)  +  M · (2 · D² + 2 · D · V)

for N tokens in rows of L, width D, hidden width F, M predicted tokens and a vocabulary of V; the four terms in D are
the attention's projections, the MLP, scores and weighted values, and the head. Norms, softmax, GELU and the optimiser
count as nothing. The peak is that of a 1024³ product in the same type, measured just before every step: others may use
the machine, so both are timed in CPU seconds, in turn, and the median of the ratios is told.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from exapt.backbones import SIZES, TransformerSpec
from exapt.backbones.layout import Way
from exapt.batch import Batch, offsets_of
from exapt.domains.base import Inputs
from exapt.objectives.base import Loss
from exapt.objectives.tokens import TokenObjective

SIDE = 1024


@contextmanager
def bf16_products() -> Iterator[None]:
    """float32 tensors, products rounded to bfloat16 inside."""
    settings = torch.backends.mkldnn.matmul
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


STRATEGIES: dict[str, tuple[Callable[[], object], torch.dtype, Way]] = {
    "float32": (nullcontext, torch.float32, "plain"),
    "float32, fused attention": (nullcontext, torch.float32, "fused"),
    "float32, products in bfloat16": (bf16_products, torch.bfloat16, "fused"),
    "bfloat16 autocast": (autocast, torch.bfloat16, "fused"),
    "bfloat16 autocast, plain attention": (autocast, torch.bfloat16, "plain"),
}
"""How numbers are kept, the type whose peak is the measure, and how attention is computed."""


class Head(TokenObjective):
    """The masked objective's head over places chosen beforehand."""

    def forward(self, backbone: object, batch: Batch, rng: torch.Generator) -> Loss:
        raise NotImplementedError


@dataclass
class Work:
    """A model, its optimiser and one batch."""

    spec: TransformerSpec
    batch: int
    length: int
    vocabulary: int

    def __post_init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        inputs = Inputs(kind="tokens", vocabulary=self.vocabulary, length=self.length)
        self.backbone = self.spec.build(inputs, seed=0)
        self.head = Head(self.backbone, seed=0)
        self.parameters = [*self.backbone.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        count = self.batch * self.length
        ids = torch.randint(0, self.vocabulary, (count,), generator=rng)
        self.data = Batch(ids, offsets_of(torch.full((self.batch,), self.length)))
        self.where = torch.randperm(count, generator=rng)[: count * 3 // 10].sort().values

    def step(self, precision: Callable[[], object]) -> Tensor:
        with precision():  # type: ignore[attr-defined]
            elements = self.backbone(self.data).elements.index_select(0, self.where)
            loss = self.head.prediction(self.backbone, elements, self.data.inputs[self.where]).value
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss

    def operations(self) -> float:
        """Floating-point operations of a step, as the file's head says."""
        width, depth, _, hidden = self.spec.shape
        layers = depth * (8 * width**2 + 6 * width * hidden + 4 * self.length * width)
        head = 2 * width**2 + 2 * width * self.vocabulary
        return 3.0 * (self.batch * self.length * layers + len(self.where) * head)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def peak(dtype: torch.dtype) -> float:
    """Operations a second of one large product, the best of some."""
    left, right = torch.randn(2, SIDE, SIDE).to(dtype)
    return 2 * SIDE**3 / min(seconds(lambda: left @ right) for _ in range(10))


def measure(size: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Every strategy on one size, in turn."""
    work = Work(TransformerSpec.parse({"size": size}), options.batch, options.length, options.vocabulary)
    shares: dict[str, list[tuple[float, float]]] = {name: [] for name in options.strategies}
    for repeat in range(options.repeats + 1):
        for name, seen in shares.items():
            precision, dtype, work.backbone.stack.way = STRATEGIES[name]
            best, took = peak(dtype), seconds(lambda precision=precision: work.step(precision))
            if repeat:  # the first warms up
                seen.append((work.operations() / took / best, took))
    tokens = options.batch * options.length
    return {name: summary(seen, tokens, work.operations()) for name, seen in shares.items()}


def summary(seen: list[tuple[float, float]], tokens: int, operations: float) -> dict[str, float]:
    shares, took = zip(*seen, strict=True)
    fastest = min(took)
    return {
        "share of peak (median)": statistics.median(shares),
        "share of peak (best)": max(shares),
        "tokens a second": tokens / fastest,
        "gigaflops": operations / fastest / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["nano", "micro", "mini", "small"])
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {}
    for size in options.sizes:
        results[size] = measure(size, options)
        if not options.json:
            show(size, results[size])
    if options.json:
        print(json.dumps(results, indent=1))


def show(size: str, rows: dict[str, dict[str, float]]) -> None:
    """One line a strategy."""
    for name, row in rows.items():
        share = f"{row['share of peak (median)']:.2f} (best {row['share of peak (best)']:.2f})"
        rate = f"{row['tokens a second']:8.0f} tokens/s {row['gigaflops']:5.0f} GFLOP/s"
        print(f"{size:6} {name:36} {rate}  share of peak {share}", flush=True)


if __name__ == "__main__":
    main()
