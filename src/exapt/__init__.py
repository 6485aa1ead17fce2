"""exapt: pre-training that proves itself.

>>> import exapt
>>> result = exapt.run("digits")          # doctest: +SKIP
>>> print(result.sentence)                # doctest: +SKIP

The verbs are those of the command line: run, pretrain, adapt, probe, prove, predict, embed, generate, export, report,
load, doctor.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "adapt": "exapt.verbs",
    "audit": "exapt.verbs",
    "doctor": "exapt.verbs",
    "embed": "exapt.verbs",
    "export": "exapt.verbs",
    "generate": "exapt.verbs",
    "list_studies": "exapt.verbs",
    "load": "exapt.verbs",
    "predict": "exapt.verbs",
    "pretrain": "exapt.verbs",
    "probe": "exapt.verbs",
    "prove": "exapt.verbs",
    "report": "exapt.verbs",
    "run": "exapt.verbs",
    "schema": "exapt.verbs",
    "show": "exapt.verbs",
    "shrink": "exapt.verbs",
    "Batch": "exapt.batch",
    "Features": "exapt.batch",
    "InputError": "exapt.errors",
    "StudySpec": "exapt.studies.spec",
    "Source": "exapt.domains.base",
    "compare": "exapt.evidence.paired",
    "from_arrays": "exapt.domains",
}

__all__ = [*_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """The public names, imported on first use so that `import exapt` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"exapt has no '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
