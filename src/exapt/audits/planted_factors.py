"""Planted cases for the probing audit: features in which it is known where a factor sits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from exapt.audits.base import Trial
from exapt.evidence.probing import Examined, Judgement, Ranking, Split, examine

WIDTH, PLANTED, COUNT, CLASSES = 64, (5, 17, 40), 400, 4
RUNS = 6
Judge = Callable[[Mapping[str, Examined]], Judgement]


def planted_trials(judge: Judge, seed: int = 0, runs: int = RUNS, by: Ranking = "difference") -> list[Trial]:
    """Planted in 3 of 64 dimensions; spread over all by a rotation; labels shuffled; and the dimensions themselves."""
    rng = np.random.default_rng(seed)
    found = {"planted": 0, "right dimensions": 0, "rotated": 0, "shuffled": 0}
    sizes = []
    for _ in range(runs):
        features, factor, floor = _plant(rng)
        splits = _splits(rng)
        examined = _examined(features, factor, floor, splits, by)
        one = judge(examined)
        sizes.append(one.dimensions[0])
        found["planted"] += one.verdict == "ENCODED SPARSELY"
        found["right dimensions"] += {d for d, _ in examined["pretrained"].curve.chosen(3)[:3]} == set(PLANTED)
        turned = features @ np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
        found["rotated"] += judge(_examined(turned, factor, floor, splits, by)).verdict == "ENCODED"
        shuffled = _examined(features, rng.permutation(factor), floor, splits, by)
        found["shuffled"] += judge(shuffled).verdict == "NO BETTER THAN RANDOM"
    least, sparse = 0.8, ("ENCODED SPARSELY",)
    figures = {"dimensions found": float(np.median(sizes)), "planted": float(len(PLANTED))}
    return [
        Trial("a factor planted in 3 of 64 dimensions", sparse, found["planted"], runs, least, figures),
        Trial("… ranked first in most splits", ("the planted dimensions",), found["right dimensions"], runs, least),
        Trial("the same factor spread by a rotation: not sparse", ("ENCODED",), found["rotated"], runs, least),
        Trial("shuffled labels: not encoded", ("NO BETTER THAN RANDOM",), found["shuffled"], runs, least),
    ]


def _plant(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, 64) with one class in the middle and one along each of three dimensions; the classes; a floor."""
    factor = rng.integers(0, CLASSES, COUNT)
    features = rng.normal(size=(COUNT, WIDTH))
    corners = np.vstack([np.zeros(3), np.eye(3)])  # one corner each: no two of the dimensions tell all four
    features[:, PLANTED] += 4.0 * corners[factor]
    return features, factor, rng.normal(size=(COUNT, WIDTH))


def _splits(rng: np.random.Generator, count: int = 3) -> list[Split]:
    orders = [rng.permutation(COUNT) for _ in range(count)]
    return [(order[COUNT // 4 :], order[: COUNT // 4]) for order in orders]


def _examined(
    features: np.ndarray, factor: np.ndarray, floor: np.ndarray, splits: list[Split], by: Ranking
) -> dict[str, Examined]:
    types = np.arange(COUNT) // 4
    return {
        name: examine([x], factor, types, splits, by=by, orders=1)
        for name, x in {"pretrained": features, "random": floor}.items()
    }
