"""Character-level language modelling of tiny Shakespeare, against nanoGPT's CPU figure (validation loss 1.88).

    python benchmarks/shakespeare.py --data tinyshakespeare.txt.gz

The last tenth of the text is only scored: cut into blocks, every character (but the very first) is predicted once from
those before it in its block, as nanoGPT does on a sample of blocks. Prints nats a character, and seconds of training.
nanoGPT's setting (`train_shakespeare_char.py` for a CPU) is 4 layers, 4 heads, width 128, blocks of 64, 12 blocks a
step, 2,000 steps; here the sizes are the same, and blocks and steps are chosen for the time limit.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from exapt.backbones import TransformerSpec
from exapt.batch import Batch, pack
from exapt.domains import Dataset, Example, Source, TextSpec
from exapt.domains.cutting import window_dataset
from exapt.domains.stores import TokenStore
from exapt.objectives import AutoregressiveSpec
from exapt.objectives.generate import generate
from exapt.training.batches import Batches
from exapt.training.loop import train
from exapt.training.schedule import ScheduleSpec
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    domain = TextSpec(tokens="characters", length=options.block + 2).build(source := Source(path=options.data))
    ids = domain.read(source).store[0]
    cut = len(ids) * 9 // 10
    backbone = TransformerSpec(width=128, depth=4, heads=4, hidden=options.hidden, causal=True).build(
        domain.inputs, seed=0
    )
    model = Pretraining(backbone, AutoregressiveSpec().build(domain, backbone, seed=0))
    size = sum(p.numel() for p in model.parameters())
    print(f"{cut} characters to train on, {len(ids) - cut} to validate on; {size} parameters")
    spec = TrainingSpec(
        steps=options.steps,
        batch=options.batch,
        lr=options.lr,
        weight_decay=0.1,
        betas=(0.9, 0.99),
        schedule=ScheduleSpec(kind=options.schedule, warmup=0.05),
        precision=options.precision,
    )
    batches = blocks(ids[:cut], options.block, options.batch)
    started, worked = time.perf_counter(), time.process_time()
    done = train(model, batches, spec, progress=options.progress)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    loss = validate(model, ids[cut:], options.block)
    rate = done.elements / seconds
    print(f"validation loss {loss:.4f} nats a character ({loss / math.log(2):.3f} bits) after {seconds:.0f} s", end=" ")
    print(f"({worked:.0f} s of processor time) of training: {done.elements} characters, {rate:,.0f} a second")
    start = torch.from_numpy(domain.encode("ROMEO:\n"))
    text = generate(backbone, model.objective, start, 200, temperature=0.8, rng=torch.Generator().manual_seed(0))
    print("\n" + domain.decode(text))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="tinyshakespeare.txt, plain or gzipped")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16, help="blocks a step")
    parser.add_argument("--block", type=int, default=128, help="characters of context")
    parser.add_argument("--hidden", type=int, default=None, help="width inside the MLP")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--schedule", default="cosine")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--progress", action="store_true")
    return parser.parse_args()


def blocks(ids: np.ndarray, block: int, batch: int, shuffle: bool = True) -> Batches:
    """Batches of runs of block + 1 characters, cut at another phase in every pass."""
    store = TokenStore(ids, np.array([len(ids)]))
    data = Dataset(store, np.arange(1))

    def windows(dataset: Dataset, phase: int) -> Dataset:
        return window_dataset(dataset, block + 1, phase)

    return Batches(data, as_stream, batch=batch, windows=windows, phases=block + 1, shuffle=shuffle, bucket=False)


def as_stream(examples: Sequence[Example]) -> Batch:
    """Runs of a longer text: no start or end."""
    return Batch(*pack([torch.from_numpy(example.inputs.astype(np.int64)) for example in examples]))


@torch.no_grad()
def validate(model: nn.Module, ids: np.ndarray, block: int) -> float:
    """Nats a character over all characters but the first: blocks overlap in one character, which is context only."""
    model.eval()
    total = count = 0.0
    starts = range(0, len(ids) - 1, block)
    runs = [torch.from_numpy(ids[at : at + block + 1].astype(np.int64)) for at in starts]
    for at in range(0, len(runs), 64):
        loss = model(Batch(*pack(runs[at : at + 64])), torch.Generator())
        total, count = total + float(loss.value) * loss.count, count + loss.count
    assert count == len(ids) - 1
    return total / count


if __name__ == "__main__":
    main()
