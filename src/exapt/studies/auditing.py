"""Audits of a study: what they look at, and their findings on disk, computed again only where something changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from exapt.audits import AUDITS, Audit, Subject
from exapt.errors import InputError
from exapt.evidence.finding import Finding
from exapt.files import read_json, write_json
from exapt.spec import digest
from exapt.studies.executor import one_thread, run_apart
from exapt.studies.prepare import Prepared, corpus_of
from exapt.training.weights import room_for

Say = Callable[[str], None]


def subject_of(prepared: Prepared, fits: Sequence[dict[str, Any]] = ()) -> Subject:
    """A study as its audits see it."""
    spec, split = prepared.spec, prepared.split
    return Subject(
        start=prepared.first,
        fresh=prepared.fresh,
        corpus=lambda: corpus_of(prepared),
        labelled=prepared.labelled,
        pool=split.pool,
        test=split.test,
        task=prepared.task,
        adapt=spec.tuning,
        probe=spec.probe,
        budgets=sorted(spec.budgets),
        seeds=spec.seeds,
        checkpoints=prepared.checkpoints,
        fits=fits,
        items=lambda record: _items(prepared.folder.path, record),
        cache=prepared.folder.cache,
    )


def audit_all(
    prepared: Prepared, audits: Sequence[Audit], fits: Sequence[dict[str, Any]], say: Say = lambda _: None
) -> list[dict[str, Any]]:
    """The finding of every audit of a study, plain; one that refuses says why in its place, and the rest goes on."""
    found = []
    for audit in audits:
        try:
            found.append(audit_one(prepared, audit, fits, say))
        except InputError as error:
            say(str(error))
            found.append(_refused(audit, str(error)))
    return found


def audit_apart(prepared: Prepared, fits: Sequence[dict[str, Any]], workers: int, say: Say) -> None:
    """Make the study's missing findings side by side; `audit_all` then finds them on disk."""
    jobs = [{"audit": audit.plain()} for audit in prepared.spec.audits if _standing(prepared, audit, fits) is None]
    if workers < 2 or len(jobs) < 2:
        return
    say(f"{len(jobs)} audits")
    run_apart(jobs, prepared.folder.path, workers, lambda job: say(f"audited {job['audit']['kind']}"))


def audit_job(prepared: Prepared, plain: dict[str, Any], fits: Sequence[dict[str, Any]]) -> None:
    """Make one finding in a worker; a refusal is left to `audit_all`, which puts it into the report."""
    with suppress(InputError):
        audit_one(prepared, AUDITS[plain["kind"]].parse(plain), fits)


def _refused(audit: Audit, why: str) -> dict[str, Any]:
    """What the report shows of an audit that could not be made; it is tried anew the next time."""
    spec = audit.plain()
    how = f"not made: {why}"
    return Finding(spec["kind"], "NOT POSSIBLE", None, None, 0, how, sentence=why).plain() | {"spec": spec}


def audit_one(
    prepared: Prepared, audit: Audit, fits: Sequence[dict[str, Any]], say: Say = lambda _: None
) -> dict[str, Any]:
    """An audit's finding, plain; one that stands on disk for the same evidence is not computed again.

    Raises `InputError` where the evidence does not suffice.
    """
    standing = _standing(prepared, audit, fits)
    if standing is not None:
        return standing
    say(f"audit {audit.plain()['kind']}")
    with one_thread():
        finding: Finding = audit.run(subject_of(prepared, fits))
    path = finding_file(prepared, audit)
    plain = finding.plain() | {"key": audit_key(prepared, audit, fits), "spec": audit.plain()}
    with room_for(path):
        write_json(path, plain)
    return plain


def _standing(prepared: Prepared, audit: Audit, fits: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The finding on disk, where it is of the same evidence."""
    path = finding_file(prepared, audit)
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found if found.get("key") == audit_key(prepared, audit, fits) else None


def noted_audits(
    prepared: Prepared, fits: Sequence[dict[str, Any]], but: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Findings on disk of audits that were asked for by themselves, as long as they are of the same evidence."""
    found = []
    for path in sorted((prepared.folder.path / "findings").glob("audit-*.json")):
        spec = read_json(path).get("spec", {})
        if spec.get("kind") in AUDITS and spec not in but:
            standing = _standing(prepared, AUDITS[spec["kind"]].parse(spec, str(path)), fits)
            found += [standing] if standing else []
    return found


def finding_file(prepared: Prepared, audit: Audit) -> Path:
    """Where an audit's finding stands; with other keys it is another one."""
    return prepared.folder.path / "findings" / f"audit-{audit.plain()['kind']}-{audit.digest()[:8]}.json"


def audit_key(prepared: Prepared, audit: Audit, fits: Sequence[dict[str, Any]]) -> str:
    """What decides an audit's finding: its spec, the checkpoints, the labelled data and the fits."""
    weights = [read_json(path / "exapt.json")["checksums"] for path in prepared.checkpoints]
    return digest([audit.plain(), weights, prepared.data_key, sorted(str(fit.get("file")) for fit in fits)])


def _items(folder: Path, record: dict[str, Any]) -> np.ndarray:
    path = (folder / record["file"]).with_suffix(".npy")
    if not path.is_file():
        raise InputError(f"{path}: no such file; the fit's scores of single examples are gone: delete {record['file']}")
    found: np.ndarray = np.load(path, allow_pickle=False)
    return found
