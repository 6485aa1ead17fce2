"""A fine-tuned network without half of its neurons, or of its heads too, beside the whole one: size, speed, accuracy.

    python benchmarks/pruning.py [--seeds 5] [--size tiny]

Pre-trains on scikit-learn's digits, adapts with 320 labels, takes units out by their first-order importance on the
training part, tunes all again on the same labels, and scores them on the same 400 test digits. Times are processor time
of predicting all 1,797 digits, whole and small in turn, medians; the bar is a ratio of 1.25
or more in that run where heads go too (their number is rounded down).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from exapt.adaptation import FinetuneSpec, Fitted, Start, fit
from exapt.adaptation.shrinking import shrink_fitted
from exapt.backbones import TransformerSpec
from exapt.domains import ImageSpec
from exapt.domains.base import Dataset, Source
from exapt.evidence.paired import compare
from exapt.objectives import MaskedSpec
from exapt.tasks import ClassifySpec
from exapt.training.pretrain import pretrain
from exapt.training.spec import TrainingSpec

BAR, REPEATS, LABELS, TEST = 1.25, 7, 320, 400
ADAPT = FinetuneSpec(rates=[0.0005], min_steps=60, max_steps=60, evaluations=6)
CUTS = {"half of the neurons": (0.5, False), "half of the neurons and heads": (0.5, True)}


def seconds(fitted: Fitted, dataset: Dataset) -> float:
    """Processor time of one prediction."""
    began = time.process_time()
    fitted.predict(dataset)
    return time.process_time() - began


def ratio(whole: Fitted, small: Fitted, dataset: Dataset) -> float:
    """How many times as long the whole model takes, medians of turns."""
    turns = [(seconds(whole, dataset), seconds(small, dataset)) for _ in range(REPEATS + 1)][1:]
    return median(one for one, _ in turns) / median(other for _, other in turns)


def size(fitted: Fitted) -> int:
    """Bytes of the saved model's network."""
    with tempfile.TemporaryDirectory() as folder:
        return (fitted.save(Path(folder)) / "backbone.safetensors").stat().st_size


def main(seeds: int, size_name: str) -> int:
    """Exit code: 0 where the smallest model is faster by the bar."""
    source = Source(path="sklearn:digits", label="label")
    spec = TransformerSpec.parse({"size": size_name})
    training = TrainingSpec(steps=100, batch=64, lr=0.001)
    with tempfile.TemporaryDirectory() as folder:
        start = pretrain(
            source, ImageSpec(patch=2), spec, MaskedSpec(ratio=0.6), training, Path(folder) / "run", progress=False
        )
    data = start.domain.read(source)
    task = ClassifySpec().build(data)
    data = task.attach(data)
    scores: dict[str, list[float]] = {name: [] for name in ("whole", *CUTS)}
    last: dict[str, Fitted] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(data))
        test, train = data.subset(order[:TEST]), data.subset(order[TEST : TEST + LABELS * 4 // 5])
        valid = data.subset(order[TEST + LABELS * 4 // 5 : TEST + LABELS])
        whole = fit(ADAPT, Start(start.domain, start.backbone), task, train, valid, seed)
        last["whole"] = fit(ADAPT, Start(start.domain, whole.backbone()), task, train, valid, seed)
        for name, (share, heads) in CUTS.items():
            cut = shrink_fitted(whole, share, heads, train)
            last[name] = fit(ADAPT, Start(start.domain, cut.backbone()), task, train, valid, seed)
        for name, fitted in last.items():
            scores[name].append(task.metric(fitted.predict(test), task.truth(test)))
    print(f"{size_name}, {seeds} seeds, {LABELS} labels: accuracy {np.mean(scores['whole']):.4f} whole")
    return [report(name, last, scores, data) for name in CUTS][-1] ^ 1


def report(name: str, last: dict[str, Fitted], scores: dict[str, list[float]], data: Dataset) -> int:
    """Print one line; 1 where the bar is met."""
    change = compare(np.array(scores[name]) - np.array(scores["whole"]), 0.01, resamples=0)
    faster, smaller = ratio(last["whole"], last[name], data), size(last[name]) / size(last["whole"])
    print(
        f"  {name}: {smaller:.2f} of the bytes, {faster:.2f} times as fast; accuracy {change.mean:+.4f} "
        f"(90 % interval {change.low:+.4f} to {change.high:+.4f})"
    )
    return int(faster >= BAR)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", default="tiny")
    words = parser.parse_args()
    sys.exit(main(words.seeds, words.size))
