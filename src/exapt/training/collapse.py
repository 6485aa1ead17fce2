"""Has a representation collapsed? Judged beside random networks of the same shape, on the same examples.

No absolute rank is good or bad: it hangs on the architecture, the width, the data and how many examples there are. A
random network of the same shape, given the same examples, has met all of these but the training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from exapt.training.representation import Array, gaussian_rank, rankme, spread

Verdict = Literal["COLLAPSED", "PARTLY COLLAPSED", "HEALTHY", "UNDECIDED"]

HALF = 0.5
"""Below this share of the random networks' effective rank a representation is partly collapsed."""
TENTH = 0.1
"""Below this share it is collapsed."""
FLAT = 0.02
"""So is one whose spread is below this share of the random networks'."""
LEAST = 64
"""Fewer examples say nothing."""
ROOM = 4.0
"""A random network of a lower effective rank than this leaves nothing to lose."""
HALVINGS = 20


@dataclass(frozen=True)
class Judgement:
    """A verdict with what it rests on."""

    verdict: Verdict
    why: str
    ratio: float
    """Effective rank (centred RankMe) over the random networks' mean."""
    interval: tuple[float, float]
    """90 %: over examples (half samples) and over random networks."""
    spread_ratio: float
    """Spread over the random networks' mean."""
    rank: float
    floor_rank: float
    gaussian_rank: float
    """Of as many standard normal vectors of the same width: the most there could be seen."""
    n: int


def judge(features: Array, floors: Sequence[Array], seed: int = 0) -> Judgement:
    """Judge features (n, D) beside those of random networks, each (n, D) of the same examples.

    The interval is a t-interval over `HALVINGS` half samples of the examples (whose deviations from the whole have the
    variance of the whole from the truth), widened by the spread of the floors' mean. Raises `ValueError` without floor.
    """
    if not floors:
        raise ValueError("a representation is judged beside at least one random network; give floors")
    x, nets = np.asarray(features), [np.asarray(floor) for floor in floors]
    rank, ranks = rankme(x), np.array([rankme(net) for net in nets])
    ratio = rank / max(float(ranks.mean()), 1e-12)
    reach = _reach(x, nets, ratio, ranks, seed)
    beside = float(np.mean([spread(net) for net in nets]))
    spread_ratio = spread(x) / max(beside, 1e-12)
    low, high = max(0.0, ratio - reach), ratio + reach
    verdict, why = classify(len(x), (low, high), spread_ratio, float(ranks.mean()))
    null = gaussian_rank(len(x), x.shape[1], seed)
    return Judgement(verdict, why, ratio, (low, high), spread_ratio, rank, float(ranks.mean()), null, len(x))


def classify(n: int, interval: tuple[float, float], spread_ratio: float, floor_rank: float) -> tuple[Verdict, str]:
    """The verdict and its reason from the interval of the ratio of ranks and the ratio of spreads."""
    low, high = interval
    if n < LEAST:
        return "UNDECIDED", f"{n} examples say nothing of a spectrum; {LEAST} would"
    if spread_ratio < FLAT:
        return "COLLAPSED", f"examples differ by {spread_ratio:.2g} of what a random network makes of them"
    if floor_rank < ROOM:
        return "UNDECIDED", f"a random network fills no more than {floor_rank:.1f} directions here: too few to lose any"
    if high < HALF:
        verdict: Verdict = "COLLAPSED" if high < TENTH else "PARTLY COLLAPSED"
        return verdict, f"the effective rank is at most {high:.2g} of a random network's"
    if low >= HALF:
        return "HEALTHY", f"the effective rank is at least {low:.2g} of a random network's"
    return "UNDECIDED", f"the effective rank lies between {low:.2g} and {high:.2g} of a random network's"


def _reach(x: np.ndarray, nets: Sequence[np.ndarray], ratio: float, ranks: np.ndarray, seed: int) -> float:
    """Half the width of the interval."""
    if len(x) < 4:
        return math.inf
    rng = np.random.default_rng(seed)
    halves = [rng.permutation(len(x))[: len(x) // 2] for _ in range(HALVINGS)]
    # Half samples show fewer directions of either cloud: only how the ratio varies is taken from them.
    found = [rankme(x[half]) / max(rankme(nets[i % len(nets)][half]), 1e-12) for i, half in enumerate(halves)]
    examples = float(np.std(found, ddof=1))
    networks = (
        ratio * float(ranks.std(ddof=1)) / max(ranks.mean(), 1e-12) / math.sqrt(len(nets)) if len(nets) > 1 else 0
    )
    return float(student.ppf(0.95, HALVINGS - 1)) * math.hypot(examples, networks)
