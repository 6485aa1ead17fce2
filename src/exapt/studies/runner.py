"""The whole of a study: data, pre-training, fits, evidence. What is on disk already is not computed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from exapt.audits import Audit
from exapt.errors import InputError
from exapt.evidence.conclude import Conclusion
from exapt.files import write_json
from exapt.studies.auditing import audit_all, audit_apart, audit_one, noted_audits
from exapt.studies.conclude import conclude_study, report_data
from exapt.studies.executor import cores, run_apart, run_here
from exapt.studies.fits import Job, pending, records, run_job
from exapt.studies.folder import RunFolder
from exapt.studies.prepare import Prepared, prepare, reopen
from exapt.studies.spec import StudySpec
from exapt.training.bar import Bar


@dataclass(frozen=True)
class StudyResult:
    """A finished study."""

    folder: Path
    conclusion: Conclusion
    data: dict[str, Any]
    """What the report shows, plain."""
    computed: int
    """Fits computed this time; 0 when everything stood on disk."""

    @property
    def verdict(self) -> str:
        """HELPS, HARMS, EQUIVALENT, NON-INFERIOR or INCONCLUSIVE."""
        return self.conclusion.verdict

    @property
    def sentence(self) -> str:
        """The report's first sentence."""
        return self.conclusion.sentence


def run_study(
    spec: StudySpec,
    folder: Path | str,
    workers: int | None = None,
    say: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> StudyResult:
    """Run a study into a folder, or go on where it stood.

    `workers` processes fit side by side (default: one a core); the result does not depend on their number. Raises
    `InputError` for a user's mistake.
    """
    run = RunFolder(folder)
    run.claim(spec)
    prepared = prepare(spec, run, say, progress)
    jobs = pending(prepared)
    say(f"{len(jobs)} fits to make, {len(records(prepared))} on disk")
    _make(prepared, jobs, min(workers or cores(), len(jobs)), Bar(len(jobs), show=progress, what="fits", unit="fit"))
    audit_apart(prepared, records(prepared), workers or cores(), say)
    return _result(prepared, len(jobs), say)


def _make(prepared: Prepared, jobs: list[Job], workers: int, bar: Bar) -> None:
    """Make the fits, here or side by side, and show how far they are."""
    made = count(1)

    def advance(job: Job) -> None:
        bar.update(next(made), f"{job['arm']}, {job['budget']} labels, seed {job['seed']}")

    try:
        if workers > 1:
            run_apart(jobs, prepared.folder.path, workers, advance)
        else:
            run_here(jobs, lambda job: run_job(prepared, job), advance)
    finally:
        bar.close()


def reread(folder: Path) -> StudyResult:
    """A finished study from what is on disk; computes no fit. Raises `InputError` when it is not finished."""
    return _result(_reopened(folder), 0)


def _reopened(folder: Path) -> Prepared:
    if not (folder / "study.yaml").is_file():
        raise InputError(f"{folder}: no run here (no study.yaml); give the folder that `exapt run` wrote")
    spec = StudySpec.parse(yaml.safe_load((folder / "study.yaml").read_text("utf-8")), str(folder / "study.yaml"))
    prepared = reopen(spec, RunFolder(folder))
    if not prepared.checkpoints:
        raise InputError(f"{folder}: this run has not come to its fits; go on with `exapt run`")
    return prepared


def audit_run(
    folder: Path, audit: Audit, say: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, Any], StudyResult]:
    """One more audit of a finished study: its finding, plain, and the study with it in its report."""
    prepared = _reopened(folder)
    finding = audit_one(prepared, audit, records(prepared), say)
    return finding, _result(prepared, 0)


def _result(prepared: Prepared, computed: int, say: Callable[[str], None] = lambda _: None) -> StudyResult:
    found = records(prepared)
    conclusion, findings = conclude_study(prepared, found)
    audits = audit_all(prepared, prepared.spec.audits, found, say)
    audits += noted_audits(prepared, found, but=[finding["spec"] for finding in audits])
    folder = prepared.folder.path
    for finding in findings:
        write_json(folder / "findings" / f"{finding.name}.json", finding.plain())
    return StudyResult(folder, conclusion, report_data(prepared, conclusion, findings, found, audits), computed)
