"""How much a way of training gives away about its examples: every attack on every model, and a verdict.

K models were each trained on a random part of n examples. Each is attacked in turn with the others as references. An
interval is a bootstrap over examples, since one example's scores under K models depend on each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from exapt.evidence.membership import TINY, Attack, calibrated_loss, each_in_turn, lira, lira_offline, log_odds, rmia
from exapt.evidence.roc import Roc, auc, check_rate, over_examples, roc, share_caught

Verdict = Literal["LEAKS", "NO LEAK FOUND", "UNDECIDED"]
MAIN = "LiRA"
"""The attack that the verdict rests on, chosen before looking; the others are shown beside it."""
LEVEL = 0.95


@dataclass(frozen=True)
class Attacked:
    """One attack's success over all models."""

    auc: float
    auc_low: float
    auc_high: float
    tpr: float
    """Share of members caught at the false-alarm rate."""
    tpr_low: float
    tpr_high: float


@dataclass(frozen=True)
class Leakage:
    """What each attack finds, and the main one's curve."""

    attacks: Mapping[str, Attacked]
    curve: Roc
    fpr: float
    examples: int
    models: int

    @property
    def main(self) -> Attacked:
        return self.attacks[MAIN]

    def verdict(self, margin: float = 0.02) -> Verdict:
        """LEAKS where members are told from others on average (AUC) or a few are for sure (share caught), beyond
        chance; NO LEAK FOUND where the AUC is below ½ + margin for sure; else UNDECIDED."""
        found = self.main
        if found.auc_low > 0.5 or found.tpr_low > self.fpr:
            return "LEAKS"
        return "NO LEAK FOUND" if found.auc_high < 0.5 + margin else "UNDECIDED"


def leakage(
    log_p: np.ndarray,
    member: np.ndarray,
    population: np.ndarray,
    rng: np.random.Generator,
    *,
    fpr: float = 0.01,
    resamples: int = 300,
    only: Sequence[str] = (),
) -> Leakage:
    """Attack K models and judge them.

    `log_p` (K, n) and `population` (K, m) are log-probabilities of the true class, `member` (K, n) says who was trained
    on what; no model saw the population. `only` names the attacks to judge (the main one always is). Raises
    `InputError` where non-members are too few for `fpr`.
    """
    check_rate(int((~member).sum()), fpr)
    scores = attack_scores(log_p, member, population)
    wanted = {MAIN, *only} if only else set(scores)
    found = {name: _attacked(s, member, rng, fpr, resamples) for name, s in scores.items() if name in wanted}
    return Leakage(found, roc(scores[MAIN], member), fpr, member.shape[1], len(member))


def attack_scores(log_p: np.ndarray, member: np.ndarray, population: np.ndarray) -> dict[str, np.ndarray]:
    """(K, n) scores of each attack."""
    log_p, population = (np.maximum(part, np.log(TINY)) for part in (log_p, population))
    phi = log_odds(log_p)
    by_phi: dict[str, Attack] = {
        MAIN: lira,
        "LiRA, pooled variance": partial(lira, variance="pooled"),
        "LiRA, offline": lira_offline,
    }
    found = {name: each_in_turn(phi, member, attack) for name, attack in by_phi.items()}
    found["RMIA"] = _rmia(np.exp(log_p), member, np.exp(population))
    found["loss, calibrated"] = each_in_turn(-log_p, member, calibrated_loss)
    return found | {"loss": log_p}


def _rmia(p: np.ndarray, member: np.ndarray, population: np.ndarray) -> np.ndarray:
    """Online RMIA of every model in turn."""
    places = np.arange(len(p))
    rest = [places != k for k in places]
    return np.stack(
        [rmia(p[k], p[r], member[r], population[k], population[r]) for k, r in zip(places, rest, strict=True)]
    )


def _attacked(scores: np.ndarray, member: np.ndarray, rng: np.random.Generator, fpr: float, resamples: int) -> Attacked:
    def caught(part: np.ndarray, inside: np.ndarray) -> float:
        return share_caught(part, inside, fpr)

    area = over_examples(scores, member, auc, rng, LEVEL, resamples)
    share = over_examples(scores, member, caught, rng, LEVEL, resamples)
    return Attacked(auc(scores, member), *area, caught(scores, member), *share)
