"""Several objectives in one run: a weighted sum over one backbone, each part with its own head and its own draws."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import torch
from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.guess import Guess
from exapt.objectives.weighing import Uncertainty
from exapt.spec import Spec

if TYPE_CHECKING:
    from exapt.objectives import ObjectiveSpec

NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*$")


class PartSpec(Spec):
    """One objective of a battery, and how much it weighs."""

    objective: ObjectiveSpec
    """The loss, described as any other."""
    weight: PositiveFloat = 1.0
    """What its loss is multiplied with. Losses have unlike sizes: the measured gradient shares say what weights do."""
    name: str | None = None
    """Under which it is logged; None: its kind, with a number where there are several."""


class BatterySpec(PretextSpec):
    """A weighted sum of objectives on the same examples, trained together from the first step."""

    kind: Literal["battery"] = "battery"
    parts: Annotated[list[PartSpec], Field(min_length=1)]
    """The objectives; each takes the whole batch."""
    measure: bool = True
    """Whether each part's share of the gradient is measured now and then, which raises the alarm at a dead part."""
    every: PositiveInt | None = None
    """Steps between measurements; None: twenty in a run."""
    examples: PositiveInt = 64
    """Examples of the fixed sample that is measured on: a measurement is a forward and a backward pass of every part
    over them."""
    weighing: Literal["fixed", "uncertainty"] = "fixed"
    """`fixed`: weights stay as they are set; `uncertainty`: each part is also weighed by a variance that is learnt with
    the rest (Kendall et al. 2018)."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        names = list(self.names)
        for name in names:
            if not NAME.match(name):
                raise ValueError(f"part name '{name}': small letters, digits, '_' and '-' only")
            if names.count(name) > 1:
                raise ValueError(f"two parts are named '{name}'; give each a name of its own")
        bad = next((n for n, part in zip(names, self.parts, strict=True) if not part.objective.positive), None)
        if self.weighing == "uncertainty" and bad is not None:
            raise ValueError(
                f"weighing: part '{bad}' weighs by uncertainty itself, so that its loss may fall below 0, and no "
                "variance is then the best; set weighing=fixed in one of the two"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fixed weights are not written out: runs from before there was a choice stay what they were."""
        found: dict[str, Any] = usual(self)
        return {key: value for key, value in found.items() if (key, value) != ("weighing", "fixed")}

    @property
    def names(self) -> list[str]:
        """What each part is called."""
        kinds = [part.objective.kind for part in self.parts]
        counted = [f"{kind}-{kinds[:i].count(kind) + 1}" if kind in kinds[:i] else kind for i, kind in enumerate(kinds)]
        return [part.name or counted[i] for i, part in enumerate(self.parts)]

    @property
    def reads_labels(self) -> bool:
        return any(part.objective.reads_labels for part in self.parts)

    @property
    def judges(self) -> bool:  # type: ignore[override]  # a class's constant elsewhere, here what the parts make it
        """Whether a lower held-out loss is a better network: where it is so for every part."""
        return all(part.objective.judges for part in self.parts)

    @property
    def positive(self) -> bool:  # type: ignore[override]  # as above
        """Whether its loss is never below 0."""
        return self.weighing == "fixed" and all(part.objective.positive for part in self.parts)

    def check_network(self, network: Spec) -> None:
        for part in self.parts:
            part.objective.check_network(network)

    def settled(self, dataset: Dataset, domain: Domain) -> Self:
        """With all that the corpus decides for its parts."""
        return self._with([part.objective.settled(dataset, domain) for part in self.parts])

    def attach(self, dataset: Dataset, domain: Domain) -> Dataset:
        """The corpus with the targets of every part."""
        for part in self.parts:
            dataset = part.objective.attach(dataset, domain)
        return dataset

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """Raises `InputError` where a part does not go with the domain or the backbone."""
        built = {}
        for place, (name, part) in enumerate(zip(self.names, self.parts, strict=True)):
            own = seed if place == 0 or seed is None else _number(str(seed).encode(), name)
            built[name] = part.objective.build(domain, backbone, own)
        weights = {name: part.weight for name, part in zip(self.names, self.parts, strict=True)}
        return Battery(built, weights, self.weighing)

    def _with(self, objectives: list[Any]) -> Self:
        parts = [part.model_copy(update={"objective": one}) for part, one in zip(self.parts, objectives, strict=True)]
        return self.model_copy(update={"parts": parts})


