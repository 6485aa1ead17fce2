"""The words, the curve and the table of the pruning audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from exapt.evidence.finding import Listing, Plot, Series
from exapt.evidence.tolerance import Contrast, Tolerance

ALPHA = 0.05


def sentence(mine: Tolerance, beside: Mapping[str, Contrast], metric: str, margin: float, seeds: int) -> str:
    """The outcome with its number, interval and n, and whether other starts tolerate more or less."""
    place = mine.sparsities.index(mine.largest) if mine.largest is not None else 0
    change, share = mine.changes[place], f"{100 * mine.sparsities[place]:g} %"
    moved = f"{metric} {change.mean:+.3f} (90 % interval {change.low:+.3f} to {change.high:+.3f}, n = {seeds} seeds)"
    if mine.largest is not None:
        words = f"{share} of the weights can go within a margin of {margin:g}: {moved}"
    elif mine.verdict == "FRAGILE":
        words = f"Pruning {share} of the weights already costs more than {margin:g}: {moved}"
    else:
        words = f"Whether {share} of the weights can go within {margin:g} is open: {moved}"
    others = [_beside(name, one, mine.sparsities) for name, one in beside.items()]
    return "; ".join([words, *(other for other in others if other)]) + "."


def _beside(name: str, one: Contrast, sparsities: Sequence[float]) -> str:
    """Where the study's start tolerates more, or less, than another."""
    parts = []
    for words, values in (("less", one.p), ("more", one.p_less)):
        places = [f"{100 * s:g} %" for s, p in zip(sparsities, values, strict=True) if p <= ALPHA]
        if places:
            parts.append(f"it loses {words} than {name} at {', '.join(places)}")
    return ", ".join(parts)


def caveats(gradual: bool, seeds: int, checkpoints: int, decays: bool) -> list[str]:
    """How it could be wrong."""
    said = ["Zeros in a dense matrix save neither bytes nor time; taking out heads and neurons does (`prune.pattern`)."]
    if not gradual:
        said.append("Pruned at once: tuning while pruning (gradual: true) keeps more at high sparsity.")
    if seeds < 5:
        said.append(f"{seeds} seeds give wide intervals, so what could be pruned may be called inconclusive.")
    if checkpoints == 1:
        said.append("One checkpoint was adapted: another pre-training run could tolerate another share.")
    if decays:
        said.append("A change of weight decay alone also changes how well a network was trained: compare whole scores.")
    return said


def plot(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], sparsities: Sequence[float], metric: str) -> Plot:
    """Mean score of (S,) whole and (S, P) pruned networks, with t-intervals over seeds."""
    seeds = len(next(iter(curves.values()))[0])
    caption = f"Score of the adapted network against the share of weights pruned; bands: 90 % over {seeds} seeds."
    return Plot(caption, "share of weights pruned", metric, [_series(n, *c, sparsities) for n, c in curves.items()])


def _series(name: str, whole: np.ndarray, pruned: np.ndarray, sparsities: Sequence[float]) -> Series:
    scores = np.column_stack([whole, pruned])
    mean, spread = scores.mean(0), scores.std(0, ddof=1) / np.sqrt(len(scores))
    half = stats.t.ppf(0.95, len(scores) - 1) * spread
    return Series(name, [0.0, *sparsities], mean.tolist(), (mean - half).tolist(), (mean + half).tolist())


def listing(found: Mapping[str, Tolerance], whole: Mapping[str, float], beside: Mapping[str, Contrast]) -> Listing:
    """One row for each start and sparsity."""
    rows = []
    for name, one in found.items():
        for place, (sparsity, change) in enumerate(zip(one.sparsities, one.changes, strict=True)):
            p = beside[name].p[place] if name in beside else None
            within = one.largest is not None and sparsity <= one.largest
            interval = f"{change.low:+.3f} to {change.high:+.3f}"
            score = whole[name] + change.mean
            rows.append([name, sparsity, score, change.mean, interval, "yes" if within else "no", p])
    head = ["start", "pruned share", "score", "change", "90 % interval", "within the margin"]
    return Listing("Each start and sparsity", [*head, "p that the pre-trained loses less, Holm"], rows)
