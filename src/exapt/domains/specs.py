"""All fields together: the union of their specs, and loading what any of them saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from exapt.domains.atoms import AtomsSpec
from exapt.domains.base import Arrays, Domain
from exapt.domains.dna import DnaSpec
from exapt.domains.graph import GraphSpec
from exapt.domains.image import ImageSpec
from exapt.domains.molecule import MoleculeSpec
from exapt.domains.protein import ProteinSpec
from exapt.domains.quantities import QuantitiesSpec
from exapt.domains.table import TableSpec
from exapt.domains.text import TextSpec
from exapt.errors import InputError
from exapt.files import read_json

DomainSpec = Annotated[
    TextSpec | DnaSpec | ProteinSpec | ImageSpec | TableSpec | GraphSpec | AtomsSpec | MoleculeSpec | QuantitiesSpec,
    Field(discriminator="kind"),
]
"""One of the fields, told apart by `kind`."""


def load_domain(folder: Path) -> Domain:
    """The domain that `domain.save(folder)` wrote; raises `InputError` where the folder holds none."""
    path = Path(folder) / "domain.json"
    saved = read_json(path)
    try:
        spec: DomainSpec = TypeAdapter(DomainSpec).validate_python(saved["spec"])
        return spec.restore(Path(folder), saved["learned"])
    except (ValidationError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a saved domain ({str(error).splitlines()[0]})") from None


def from_arrays(
    values: Sequence[Any] | np.ndarray,
    *,
    label: Sequence[Any] | np.ndarray | None = None,
    group: Sequence[Any] | np.ndarray | None = None,
    split: Sequence[Any] | np.ndarray | None = None,
) -> Arrays:
    """Texts, sequences, pictures or rows in memory as a source: `domain.read(from_arrays(texts, label=labels))`.

    Pictures are (n, H, W), (n, H, W, C) or torch's (n, 1 | 3, H, W), or a list of (H, W) or (H, W, C). Rows of a table
    are mappings from column names to values, as `df.to_dict("records")` gives them.
    """
    given = {"label": label, "group": group, "split": split}
    columns = {name: column for name, column in given.items() if column is not None}
    return Arrays(values, columns, **{name: name for name in columns})
