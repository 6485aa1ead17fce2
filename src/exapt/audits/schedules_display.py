"""The words, curves and tables of the audit of schedules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from exapt.evidence.finding import Listing, Plot, Series
from exapt.evidence.ranking import Agreement, Ranking


def sentence(
    pretraining: Ranking | None, tuning: Ranking | None, metric: str, seeds: int, told: Agreement | None
) -> str:
    """What each kind of schedule came to, and what the loss says of it."""
    parts = [
        _ranked(what, one, metric, seeds)
        for what, one in (("pre-training", pretraining), ("fine-tuning", tuning))
        if one
    ]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}" + (f". {_told(told)}" if told else ".")


def _ranked(what: str, one: Ranking, metric: str, seeds: int) -> str:
    first, second = one.rows[0], one.rows[1]
    gap, low, high = first.to_best
    lead = f"{gap:+.3f} {metric} over {second.name} (interval {low:+.3f} to {high:+.3f}, n = {seeds} seeds)"
    if one.best:
        return f"for {what} {one.best} was best, {lead}"
    alike = f", and all are within {one.margin:g} of the best" if one.alike else ""
    return f"for {what} none of {len(one.rows)} schedules stands out (highest mean: {first.name}, {lead}){alike}"


def _told(told: Agreement) -> str:
    words = f"rank correlation {told.spearman:+.2f}, 90 % interval {told.low:+.2f} to {told.high:+.2f} over seeds"
    if not np.isfinite(told.spearman):
        return (
            "Whether the pre-training loss ranks schedules as the score does cannot be said: one of them is constant."
        )
    if told.low > 0:
        return f"The pre-training loss ranks them as the score does, if not perfectly ({words})."
    if told.high < 0:
        return f"The pre-training loss ranks them the other way round ({words}): do not choose by it."
    return f"The pre-training loss does not show which is better for the task ({words}): do not choose by it."


def caveats(
    seeds: int, told: Agreement | None, losses: np.ndarray, scores: np.ndarray, names: Sequence[str]
) -> list[str]:
    """How it could be wrong."""
    said = ["Every schedule had the same peak rate and steps: one that wants another rate is at a disadvantage."]
    said.append("The intervals take errors to be normal and of one spread; mean ranks and Friedman's p do not.")
    if seeds < 5:
        said.append(f"{seeds} seeds: only large differences can stand out.")
    if told is not None and (loss := int(losses.mean(0).argmin())) != (score := int(scores.mean(0).argmax())):
        said.append(f"The lowest pre-training loss is {names[loss]}'s, the highest score {names[score]}'s.")
    diverged = [name for name, column in zip(names, losses.T, strict=True) if not np.isfinite(column).all()]
    if diverged:
        said.append(f"Pre-training diverged under {', '.join(diverged)}; its fits count as knowing nothing.")
    return said


def plots(losses: np.ndarray, scores: np.ndarray, names: Sequence[Sequence[str]], metric: str) -> list[Plot]:
    """Each pre-training schedule's loss against its score, one point a seed; a diverged one is left out."""
    series = []
    for place, name in enumerate(names[0]):
        sound = np.isfinite(losses[:, place])
        if sound.any():
            x, y = losses[sound, place], scores[sound, place].mean(1)
            series.append(Series(name, x.tolist(), y.tolist(), style="points"))
    caption = (
        f"Score against held-out pre-training loss, one point for each of {len(losses)} seeds, mean over the "
        f"{len(names[1])} schedules of fine-tuning. Were the loss to tell, points would fall from left to right."
    )
    return [Plot(caption, "held-out pre-training loss", metric, series)] if series else []


def listings(
    pretraining: Ranking | None,
    tuning: Ranking | None,
    losses: np.ndarray,
    scores: np.ndarray,
    names: Sequence[Sequence[str]],
) -> list[Listing]:
    """A ranking of each kind, and every combination."""
    found = []
    if pretraining:
        means = dict(zip(names[0], losses.mean(0), strict=True))
        found.append(_listing("Schedules of pre-training", pretraining, means))
    if tuning:
        found.append(_listing("Schedules of fine-tuning", tuning, {}))
    return [*found, _cells(scores, names)]


def _listing(caption: str, one: Ranking, losses: dict[str, float]) -> Listing:
    head = ["schedule", "mean score", "to the best other", "interval", "mean rank", "90 % interval of it"]
    rows = []
    for row in one.rows:
        gap, low, high = row.to_best
        middle, least, most = row.rank
        cells = [row.name, row.mean, gap, f"{low:+.3f} to {high:+.3f}", middle, f"{least:.1f} to {most:.1f}"]
        rows.append([*cells, row.p_holm, *([float(losses[row.name])] if losses else [])])
    more = ["p of being worse than the first, Holm", *(["mean held-out loss"] if losses else [])]
    p = "" if not np.isfinite(one.friedman) else f"; Friedman's p that all rank alike {one.friedman:.2g}"
    return Listing(f"{caption}, over {one.seeds} seeds{p}", [*head, *more], rows)


def _cells(scores: np.ndarray, names: Sequence[Sequence[str]]) -> Listing:
    """Every combination with its t-interval over seeds."""
    half = stats.t.ppf(0.95, len(scores) - 1) * scores.std(0, ddof=1) / np.sqrt(len(scores))
    mean = scores.mean(0)
    rows = [
        [f"{before}, then {after}", mean[p, t], f"{mean[p, t] - half[p, t]:.3f} to {mean[p, t] + half[p, t]:.3f}"]
        for p, before in enumerate(names[0])
        for t, after in enumerate(names[1])
    ]
    return Listing("Every combination", ["schedules", "mean score", "90 % interval over seeds"], rows, long=True)
