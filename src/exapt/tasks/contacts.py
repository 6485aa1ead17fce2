"""Contacts: which residues of a chain lie near one another in space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch, Features, offsets_of, segment_sum
from exapt.domains.base import Dataset, Domain
from exapt.domains.labels import row
from exapt.domains.protein_chains import COORDINATES
from exapt.domains.tokens import SPECIAL
from exapt.errors import InputError
from exapt.objectives.base import Loss
from exapt.spec import Spec
from exapt.tasks.base import Augmentation, Task
from exapt.tasks.contact_scores import TOPS, each, table
from exapt.tasks.pair_head import PairHead, PairHeadSpec
from exapt.tasks.pairs import contacts_of, in_range, length_of


class ContactsSpec(Spec):
    """Pairs of residues nearer than a cutoff, at least 6 apart along the chain. Labels are places in space."""

    kind: Literal["contacts"] = "contacts"
    metric: Literal["P@L", "P@L/2", "P@L/5"] = "P@L"
    """The share of contacts among the L, L/2 or L/5 likeliest pairs of a chain of L residues, a mean over chains."""
    range: Literal["long", "medium", "short", "all"] = "long"
    """Which separations along the chain the metric is of: 24 and more, 12 to 23, 6 to 11, or 6 and more."""
    cutoff: PositiveFloat = 8.0
    """Å between the Cβ (of glycine Cα) of two residues."""
    longest: int = Field(default=512, ge=16)
    """Residues past this place of a chain have no labels: pairs grow with the square of the length."""
    head: PairHeadSpec = PairHeadSpec()
    """What fine-tuning puts on the network."""

    def build(self, dataset: Dataset) -> ContactsTask:
        """The task; raises `InputError` where no column holds places."""
        column_of(dataset)
        return ContactsTask(self)


class ContactsTask(Task):
    """Outputs (n, P) are logits of pairs, predictions their probabilities, the truth 1, 0 or −1 (not known)."""

    spec: ContactsSpec
    probed = False
    resamples = 200
    outputs = 0

    def __init__(self, spec: ContactsSpec) -> None:
        self.spec = spec
        self.metric_name = f"{spec.range}-range {spec.metric}" if spec.range != "all" else spec.metric

    def attach(self, dataset: Dataset) -> Dataset:
        """With places (L, 3) of every example as element targets, NaN where one is not known."""
        name = column_of(dataset)
        rows = np.empty(len(dataset), dtype=object)
        for place, (values, length) in enumerate(zip(dataset.column(name), dataset.lengths, strict=True)):
            rows[place] = places_of(values, int(length), f"{row(dataset, place)}: '{name}'")
            rows[place][self.spec.longest :] = np.nan
        return replace(dataset, element_targets={**dataset.element_targets, "label": rows})

    def head(self, width: int, seed: int | None = None) -> nn.Module:
        return PairHead(self.spec.head, width, seed)

    def ask(self, backbone: Backbone, head: nn.Module, batch: Batch) -> Tensor:
        output: Tensor = head(inner_features(backbone(batch), batch))
        return output

    def augmentation(self, domain: Domain) -> Augmentation | None:
        return None

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        """Mean binary cross entropy over the pairs that are known."""
        labels = self._labels(batch).to(output.device)
        width = min(output.shape[1], labels.shape[1])
        logits, labels = output[:, :width].float(), labels[:, :width]
        known = (labels >= 0) & ~logits.isnan()
        count = int(known.sum())
        if not count:
            whole = torch.where(labels >= 0, logits, 0.0)  # NaN, where all that is known was answered by NaN
            return Loss(whole.sum() * 0.0, 0)
        value = F.binary_cross_entropy_with_logits(logits[known], labels[known].float())
        return Loss(value, count)

    def _labels(self, batch: Batch) -> Tensor:
        """(B, P) 1, 0 or −1: as the batch holds them, or from its places."""
        if "label" in batch.targets:
            return batch.targets["label"]
        inner = inner_elements_of(batch)
        lengths = segment_sum(inner.long(), batch.offsets).tolist()
        places = batch.element_targets["label"][inner].cpu().numpy()
        parts = np.split(places, np.cumsum(lengths)[:-1])
        return torch.from_numpy(_stacked([contacts_of(part, self.spec.cutoff) for part in parts]))

    def decode(self, output: Tensor) -> np.ndarray:
        return output.detach().float().sigmoid().cpu().numpy()

    def truth(self, dataset: Dataset, kept: np.ndarray | None = None) -> np.ndarray:
        """(n, P) int8. Residues that a network does not see, past its longest example, count: missed is missed."""
        rows = [label[: self.spec.longest] for label in dataset.element_targets["label"]]
        return _stacked([contacts_of(label, self.spec.cutoff) for label in rows])

    def metric(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        """Mean over chains; chance where nothing is finite, or where no chain has a contact of the range."""
        scores = self.item_scores(prediction, truth)
        there = scores[np.isfinite(scores)]
        if not np.isfinite(prediction).any() or not len(there):
            return self.chance(truth)
        return float(there.mean())

    def item_scores(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return each(prediction, truth, self.spec.range, TOPS[self.spec.metric])

    def figures(self, prediction: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Precision at L, L/2 and L/5 of every range, with 90 % intervals over chains."""
        return table(prediction, truth)

    def chance(self, truth: np.ndarray) -> float:
        """The share of contacts among the pairs of the range, a mean over chains that have any."""
        chosen = in_range(length_of(truth.shape[1]), self.spec.range) & (truth >= 0)
        contacts, known = ((truth == 1) & chosen).sum(1), chosen.sum(1)
        there = contacts > 0
        return float((contacts[there] / known[there]).mean()) if there.any() else 0.0

    def labelled(self, dataset: Dataset) -> np.ndarray:
        known = [contacts_of(label, self.spec.cutoff) >= 0 for label in dataset.element_targets["label"]]
        return np.array([bool(pairs.any()) for pairs in known], dtype=bool)

    def counts(self, dataset: Dataset) -> dict[str, int]:
        found = [contacts_of(label, self.spec.cutoff) for label in dataset.element_targets["label"]]
        return {"contacts": sum(int((pairs == 1).sum()) for pairs in found)}

    def described(self, dataset: Dataset) -> dict[str, Any]:
        rows = dataset.element_targets["label"]
        missing = sum(int((~np.isfinite(label).all(1)).sum()) for label in rows)
        return {**self.counts(dataset), "residues without a place": missing}

    def plain(self) -> dict[str, Any]:
        return {"spec": self.spec.plain()}


