"""Representation collapse: whether pre-trained features fill fewer directions than the network itself would.

Jing et al. 2022 (dimensional collapse); Garrido et al. 2023 (RankMe). Ranks alone cannot be read: they are judged
beside random networks of the same shape on the same examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from exapt.adaptation import embed
from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.planted_collapse import watched
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.evidence.finding import Finding, Level, Listing, Plot, Series
from exapt.training.collapse import LEAST, Judgement, judge
from exapt.training.log import read_metrics
from exapt.training.representation import figures, spectrum

LEVELS: dict[str, Level] = {"HEALTHY": "good", "COLLAPSED": "bad", "PARTLY COLLAPSED": "bad"}
DENSE = 4096
"""Classical features wider than this (words, say) are left out of the comparison."""


class CollapseAudit(Audit):
    """Whether the pre-trained features have collapsed, beside random networks of the same shape."""

    asks: ClassVar[str] = "Has the representation collapsed to fewer directions than a random network fills?"
    kind: Literal["collapse"] = "collapse"
    examples: int = Field(default=1024, ge=LEAST)
    """Labelled examples to look at, those of the test part first; no label is read."""
    networks: PositiveInt = 5
    """Random networks to compare with."""
    seed: int = 0

    def run(self, subject: Subject) -> Finding:
        """Raises `InputError` where there are too few examples."""
        dataset, unseen = self._sample(subject)
        features = embed(subject.start.backbone, subject.domain, dataset)
        floors = [embed(subject.fresh(seed), subject.domain, dataset) for seed in range(self.networks)]
        found = judge(features, floors, self.seed)
        clouds = {"pre-trained": features, "random network": floors[0]}
        inputs = _inputs(subject, dataset)
        clouds |= {"inputs": inputs} if inputs is not None else {}
        history = live_history(subject.checkpoints[0]) if subject.checkpoints else []
        alarm = (subject.start.record.get("monitor") or {}).get("alarm")
        return Finding(
            name="collapse",
            verdict=found.verdict,
            effect=found.ratio,
            interval=found.interval,
            n=found.n,
            how=f"effective rank (centred RankMe) of pooled features over the mean of {len(floors)} random networks' "
            f"on the same {found.n} examples, {unseen} of them of the test part; 90 % interval over examples and "
            "networks",
            details={
                "judgement": vars(found),
                "figures": {name: figures(cloud) for name, cloud in clouds.items()},
                "alarm": alarm,
                "looks": len(history),
            },
            sentence=_sentence(found, len(floors), alarm),
            level=LEVELS.get(found.verdict, "unsure"),
            caveats=_caveats(subject, found, history),
            plots=[
                _spectra(features, floors, inputs),
                *([_live(history, found.floor_rank)] if len(history) > 1 else []),
            ],
            listings=[_listing(clouds, found)],
        )

    def _sample(self, subject: Subject) -> tuple[Dataset, int]:
        """Labelled examples, the test part's first, and how many of them are the test part's."""
        rng = np.random.default_rng(self.seed)
        places = np.concatenate([rng.permutation(subject.test), rng.permutation(subject.pool)])[: self.examples]
        if len(places) < LEAST:
            raise self.refuse(f"{len(places)} labelled examples say nothing of a spectrum; {LEAST} would do")
        return subject.labelled.subset(places), min(len(subject.test), len(places))

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Clouds of known shape, and small networks trained on two views with and without what forbids collapse."""
        rng = np.random.default_rng(seed)
        clouds = [
            ("features like a random network's", 1.0, 64, ("HEALTHY",), 0.95),
            ("one vector for all, but for rounding", 1e-3, 64, ("COLLAPSED",), 1.0),
            ("6 of 64 directions left", 1.0, 6, ("PARTLY COLLAPSED", "COLLAPSED"), 0.95),
            ("48 of 64 directions left", 1.0, 48, ("HEALTHY",), 0.9),
        ]
        trials = [_cloud(*case, rng=rng) for case in clouds]
        return [
            *trials,
            _trained("trained on alignment alone: the alarm comes within the run", "alignment", True, seed),
            _trained("trained with variance and covariance (VICReg): no alarm", "vicreg", False, seed),
        ]


def live_history(checkpoint: Path) -> list[dict[str, Any]]:
    """What the monitor wrote into the run's `metrics.jsonl`; nothing where it did not look on."""
    path = Path(checkpoint) / "metrics.jsonl"
    return [line for line in read_metrics(path) if "monitor_rank" in line] if path.is_file() else []


def _inputs(subject: Subject, dataset: Dataset) -> np.ndarray | None:
    """(n, p) the field's classical features, where it has some that are not too wide."""
    try:
        found = subject.domain.classical(dataset)[0]
    except InputError:
        return None
    if found.shape[1] > DENSE:
        return None
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=np.float32)


