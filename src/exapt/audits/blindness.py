"""What features see of each change of their inputs, told without labels; and whether a labelled task needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from exapt.batch import Batch, segment_mean, segment_sum
from exapt.domains.views import Changed, Transformation
from exapt.evidence.invariance import (
    Estimate,
    Invariance,
    chance,
    decodable,
    invariance,
    lost,
    mean_of,
    noticed,
    probe,
)

Embed = Callable[[Batch], Tensor]
"""A batch to features (B, D)."""
BLIND = 0.1
"""Blind: no more than so much is decodable of a change …"""
STILL = 0.9
"""… and features move by no more than a tenth of the way to another example."""
DIM = 2 / 3
"""Dim: as still as that, and telling no more than so much of what the inputs and random weights both tell …"""
CLEAR = 0.3
"""… where these tell at least so much."""
HASHED = 512
SCRAMBLES = 3
"""Draws of a scrambling that are averaged."""


@dataclass(frozen=True)
class Seen:
    """What one set of features sees of one change."""

    sweep: list[Invariance]
    """At each strength."""
    told: dict[str, Estimate]
    """What a linear probe of features tells of the change, by what is asked of it: R², or 2 · accuracy − 1."""

    @property
    def most(self) -> Estimate:
        """The best told."""
        return max(self.told.values(), key=lambda one: one.value)

    @property
    def blind(self) -> bool:
        """Nearly invariant, and nearly nothing to be decoded."""
        return self.most.value <= BLIND and self.sweep[-1].plain.low >= STILL

    @property
    def sees(self) -> bool:
        """Whether the change, or what it changes, can be told at all."""
        return any(one.low > BLIND for one in self.told.values())


@dataclass(frozen=True)
class Need:
    """Whether a task depends on what a change destroys."""

    lost: Estimate
    """Score lost by a probe of the inputs where they are scrambled."""
    alone: float
    """Score above chance of a probe of nothing but what the change changes (mean colour, …); NaN where unknown."""


def look(embed: Embed, batches: Sequence[Batch], change: Transformation, seed: int = 0, sweep: bool = True) -> Seen:
    """One set of features under one change. No label is read."""
    before = embedded(embed, batches)
    found = [
        invariance(before, embedded(embed, moved(batches, change, s, seed)[0]), seed) for s in _asked(change, sweep)
    ]
    return Seen(found, _told(embed, before, batches, change, seed))


def _told(
    embed: Embed, before: np.ndarray, batches: Sequence[Batch], change: Transformation, seed: int
) -> dict[str, Estimate]:
    """Everything that can be asked about a change, answered from features."""
    changed, parameters = moved(batches, change, change.scrambling, seed)
    after, told = embedded(embed, changed), {}
    if change.measure is not None:
        told["what it changes, from f(Tx)"] = decodable(after, embedded(change.measure, changed), seed)
    if parameters is not None:
        told["what was drawn, from f(Tx)"] = decodable(after, parameters, seed)
        told["what was drawn, from f(Tx) − f(x)"] = decodable(after - before, parameters, seed, before)
    return told or {"whether it was changed, from f(Tx)": noticed(before, after, seed)}


def need(batches: Sequence[Batch], change: Transformation, labels: np.ndarray, seed: int = 0) -> Need:
    """What the task of some labels (n,) loses, judged on the inputs alone."""
    inputs = embedded(plain_inputs, batches)
    others = [
        embedded(plain_inputs, moved(batches, change, change.scrambling, seed + i)[0]) for i in range(1, SCRAMBLES + 1)
    ]
    alone = float("nan")
    if change.measure is not None:
        read = embedded(change.measure, batches)
        alone = float(probe(with_squares(read), labels, seed).right.mean()) - chance(labels)
    return Need(lost(inputs, others, labels, seed), alone)


def ahead(first: np.ndarray, second: np.ndarray, labels: np.ndarray, seed: int = 0) -> Estimate:
    """Score of a probe of one set of features less that of another, paired by test example."""
    return mean_of(probe(first, labels, seed).right - probe(second, labels, seed).right)


def moved(
    batches: Sequence[Batch], change: Transformation, strength: float, seed: int
) -> tuple[list[Batch], np.ndarray | None]:
    """Every batch changed, and the parameters (n, k) drawn."""
    rng = torch.Generator().manual_seed(seed)
    found: list[Changed] = [change.change(batch, strength, rng) for batch in batches]
    drawn = [one.parameters for one in found if one.parameters is not None]
    return [one.batch for one in found], torch.cat(drawn).double().cpu().numpy() if drawn else None


def embedded(embed: Embed, batches: Sequence[Batch]) -> np.ndarray:
    """(n, D) float32."""
    with torch.inference_mode():
        return torch.cat([embed(batch).float().cpu() for batch in batches]).numpy()


def plain_inputs(batch: Batch) -> Tensor:
    """(B, p) inputs without a network: pixels (at most 32 × 32), features of nodes and of their neighbours, or hashed
    counts of tokens and pairs of them."""
    if batch.pictures:
        size = (min(32, batch.inputs.shape[2]), min(32, batch.inputs.shape[3]))
        return torch.nn.functional.adaptive_avg_pool2d(batch.inputs, size).flatten(1)
    if batch.inputs.is_floating_point():
        return _plain_nodes(batch)
    ids, owner = batch.inputs.long(), batch.segments.to(batch.inputs.device)
    pairs = torch.where(owner[1:] == owner[:-1], (ids[:-1] * 31 + ids[1:] * 17 + 7) % HASHED, HASHED)
    single = torch.nn.functional.one_hot(ids % HASHED, HASHED).float()
    double = torch.nn.functional.one_hot(torch.nn.functional.pad(pairs, (0, 1), value=HASHED), HASHED + 1).float()
    counts = segment_sum(torch.cat([single, double[:, :HASHED]], 1), batch.offsets.to(ids.device))
    return (counts / batch.lengths.clamp(min=1).to(counts)[:, None]).sqrt()


def _plain_nodes(batch: Batch) -> Tensor:
    """(B, 2F + 1) means over each example of nodes' features, of their neighbours' means, and of how many these are."""
    nodes = batch.inputs
    source, to = nodes.new_zeros(2, 0, dtype=torch.long) if batch.edges is None else batch.edges
    degree = nodes.new_zeros(len(nodes), 1).index_add(0, to, nodes.new_ones(len(to), 1))
    near = torch.zeros_like(nodes).index_add(0, to, nodes[source]) / degree.clamp(min=1)
    return segment_mean(torch.cat([nodes, near, degree], 1)[: int(batch.offsets[-1])], batch.offsets)


def with_squares(values: np.ndarray) -> np.ndarray:
    """(n, k + k²) values with their products, so that a straight cut can follow a circle."""
    scaled = (values - values.mean(0)) / np.maximum(values.std(0), 1e-9)
    products = scaled[:, :, None] * scaled[:, None, :]
    return np.concatenate([scaled, products.reshape(len(values), -1)], axis=1)


def blind_spots(seen: Mapping[str, Seen], inputs: Mapping[str, Seen]) -> list[str]:
    """Changes that features are blind to although the inputs show them."""
    return [name for name, one in seen.items() if one.blind and inputs[name].sees]


def dim_spots(seen: Mapping[str, Seen], random: Mapping[str, Seen], inputs: Mapping[str, Seen]) -> list[str]:
    """Changes of which training took away a good part, though not all, of what random weights tell as well."""
    return [
        name
        for name, one in seen.items()
        if not one.blind and one.sweep[-1].plain.low >= STILL and _faded(one, random[name], inputs[name])
    ]


def _faded(seen: Seen, random: Seen, inputs: Seen) -> bool:
    clear = {question: min(random.told[question].low, inputs.told[question].low) for question in seen.told}
    return any(seen.told[question].high <= DIM * told for question, told in clear.items() if told >= CLEAR)


def warning(blind: Sequence[str], dim: Sequence[str] = ()) -> str:
    """What must be said before any label is used."""
    said = []
    if blind:
        said.append(
            f"The representation is (nearly) blind to {', '.join(blind)}; if your task depends on it, it cannot be "
            "learnt from it."
        )
    if dim:
        said.append(
            f"The representation tells far less of {', '.join(dim)} than its inputs and random weights do; if your "
            "task depends on it, expect to lose by it."
        )
    return " ".join(said)


def _asked(change: Transformation, sweep: bool) -> tuple[float, ...]:
    return change.strengths if sweep else change.strengths[-1:]