def column_of(dataset: Dataset) -> str:
    """The column with places: the one the source names as label, else that of structure files."""
    named = dataset.roles.get("label", ())
    if len(named) > 1:
        raise InputError(f"{dataset.source}: task.kind=contacts takes one label column, found {', '.join(named)}")
    if not named and COORDINATES not in dataset.columns:
        raise InputError(
            f"{dataset.source}: no places in space to tell contacts from; give a folder of .pdb or .cif files, or set "
            "labelled.label to a column with [x, y, z] in Å for every residue"
        )
    return named[0] if named else COORDINATES


def places_of(values: Any, length: int, where: str) -> np.ndarray:
    """(L, 3) places in Å from a list of [x, y, z] or None; raises `InputError` for anything else."""
    try:
        rows = [[np.nan] * 3 if v is None else [np.nan if x is None else float(x) for x in v] for v in values]
        found = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    except (TypeError, ValueError):
        raise InputError(
            f"{where} holds {str(values)[:40]!r}; expected [x, y, z] in Å, or null, for every residue"
        ) from None
    if len(found) != length:
        raise InputError(f"{where} places {len(found)} residues, but the example has {length}")
    if length and found.shape[1] != 3:
        raise InputError(f"{where} has {found.shape[1]} numbers a residue; expected 3: x, y, z in Å")
    return found.reshape(-1, 3)


def inner_elements_of(batch: Batch) -> Tensor:
    """(N,) whether an element is of the example itself, not a start or end token."""
    return (batch.inputs != SPECIAL["start"]) & (batch.inputs != SPECIAL["end"])


def inner_features(features: Features, batch: Batch) -> Features:
    """Features without those of start and end tokens."""
    inner = inner_elements_of(batch)
    lengths = segment_sum(inner.long(), batch.offsets)
    return Features(features.elements[inner.to(features.elements.device)], offsets_of(lengths))


def _stacked(rows: list[np.ndarray]) -> np.ndarray:
    """(n, P) with −1 past the end of the shorter rows."""
    out = np.full((len(rows), max([0, *map(len, rows)])), -1, dtype=np.int8)
    for place, one in enumerate(rows):
        out[place, : len(one)] = one
    return out
