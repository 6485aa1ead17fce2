"""What the verbs found, in words for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exapt.audits import Trial


def sentence_of_variants(found: dict[str, Any]) -> str:
    """The scores' agreement with what was measured, in lines."""
    from exapt.studies.variants import sentence

    return sentence(found)


def sentence_of_generated(found: dict[str, Any]) -> str:
    """What was written, in words."""
    from exapt.studies import generating_sequences, molecule_figures

    words = (molecule_figures if "valid" in found else generating_sequences).sentence(found)
    return f"{words}\n{found['out']}"


def sentence_of_finding(finding: dict[str, Any]) -> str:
    """A finding in words."""
    caveats = "".join(f"\n  {caveat}" for caveat in finding["caveats"])
    return f"{finding['verdict']}. {finding['sentence'] or finding['how']}{caveats}"


def table_of_trials(trials: Sequence[Trial]) -> str:
    """A self-test in lines."""
    lines = []
    for trial in trials:
        figures = "".join(f", {name} {value:.4g}" for name, value in trial.figures.items())
        passed = "passed" if trial.passed else "FAILED"
        right = f"{trial.right} of {trial.runs} {' or '.join(trial.wanted)} (needs {trial.least:.0%})"
        lines.append(f"{passed}  {trial.what}: {right}{figures}")
    return "\n".join(lines)


def sentences_of_doctor(facts: dict[str, Any]) -> str:
    """The doctor's findings in words."""
    lines = [f"{name:<14}{version}" for name, version in facts["versions"].items()]
    machine = ", ".join(f"{k} {v}" for k, v in facts["machine"].items())
    lines += [f"{'machine':<14}{machine}", f"{'accelerator':<14}{facts['accelerator']}"]
    lines += [
        f"{'extra ' + n:<14}{'ready' if not e['missing'] else 'missing ' + ', '.join(e['missing'])}: {e['enables']}"
        for n, e in facts["extras"].items()
    ]
    return "\n".join(lines)


def sentence_of_fit(record: dict[str, Any]) -> str:
    """One line on a single fit."""
    low, high = record["interval"]
    return (
        f"{record['metric']} {record['score']:.4f} on {record['test']} test examples "
        f"(90 % interval over test examples {low:.4f} to {high:.4f}; "
        f"{record['train'] + record['valid']} labels, seed {record['seed']})\n{record['out']}"
    )


def table_of_probes(rows: list[dict[str, Any]]) -> str:
    """Probes in lines."""
    lines = [
        f"{'features':<12}{'probe':<8}{rows[0]['metric']:>10}   90 % interval (test examples, n = {rows[0]['test']})"
    ]
    lines += [
        f"{r['features']:<12}{r['probe']:<8}{r['score']:>10.4f}   {r['interval'][0]:.4f} to {r['interval'][1]:.4f}"
        for r in rows
    ]
    return "\n".join(lines)
