"""Supervised pre-training on many sparsely labelled properties at once, each with a head of its own.

As multitask networks over many assays (Ramsundar et al. 2015, arXiv 1502.02072) and pre-training on molecular
properties (Beaini et al. 2024, arXiv 2310.04292) do it. Shapes: M items, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch, Features, segment_mean
from exapt.domains.base import Dataset, Domain
from exapt.domains.labels import listed
from exapt.errors import InputError, nearest
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.guess import Guess
from exapt.objectives.property import NUMERIC, PropertySpec
from exapt.objectives.property_heads import Heads, Said, in_order
from exapt.objectives.property_kinds import only
from exapt.objectives.property_labels import encoded, settled
from exapt.objectives.weighing import Uncertainty
from exapt.spec import digest

LOGGED = 40
"""The loss of each head is logged up to so many heads; of more, the mean of all alone."""


class PropertiesSpec(PretextSpec):
    """Learn columns of the corpus, a head each. A label that is missing costs nothing."""

    kind: Literal["properties"] = "properties"
    heads: dict[str, PropertySpec] | list[str] | None = Field(default=None, min_length=1)
    """The heads by name, such as `{gap: {kind: value}, tags: {column: structure, per: element}}`, or the names of
    columns alone; None: every column that `corpus.label` names."""
    weighing: Literal["fixed", "uncertainty"] = "fixed"
    """`fixed`: the mean of the heads' losses by their weights; `uncertainty`: each first weighed by a variance that is
    learnt with the rest, so that a head of noise weighs less."""
    hidden: PositiveInt | None = None
    """Width of a layer between the features of elements and all linear heads, before an example's are averaged; None:
    heads are linear in the features."""
    constant: Literal["refuse", "drop"] = "refuse"
    """What a column of one value, or of no labels, does: stop, or be left out. With many columns of few labels some may
    end up so."""
    augment: bool = False
    """Train on one random view of each example (`domain.views`), as contrastive objectives do."""

    @property
    def reads_labels(self) -> bool:
        return True

    @property
    def positive(self) -> bool:  # type: ignore[override]  # a class's constant elsewhere
        return self.weighing == "fixed"

    def settled(self, dataset: Dataset, domain: Domain) -> Self:
        """With every head's column, kind and scale written out.

        Raises `InputError` for a column that was not read, or that teaches nothing.
        """
        heads = self._named(dataset)
        for name, head in heads.items():
            _check_read(name, head.column or name, dataset, domain)
        done = {name: head for name, head in heads.items() if head.column and head.known}
        for name in [name for name in heads if name not in done]:
            head = heads[name].model_copy(update={"column": heads[name].column or name})
            held = only(dataset, head)
            if not held:
                done[name] = settled(head, dataset, domain)
            elif self.constant == "refuse":
                raise InputError(
                    f"{dataset.source}: column '{head.column}' holds {held}; a head needs different labels: leave it "
                    "out, or set objective.constant=drop"
                )
        if not done:
            raise InputError(f"{dataset.source}: no column is left: all of {listed(list(heads))} hold one value")
        return self.model_copy(update={"heads": {name: done[name] for name in heads if name in done}})

    def attach(self, dataset: Dataset, domain: Domain) -> Dataset:
        """The corpus with the labels of every head, standardised; raises `InputError` naming the row of a bad one."""
        heads = self._settled()
        targets, element_targets = dict(dataset.targets), dict(dataset.element_targets)
        of_examples, of_elements = in_order(heads, "example"), in_order(heads, "element")
        if of_examples:
            rows = [np.concatenate(encoded(head, dataset)) for head in of_examples.values()]
            targets[self.target] = np.concatenate(rows, 1)
        if of_elements:
            parts = zip(*(encoded(head, dataset) for head in of_elements.values()), strict=True)
            joined = [np.concatenate(part, 1) for part in parts]
            element_targets[self.target] = np.fromiter(joined, dtype=object, count=len(dataset))
        return replace(dataset, targets=targets, element_targets=element_targets)

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """The heads; raises `InputError` before `settled`, and for vectors of a backbone that has none."""
        heads = self._settled()
        turning = next((name for name, head in heads.items() if head.kind == "vector"), None)
        if turning is not None and not backbone.vectors:
            raise InputError(
                f"objective.heads.{turning}: a vector needs a backbone whose features turn, and "
                f"{type(backbone).__name__} has none; set backbone.kind=equivariant, or kind: values"
            )
        return Properties(self, heads, domain, backbone.width, seed)

    @property
    def target(self) -> str:
        """Under which name labels travel with the corpus: two parts of a battery may learn unlike columns."""
        return f"pretext properties {digest({name: head.plain() for name, head in self._settled().items()})}"

    def _named(self, dataset: Dataset) -> dict[str, PropertySpec]:
        if isinstance(self.heads, dict):
            return self.heads
        names = self.heads or list(dataset.roles.get("label", ()))
        if not names:
            raise InputError(
                f"{dataset.source}: objective.kind=properties learns columns of the corpus; name them in corpus.label, "
                f"or in objective.heads ({nearest('', dataset.columns)})"
            )
        return {name: PropertySpec() for name in names}

    def _settled(self) -> dict[str, PropertySpec]:
        if not isinstance(self.heads, dict) or not all(head.column and head.known for head in self.heads.values()):
            raise InputError(
                "objective.heads is not known before a corpus is read; give column, kind, per, and scale or classes of "
                "every head"
            )
        return self.heads


def _check_read(name: str, column: str, dataset: Dataset, domain: Domain) -> None:
    """Raise `InputError` for a column that was not read, or whose test labels nobody would take out."""
    named = dataset.roles.get("label", ())
    if column not in dataset.columns:
        raise InputError(
            f"{dataset.source}: objective.heads.{name}: no column '{column}' was read; "
            f"{nearest(column, dataset.columns)}; corpus.label says which are"
        )
    if domain.transductive and column not in named:
        raise InputError(
            f"{dataset.source}: objective.heads.{name}: name '{column}' in corpus.label too, so that the labels of "
            "test examples, which stay in this corpus, are taken out"
        )


class Properties(Objective):
    """The mean of the heads' losses over those that have a label in the batch, each a mean over its labels.

    So a head with few labels counts as much as one with many, whenever it has any. Over micro-batches and processes
    these means are weighed by examples, as in a battery.
    """

    recent: Tensor
    weights: Tensor

    def __init__(
        self,
        spec: PropertiesSpec,
        heads: Mapping[str, PropertySpec],
        domain: Domain,
        width: int,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        self.spec, self.domain, self.target = spec, domain, spec.target
        self.trunk = nn.Linear(width, spec.hidden) if spec.hidden else None
        if self.trunk is not None:
            nn.init.normal_(self.trunk.weight, std=width**-0.5, generator=rng)
            nn.init.zeros_(self.trunk.bias)
        given, kinds = spec.hidden or width, {head.per for head in heads.values()}
        self.of_examples = Heads(heads, "example", width, given, rng) if "example" in kinds else None
        self.of_elements = Heads(heads, "element", width, given, rng) if "element" in kinds else None
        self.heads = {n: head for level in self.levels for n, head in level.heads.items()}
        """Every head, in the order of losses."""
        squared = [head.kind in NUMERIC for head in self.heads.values()]
        self.uncertainty = Uncertainty(squared) if spec.weighing == "uncertainty" else None
        self.register_buffer("weights", torch.tensor([h.weight for h in self.heads.values()]), persistent=False)
        self.register_buffer("recent", torch.tensor([_ignorant(head) for head in self.heads.values()]))

    @property
    def levels(self) -> list[Heads]:
        """Heads of examples, then of elements, where there are any."""
        return [level for level in (self.of_examples, self.of_elements) if level is not None]

    @property
    def squared(self) -> bool:  # type: ignore[override]  # a class's constant elsewhere, here what the heads make it
        return all(head.kind in NUMERIC for head in self.heads.values())

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        """The weighted mean over heads that have a label here; 0, of no items, where none has."""
        if self.spec.augment and self.training:
            batch = self.domain.views(batch, rng, count=1)[0]
        sums, counts = self.costs(backbone(batch), batch)
        losses, seen = sums / counts.clamp(min=1), counts > 0
        counted = losses if self.uncertainty is None else self.uncertainty(losses, seen)
        shares = self.weights * seen
        value = (shares * counted).sum() / shares.sum().clamp(min=1e-12)
        return Loss(value, len(batch) if bool(seen.any()) else 0, self._terms(losses.detach(), seen))

    def costs(self, features: Features, batch: Batch) -> tuple[Tensor, Tensor]:
        """(H,) the summed loss of every head, and (H,) how many labels it is of."""
        found = []
        for level, said in self.said(features):
            targets = batch.targets if level.per == "example" else batch.element_targets
            if self.target not in targets:
                raise InputError("objective.kind=properties: these examples carry no labels; attach them to the set")
            found.append(level.costs(said, targets[self.target]))
        return torch.cat([sums for sums, _ in found]), torch.cat([counts for _, counts in found])

    def said(self, features: Features) -> list[tuple[Heads, Said]]:
        """What the heads of either kind of item say, on the corpus's scale."""
        given = features.elements if self.trunk is None else F.silu(self.trunk(features.elements))
        items = {"example": segment_mean(given, features.offsets), "element": given}
        return [(level, level(features, items[level.per])) for level in self.levels]

    def _terms(self, losses: Tensor, seen: Tensor) -> dict[str, float | Tensor]:
        """The loss of every head, in a batch without its labels the last there was, and its log-variance."""
        recent = torch.where(seen, losses, self.recent)
        if self.training:
            self.recent.copy_(recent)
        terms: dict[str, float | Tensor] = {"mean of heads": recent.mean()}
        if len(self.heads) <= LOGGED:
            terms |= {f"{name}.loss": one for name, one in zip(self.heads, recent, strict=True)}
            if self.uncertainty is not None:
                spread = self.uncertainty.log_variances.detach()
                terms |= {f"{name}.log_variance": one for name, one in zip(self.heads, spread, strict=True)}
        return terms

    @property
    def guesses(self) -> bool:
        """Whether all heads say one thing of examples: numbers, yes or no, or the class of a single head."""
        return self._one_kind is not None

    @property
    def _one_kind(self) -> Literal["values", "labels", "classes"] | None:
        kinds = {head.kind for head in self.heads.values()}
        if self.of_elements is not None:
            return None
        if kinds <= set(NUMERIC):
            return "values"
        if kinds == {"binary"}:
            return "labels"
        return "classes" if kinds == {"classes"} and len(self.heads) == 1 else None

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        """What it says of every example with a label, or where examples carry none, as in LwF, of all of them."""
        kind, level = self._one_kind, self.of_examples
        if kind is None or level is None:
            return super().guess(backbone, batch, rng)
        ((_, said),) = self.said(backbone(batch))
        output = {"values": said.numbers, "labels": said.binary, "classes": (said.classes or [said.binary])[0]}[kind]
        if self.target in batch.targets:
            target = batch.targets[self.target].to(output)
            owner = target.isfinite().any(1).nonzero().squeeze(1)
        else:
            target = output.new_full((len(batch), len(level.owner)), torch.nan)
            owner = torch.arange(len(batch), device=output.device)
        wanted = target[owner]
        if kind == "classes":
            wanted = torch.where(wanted.isfinite(), wanted, -1.0)[:, 0].long()
        return Guess(kind, output[owner], wanted, owner)


def _ignorant(head: PropertySpec) -> float:
    """The loss of knowing nothing but the mean, or how many classes there are."""
    return {"binary": math.log(2), "classes": math.log(max(2, len(head.classes or ())))}.get(head.kind or "", 1.0)
