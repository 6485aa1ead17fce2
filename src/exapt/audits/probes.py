"""How factors sit in the frozen features: how strongly, in how few dimensions, and how much of it is the probe's doing.

Linear probes alone flatter: random networks and raw inputs give high accuracies too, and a probe can memorise. So
every number stands beside those of random networks of the same shape and of raw inputs, and beside a control task.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from exapt.adaptation.features import Pooling
from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.factors import TESTED, Gathered, gather
from exapt.audits.planted_factors import planted_trials
from exapt.evidence.finding import Finding, Level, Listing, Plot, Series
from exapt.evidence.probing import FAMILIES, Examined, Judgement, Ranking, disentanglement, examine, judge_factor

CONFIDENCE = 0.9
SHARED = TESTED / (1 - TESTED)
"""n_test / n_train of a split, for Nadeau & Bengio's variance."""
NAMES = {"pretrained": "pre-trained", "random": "random network", "raw": "raw inputs"}
FOLDED = 1000
"""Trees are grown on at most so many examples."""


class ProbesAudit(Audit):
    """Sparse probes, selectivity, online code and, for several factors, DCI of the frozen pre-trained features."""

    asks: ClassVar[str] = "Is a factor encoded beyond a random network, and in how few dimensions?"
    kind: Literal["probes"] = "probes"
    factors: list[str] = []
    """Further columns of the labelled file to ask for, beside the label; each must have been read."""
    rank: Ranking = "l1"
    """What ranks dimensions: an L1 path, mutual `information`, or the standardised `difference` of class means."""
    tolerance: float = Field(default=0.02, gt=0, lt=1)
    """How near to the probe of all dimensions (in balanced accuracy) counts as holding the factor."""
    sparse: float = Field(default=0.125, gt=0, lt=1)
    """The largest share of the dimensions that is called sparse."""
    splits: int = Field(default=5, ge=3)
    """Random divisions of the pool into training and test rows, the test rows a quarter."""
    networks: PositiveInt = 3
    """Random networks of the same shape: the floor."""
    clusters: int = Field(default=300, ge=0)
    """Control types: k-means clusters of the raw inputs; 0: exact duplicates, every other example a type of its own."""
    most: int = Field(default=2000, ge=40)
    """At most so many examples of the pool are used."""
    pooling: Pooling = "mean"
    """How elements become one vector."""
    trees: PositiveInt = 30
    """Boosted trees for DCI, where there are two factors and more."""

    def run(self, subject: Subject) -> Finding:
        """Judge the label first; raises `InputError` for tasks on elements and for factors with too few examples."""
        found = gather(
            subject,
            self.factors,
            most=self.most,
            splits=self.splits,
            networks=self.networks,
            pooling=self.pooling,
            clusters=self.clusters,
        )
        examined = {
            name: {
                what: examine(several, factor, found.types, found.splits, by=self.rank)
                for what, several in found.features.items()
            }
            for name, factor in found.factors.items()
        }
        confidence = 1 - (1 - CONFIDENCE) / len(examined)  # Bonferroni: each factor is a question of its own
        judged = {name: self.judge(each, confidence) for name, each in examined.items()}
        name, main = next(iter(judged.items()))
        return Finding(
            name="probes",
            verdict=main.verdict,
            effect=main.gain[0],
            interval=main.gain[1:],
            n=self.splits,
            how=f"balanced accuracy of a linear probe for '{name}', pre-trained minus random networks, paired over "
            f"{self.splits} divisions of {len(found.examples)} examples of the pool; {confidence:.0%} t-interval with "
            "Nadeau and Bengio's variance; dimensions ranked on training rows",
            details=self._details(examined, judged, confidence) | {"dci": self._dci(found)},
            sentence=" ".join(_sentence(name, examined[name], one, self.splits) for name, one in judged.items()),
            level=_level(main),
            caveats=_caveats(found, judged, self.clusters),
            plots=[_plot(name, each, self.splits) for name, each in islice(examined.items(), 3)],
            listings=[self._listing(examined, confidence)],
        )

    def judge(self, examined: Mapping[str, Examined], confidence: float = CONFIDENCE) -> Judgement:
        """The verdict on one factor."""
        return judge_factor(
            examined, tolerance=self.tolerance, sparse=self.sparse, confidence=confidence, test_to_train=SHARED
        )

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """A factor planted in 3 of 64 dimensions, one spread by a rotation, and shuffled labels."""
        audit = cls(rank="difference")
        return planted_trials(audit.judge, seed)

    def _details(
        self, examined: Mapping[str, Mapping[str, Examined]], judged: Mapping[str, Judgement], confidence: float
    ) -> dict[str, Any]:
        return {
            "factors": {
                name: {
                    "verdict": judged[name].verdict,
                    "over random": judged[name].gain,
                    "over raw": judged[name].over_raw,
                    "first dimensions": each["pretrained"].curve.chosen(judged[name].dimensions[0])[:20],
                    **{what: one.plain(self.tolerance, confidence, SHARED) for what, one in each.items()},
                }
                for name, each in examined.items()
            }
        }

    def _dci(self, found: Gathered) -> dict[str, Any]:
        """DCI by both families of probes on the first split; empty for a single factor."""
        if len(found.factors) < 2:
            return {}
        factors = np.stack(list(found.factors.values()), axis=1)
        train, test = found.splits[0]
        out: dict[str, Any] = {}
        for what, several in found.features.items():
            for family in FAMILIES:
                one = disentanglement(several[0], factors, (train[:FOLDED], test), family, trees=self.trees)
                out[f"{what}, {family}"] = {
                    "disentanglement": one.disentanglement,
                    "completeness": one.completeness,
                    "informativeness": one.informativeness,
                }
        return out

    def _listing(self, examined: Mapping[str, Mapping[str, Examined]], confidence: float) -> Listing:
        rows = []
        for name, each in examined.items():
            for what, one in each.items():
                plain = one.plain(self.tolerance, confidence, SHARED)
                full, chosen, d = plain["balanced accuracy"], plain["selectivity"], plain["dimensions"]
                rows.append(
                    [
                        f"{name}: {NAMES[what]}",
                        full["mean"],
                        f"{full['low']:.3f} to {full['high']:.3f}",
                        f"{d['enough']} of {d['of']} ({d['least']} to {d['most']})",
                        chosen["mean"],
                        plain["control accuracy"]["mean"],
                        plain["compression"]["mean"],
                    ]
                )
        head = ["factor: features", "balanced accuracy", f"{confidence:.0%} interval", "dimensions that are enough"]
        return Listing(
            "Every factor in every kind of features",
            [*head, "selectivity", "control accuracy", "compression"],
            rows,
        )


