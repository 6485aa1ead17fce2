"""Effects of mutants: scores of a network that never saw one measured, and what a few measurements add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exapt.adaptation.few_variants import few_labels
from exapt.adaptation.fillers import filler_of
from exapt.adaptation.variants import HOWS, How, Scorer
from exapt.domains.base import Source
from exapt.domains.fasta import read_sequences
from exapt.domains.mutations import RESIDUES, read_mutants
from exapt.domains.opening import FASTA, TABLES, find_files
from exapt.domains.pieces import Letters, Wanted
from exapt.domains.tables import read_table
from exapt.errors import InputError
from exapt.studies.tables import check_ending, write_table
from exapt.tasks.metrics import spearman

DRAWS = 1000
USUAL = ("mutant", "mutation", "mutations", "variant", "hgvs_pro", "mutated_residue")
"""Usual names of the column with the codes."""


def score_variants(
    checkpoint: Path,
    table: str,
    wild_type: str,
    out: Path | None,
    column: str | None = None,
    label: str | None = None,
    beside: Sequence[str] = (),
    offset: int = 0,
    how: Sequence[How] = ("masked-marginals",),
    budgets: Sequence[int] = (),
    seeds: int = 5,
) -> dict[str, Any]:
    """Score every mutant of a table; where `label` is a measured effect, say how the ranks agree.

    `wild_type` is a FASTA with one record, or the sequence itself. Raises `InputError` naming the row of a mutant that
    does not fit the wild type, with the offset that would.
    """
    if out is not None:
        check_ending(out)
    for one in how:
        if one not in HOWS:
            raise InputError(f"--how {one}; valid: {', '.join(HOWS)}")
    wild = read_wild(wild_type)
    columns = read_columns(table, column, [*([label] if label else []), *beside])
    mutants = read_mutants(columns.pop("mutant"), wild, offset, table)
    scorer = Scorer(filler_of(checkpoint), wild)
    scores: dict[str, np.ndarray] = {name: scorer.scores(mutants, name) for name in how}
    measured = numbers(columns.pop(label), label, table) if label else None
    others = {name: numbers(values, name, table) for name, values in columns.items()}
    if out is not None:
        write_table(out, {"mutant": np.array([m.code for m in mutants], dtype=object), **others, **scores})
    found: dict[str, Any] = {"mutants": len(mutants), "out": None if out is None else str(out)}
    found |= {"stops": sum(m.stop for m in mutants), "synonymous": sum(not m.changes for m in mutants)}
    if measured is not None:
        found |= agreement(scores | others, measured)
        found["few_labels"] = [
            {"score": name} | row
            for name, values in (scores | others).items()
            for row in (few_labels(mutants, wild, measured, values, budgets, seeds) if budgets else [])
        ]
    return found


def read_wild(given: str) -> str:
    """One sequence, in capitals, from a FASTA of one record or as it stands."""
    letters = given.strip().upper()
    if letters and set(letters) <= set(RESIDUES + "X"):
        return letters
    (file,) = find_files(given, FASTA, "a FASTA with the wild type, or its sequence")[:1]
    records: list[str] = []
    for piece in read_sequences(file, Wanted.of(Source(path=given), ())):
        assert isinstance(piece.values, Letters)
        text = piece.values.codes.tobytes().decode("latin-1").upper()
        stops = piece.values.lengths.cumsum().tolist()
        records += [text[a:b] for a, b in zip([0, *stops], stops, strict=False)]
    if len(records) != 1:
        raise InputError(f"{given}: {len(records)} records; the wild type must be the only one")
    wild = records[0].removesuffix("*")
    wrong = next((i for i, letter in enumerate(wild) if letter not in RESIDUES + "X"), None)
    if wrong is not None:
        what = "an alignment's gap; take the gaps out" if wild[wrong] in "-." else "no amino acid"
        raise InputError(f"{given}: position {wrong + 1}: '{wild[wrong]}' is {what}; valid: {RESIDUES}, and X")
    return wild


def read_columns(table: str, column: str | None, others: Sequence[str]) -> dict[str, list[Any]]:
    """The codes under `mutant`, and other columns under their names."""
    found: dict[str, list[Any]] = {"mutant": []} | {name: [] for name in others}
    source = Source(path=table, column=column, label=list(others) or None)
    for file in find_files(table, TABLES, "a .csv, .tsv, .jsonl or .parquet with a column of mutants such as A24G"):
        for piece in read_table(file, Wanted.of(source, USUAL)):
            assert not isinstance(piece.values, Letters)
            found["mutant"] += ["" if value is None else str(value) for value in piece.values]
            for name in others:
                found[name] += list(piece.columns[name])
    return found


def numbers(values: Sequence[Any], name: str, table: str) -> np.ndarray:
    """(m,) a column as numbers, NaN where empty."""
    found = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        text = "" if value is None else str(value).strip()
        try:
            found[row] = float(text) if text else np.nan
        except ValueError:
            raise InputError(f"{table}: row {row + 1}: '{name}' is '{text[:30]}', no number") from None
    return found


def agreement(scores: dict[str, np.ndarray], measured: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Spearman's ρ of every score with what was measured, on the mutants that all of them know, with 90 % bootstrap."""
    known = np.isfinite(measured) & np.all([np.isfinite(values) for values in scores.values()], axis=0)
    own = np.isfinite(measured)
    rows = {}
    for name, values in scores.items():
        rows[name] = {
            **_rank(values[known], measured[known], seed),
            "all": _rank(values[own & np.isfinite(values)], measured[own & np.isfinite(values)], seed),
        }
    return {"common": int(known.sum()), "spearman": rows}


def _rank(values: np.ndarray, measured: np.ndarray, seed: int) -> dict[str, float]:
    if len(values) < 3:
        raise InputError(f"{len(values)} mutants have both a score and a measured effect; ranks need at least 3")
    rng = np.random.default_rng(seed)
    draws = [rng.integers(len(values), size=len(values)) for _ in range(DRAWS)]
    spread = [spearman(values[d], measured[d]) or 0.0 for d in draws]
    low, high = np.quantile(spread, [0.05, 0.95])
    return {"rho": spearman(values, measured) or 0.0, "low": float(low), "high": float(high), "n": len(values)}


def sentence(found: dict[str, Any]) -> str:
    """What was found, in lines."""
    stops, silent = found["stops"], found["synonymous"]
    lines = [f"{found['mutants']} mutants scored ({stops} stops have no score, {silent} change nothing)"]
    if "spearman" in found:
        common = found["common"]
        lines.append(f"Spearman's ρ with what was measured, on {common} mutants that all scores know (90 % bootstrap):")
        for name, row in found["spearman"].items():
            alone = row["all"]
            more = f"; on all {alone['n']} of its own {alone['rho']:.3f}" if alone["n"] != found["common"] else ""
            lines.append(f"  {name:<42}{row['rho']:7.3f}  {row['low']:.3f} to {row['high']:.3f}{more}")
    for row in found.get("few_labels", []):
        lines.append(
            f"  {row['labels']:>5} labels: letters {row['one-hot']:.3f}, with {row['score']} {row['augmented']:.3f}, "
            f"difference {row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}, {row['seeds']} seeds)"
        )
    return "\n".join([*lines, *([found["out"]] if found["out"] else [])])