def _sentence(found: Judgement, networks: int, alarm: Mapping[str, Any] | None) -> str:
    low, high = found.interval
    words = (
        f"The pre-trained features fill {found.rank:.1f} directions, {found.ratio:.2f} times as many as {networks} "
        f"random networks do on average ({found.floor_rank:.1f}; 90 % interval of the ratio {low:.2f} to {high:.2f}, "
        f"n = {found.n} examples)"
    )
    reason = f"; {found.why}." if found.verdict != "HEALTHY" else "."
    said = f" During training the monitor raised {alarm['state']} at step {alarm['step']}." if alarm else ""
    return words + reason + said


def _caveats(subject: Subject, found: Judgement, history: Sequence[Mapping[str, Any]]) -> list[str]:
    said = [
        "Ranks compare runs of one method and architecture: a higher one does not mean better features.",
        f"With {found.n} examples no representation of this width could show more than {found.gaussian_rank:.0f} "
        "directions.",
    ]
    if not history:
        said.append("The run's metrics hold no look of the monitor, so nothing is known of the time of training.")
    if len(subject.checkpoints) > 1:
        said.append(f"The first of {len(subject.checkpoints)} checkpoints was looked at.")
    return said


def _spectra(features: np.ndarray, floors: Sequence[np.ndarray], inputs: np.ndarray | None) -> Plot:
    shares = [_shares(floor) for floor in floors]
    low, high = np.min(shares, axis=0), np.max(shares, axis=0)
    own = _shares(features)
    series = [
        Series("pre-trained", _count(own), own.tolist()),
        Series("random networks", _count(low), np.mean(shares, axis=0).tolist(), low.tolist(), high.tolist(), "dashed"),
    ]
    if inputs is not None:
        shares_in = _shares(inputs)[: 4 * len(own)]
        series.append(Series("inputs", _count(shares_in), shares_in.tolist()))
    caption = f"Share of variance of each direction, sorted; the band spans {len(floors)} random networks."
    return Plot(caption, "direction", "share of variance", series, log_x=True, log_y=True)


def _shares(cloud: np.ndarray) -> np.ndarray:
    values = spectrum(cloud)
    return values / max(float(values.sum()), 1e-300)


def _count(values: np.ndarray) -> list[float]:
    return list(range(1, len(values) + 1))


def _live(history: Sequence[Mapping[str, Any]], floor: float) -> Plot:
    steps = [line["step"] for line in history]
    series = [
        Series("pre-training", steps, [line["monitor_rank"] for line in history]),
        Series("random networks", [steps[0], steps[-1]], [floor, floor], style="dashed"),
    ]
    return Plot("Effective rank at the monitor's looks, one run.", "step", "directions", series)


def _listing(clouds: Mapping[str, np.ndarray], found: Judgement) -> Listing:
    every = {name: figures(cloud) for name, cloud in clouds.items()}
    rows = [[figure, *(one[figure] for one in every.values())] for figure in next(iter(every.values()))]
    rows.append(
        ["rank of as many Gaussian vectors", found.gaussian_rank, found.gaussian_rank, *[None] * (len(every) - 2)]
    )
    return Listing("Figures of each cloud of features", ["figure", *every], rows)


def _cloud(
    what: str, scale: float, alive: int, wanted: tuple[str, ...], least: float, *, rng: np.random.Generator
) -> Trial:
    """400 examples around an offset, 20 times; `alive` of 64 directions have any variance to speak of."""
    runs, right, ratios = 20, 0, []
    for _ in range(runs):
        floors = [_decaying(rng) + 1 for _ in range(3)]
        features = scale * _decaying(rng) * np.where(np.arange(64) < alive, 1, 1e-3) + 1
        found = judge(features, floors, int(rng.integers(1 << 30)))
        right += found.verdict in wanted
        ratios.append(found.ratio)
    return Trial(what, wanted, right, runs, least, {"ratio of ranks": float(np.mean(ratios))})


def _decaying(rng: np.random.Generator) -> np.ndarray:
    """(400, 64) normal features whose variances fall as 1 / k."""
    return rng.standard_normal((400, 64)) * np.arange(1, 65) ** -0.5


def _trained(what: str, kind: Literal["alignment", "vicreg"], alarmed: bool, seed: int, runs: int = 3) -> Trial:
    monitors = [watched(kind, seed + run, probe=False)[0] for run in range(runs)]
    raised = [monitor.alarm["step"] for monitor in monitors if monitor.alarm]
    right = len(raised) if alarmed else runs - len(raised)
    figures_of = {"step of the alarm": float(np.mean(raised))} if raised else {}
    return Trial(what, ("COLLAPSED",) if alarmed else ("HEALTHY",), right, runs, 1.0, figures_of)


__all__ = ["CollapseAudit", "live_history"]