def _sentence(name: str, examined: Mapping[str, Examined], one: Judgement, splits: int) -> str:
    full = {what: 100 * float(each.curve.full.mean()) for what, each in examined.items()}
    floors = ", ".join(f"{NAMES[what]} {score:.1f} %" for what, score in full.items() if what != "pretrained")
    mean, low, high = (100 * v for v in one.gain)
    k, least, most = one.dimensions
    return (
        f"Frozen features tell '{name}' with a balanced accuracy of {full['pretrained']:.1f} % ({floors}): "
        f"{mean:+.1f} points over random networks, interval {low:.1f} to {high:.1f} over {splits} splits; "
        f"{k} of {one.width} dimensions hold it ({least} to {most} over splits): {one.verdict}."
    )


def _level(one: Judgement) -> Level:
    if one.verdict == "NO BETTER THAN RANDOM":
        return "bad" if one.gain[2] < 0 else "unsure"
    return "unsure" if one.over_raw is not None and one.over_raw[2] < 0 else "good"


def _caveats(found: Gathered, judged: Mapping[str, Judgement], clusters: int) -> list[str]:
    said = [
        "A linear probe finds what a straight cut can read: a factor may be there in another form.",
        "That a factor can be read does not mean that the network uses it.",
        f"Control types are {clusters} k-means clusters of the raw inputs: selectivity depends on their number."
        if clusters and "raw" in found.features
        else "Control types are exact duplicates; where there are none, no control task can be learnt.",
    ]
    for name, one in judged.items():
        if one.over_raw is not None and one.over_raw[1] <= 0:
            more = "more than" if one.over_raw[2] < 0 else "as much as"
            points = -100 * one.over_raw[0]
            said.append(f"Of '{name}', raw inputs tell {more} the pre-trained features ({points:+.1f} points).")
    return said + found.notes


def _plot(name: str, examined: Mapping[str, Examined], splits: int) -> Plot:
    series = [
        Series(
            NAMES[what],
            list(one.curve.sizes),
            one.curve.scores.mean(0).tolist(),
            one.curve.scores.min(0).tolist(),
            one.curve.scores.max(0).tolist(),
            "line" if what == "pretrained" else "dashed",
        )
        for what, one in examined.items()
    ]
    return Plot(
        f"'{name}' read from the k dimensions ranked first: mean, least and most over {splits} splits.",
        "dimensions k",
        "balanced accuracy",
        series,
        log_x=True,
    )