@dataclass(frozen=True)
class Part:
    """One part of a battery on one batch."""

    name: str
    weight: float
    loss: Loss
    counted: Tensor
    """() the loss as it counts: itself, or what its uncertainty makes of it."""

    @property
    def weighted(self) -> Tensor:
        """() its addend."""
        return self.weight * self.counted


class Battery(Objective):
    """The sum of its parts' losses, each a mean over that part's own items, times their weights; with `uncertainty`
    each is weighed by its variance first.

    With one part the count is that part's. With several it is the number of examples: parts average over unlike items
    (hidden tokens, pictures), and over the micro-batches or processes of a step each part's mean is weighed by the
    examples they hold. That equals one large batch where a part has as many items in every example; where these vary
    (masked tokens of texts of unlike length) it differs from it by how unlike the micro-batches are.
    """

    def __init__(
        self,
        parts: Mapping[str, Objective],
        weights: Mapping[str, float],
        weighing: Literal["fixed", "uncertainty"] = "fixed",
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts.values())  # names of a ModuleDict may be no words of torch, such as "half"
        self.weights = dict(weights)
        squared = [part.squared for part in parts.values()]
        self.uncertainty = Uncertainty(squared) if weighing == "uncertainty" else None

    @property
    def least(self) -> int:  # type: ignore[override]  # a class's constant elsewhere, here what the parts make it
        """Examples that a batch must hold for every part to mean anything."""
        return max(part.least for part in self._objectives().values())

    @property
    def guesses(self) -> bool:
        return len(self.parts) == 1 and self._only().guesses

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        parts = self.losses(backbone, batch, rng)
        value = torch.stack([part.weighted for part in parts]).sum() if len(parts) > 1 else parts[0].weighted
        terms: dict[str, float | Tensor] = {}
        for part in parts:
            terms[f"{part.name}.loss"] = part.loss.value.detach()
            terms |= {f"{part.name}.{name}": term for name, term in part.loss.terms.items()}
        if self.uncertainty is not None:
            spread = self.uncertainty.log_variances.detach()
            terms |= {f"{name}.log_variance": one for name, one in zip(self.weights, spread, strict=True)}
        return Loss(value, _count(parts, batch), terms)

    def losses(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> list[Part]:
        """Every part's loss. The first draws from `rng` as it would alone; every other has a generator of its own,
        which follows from the state of `rng` and the part's name, so that parts never change each other's draws."""
        state = rng.get_state().numpy().tobytes()
        found = []
        for place, (name, part) in enumerate(self._objectives().items()):
            own = rng if place == 0 else torch.Generator(rng.device).manual_seed(_number(state, name))
            loss = part(backbone, batch, own)
            found.append(Part(name, self.weights[name], loss, self._counted(place, loss)))
        return found

    def _counted(self, place: int, loss: Loss) -> Tensor:
        """A part's loss as it counts; one of no items counts nothing, nor does it pull at its variance."""
        if self.uncertainty is None:
            return loss.value
        return self.uncertainty.of(place, loss.value, loss.count > 0)

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        """The guess of the only part; several give no single likelihood (raises `InputError`)."""
        return self._only().guess(backbone, batch, rng) if self.guesses else super().guess(backbone, batch, rng)

    def _objectives(self) -> dict[str, Objective]:
        pairs = zip(self.weights, self.parts, strict=True)
        return {name: part for name, part in pairs if isinstance(part, Objective)}

    def _only(self) -> Objective:
        return next(iter(self._objectives().values()))


def close_union(union: Any) -> None:
    """Tell the parts what an objective is, once every kind of it is there; a battery is one of them."""
    PartSpec.model_rebuild(_types_namespace={"ObjectiveSpec": union})
    BatterySpec.model_rebuild()


def _count(parts: list[Part], batch: Batch) -> int:
    if len(parts) == 1:
        return parts[0].loss.count
    return len(batch) if any(part.loss.count for part in parts) else 0


def _number(state: bytes, name: str) -> int:
    """A seed below 2⁶³ that follows from a state and a name."""
    found = hashlib.blake2b(state + b"/" + name.encode(), digest_size=8).digest()
    return int.from_bytes(found, "big") >> 1
