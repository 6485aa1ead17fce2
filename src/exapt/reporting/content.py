"""What the report says, in order: the verdict, the evidence for it, then everything it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exapt.evidence.unit import count, p_text, times
from exapt.reporting import audits, boxes, evidence, further, record
from exapt.reporting.blocks import Page, Section
from exapt.reporting.numbers import Plain, amount, difference, unit_of


def build(data: Mapping[str, Any]) -> Page:
    """The page of a report's plain data; parts that are not there are left out."""
    verdict = data.get("verdict") or {}
    sections = [
        evidence.learning(data.get("curves"), verdict),
        evidence.by_budget(data.get("curves"), verdict),
        evidence.saved(verdict),
        evidence.pairs(verdict),
        evidence.arms(data.get("curves"), verdict),
        further.figures(data.get("figures") or []),
        boxes.examples(data.get("shown") or []),
        audits.overview(data.get("audits") or []),
        *audits.each(data.get("audits") or []),
        record.pretraining(data.get("pretraining") or {}),
        *(
            record.pretraining(start, f"Pre-training: {start['name']}", folded=True)
            for start in data.get("starts") or []
        ),
        record.corpus_and_split(data.get("data") or {}),
        record.method(data.get("method") or [], verdict),
        record.failures(verdict),
        record.every_number(data.get("fits") or []),
        record.environment(data.get("environment") or {}),
    ]
    return Page(
        title=str(data.get("title", "study")),
        about=str(data.get("about") or ""),
        sentence=str(verdict.get("sentence", "No verdict was reached.")),
        verdict=str(verdict.get("verdict", "no verdict")),
        key=_key(verdict, data),
        notes=[str(note) for note in [*(verdict.get("notes") or []), *(data.get("warnings") or [])]],
        sections=[section for section in sections if isinstance(section, Section)],
    )


def _key(verdict: Plain, data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The four numbers at the top."""
    if not verdict.get("main"):
        return []
    unit, overall = unit_of(verdict), verdict["main"]["overall"]
    gain = difference(overall, unit)
    what = f"points of {unit.metric}" if unit.points else unit.metric
    key = [("Difference", gain.text, f"{what}, {gain.detail}")]
    saved = verdict.get("labels_saved") or {}
    if saved.get("headline") and overall["verdict"] in ("HELPS", "HARMS"):
        key.append(_labels(saved["headline"]))
    key.append(("Certainty", f"{overall['n']} seeds", _certainty(overall)))
    fits = data.get("fits") or []
    if fits:
        arms, budgets, seeds = (len({f.get(key) for f in fits}) for key in ("arm", "budget", "seed"))
        failed = len(verdict.get("failures") or [])
        detail = f"{arms} arms × {budgets} budgets × {seeds} seeds, {failed or 'none'} diverged"
        key.append(("Evidence", f"{count(len(fits))} fits", detail))
    return key


def _certainty(overall: Plain) -> str:
    said = p_text(overall["p_signflip"])
    needed = overall.get("seeds_needed")
    return f"exact one-sided {said}" + (f"; {count(needed)} seeds would settle it" if needed else "")


def _labels(headline: Plain) -> tuple[str, str, str]:
    ratio = headline["multiplier"]
    value = {"at least": "≥ ", "at most": "≤ "}.get(ratio["bound"], "") + times(ratio["value"])
    return "Labels", value, f"{count(headline['labels'])} are worth {amount(headline['worth']).words}"
